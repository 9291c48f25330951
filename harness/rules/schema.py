"""Which fields VMIs, VMs and the KubeVirt CR have, and what the API server says of one they don't have.

Source: rules.vocabulary, per KubeVirt version; messages: Kubernetes strict decoding and CRD validation, as recorded.
kubectl asks for strict decoding; without it the server prunes and warns, with Ignore it prunes.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from harness.rules.columns import DEFAULT_COLUMN
from harness.rules.errors import QuantityError
from harness.rules.quantities import Quantity
from harness.rules.vocabulary import Vocabulary, vocabulary

KINDS: Final = (
    "VirtualMachineInstance", "VirtualMachine", "KubeVirt", "VirtualMachineInstancetype",
    "VirtualMachineClusterInstancetype", "VirtualMachinePreference", "VirtualMachineClusterPreference",
)  # fmt: skip
DEPRECATED_V1ALPHA3: Final = "kubevirt.io/v1alpha3 is now deprecated and will be removed in a future release."
"""Warning header (299) of every request to v1alpha3; the object is stored as v1."""
Step = str | int

_TYPE_NAMES: Final = {
    "s": "string",
    "i": "integer",
    "n": "number",
    "b": "boolean",
    "q": "quantity",
    "x": "integer or string",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One field that is unknown or whose value has the wrong type. `path`: keys and list indices from the root."""

    path: tuple[Step, ...]
    kind: Literal["unknown", "type", "quantity", "missing"]
    expected: str = ""
    found: str = ""
    text: str = ""
    suggestion: str = ""
    since: str = ""
    """The KubeVirt version that brought an unknown field, where a later one has it."""

    @property
    def dotted(self) -> str:
        """The path as Kubernetes prints it."""
        return dotted(self.path)


def dotted(path: Sequence[Step]) -> str:
    """Print a path as Kubernetes does: `spec.domain.devices.disks[0].name`."""
    out = ""
    for step in path:
        out += f"[{step}]" if isinstance(step, int) else f".{step}" if out else step
    return out


def missing(obj: Mapping[str, Any], kind: str, *, column: str = DEFAULT_COLUMN) -> list[Problem]:
    """List required fields that are absent or null, in document order. Wrongly typed parts are passed over."""
    return list(_missing(obj, kind, (), vocabulary(column)))


def _missing(value: Any, code: str, path: tuple[Step, ...], words: Vocabulary) -> Iterator[Problem]:
    if code.startswith("["):
        for index, item in enumerate(value) if isinstance(value, list | tuple) else ():
            yield from _missing(item, code[1:], (*path, index), words)
    elif code.startswith("{"):
        for key, item in value.items() if isinstance(value, Mapping) else ():
            yield from _missing(item, code[1:], (*path, str(key)), words)
    elif code in words.types and isinstance(value, Mapping):
        for name in words.required.get(code, ()):
            if value.get(name) is None:
                yield Problem(path=(*path, name), kind="missing")
        fields = words.types[code]
        for key, item in value.items():
            inner = fields.get(str(key), "s")
            if item is not None and (len(inner) > 1 or inner in words.types):
                yield from _missing(item, inner, (*path, str(key)), words)


def body_message(problem: Problem) -> str:
    """What KubeVirt's own schema validation says of a wrong type or a missing field (go-openapi/validate)."""
    path = ".".join(str(step) for step in problem.path)
    if problem.kind == "missing":
        return f"{path} in body is required"
    expected = {"quantity": "string,integer,number", "integer or string": "string,number"}
    return f'{path} in body must be of type {expected.get(problem.expected, problem.expected)}: "{problem.found}"'


def check(obj: Mapping[str, Any], kind: str, *, column: str = DEFAULT_COLUMN) -> list[Problem]:
    """List what is wrong with the fields of an object of a kind in a KubeVirt version, in document order.

    Raises KeyError for an unknown kind, ColumnError.
    """
    return list(_object(obj, kind, (), vocabulary(column)))


def unknown(obj: Mapping[str, Any], kind: str, *, column: str = DEFAULT_COLUMN) -> list[Problem]:
    """List only the fields the kind doesn't have."""
    return [problem for problem in check(obj, kind, column=column) if problem.kind == "unknown"]


def prune(obj: Mapping[str, Any], kind: str, *, column: str = DEFAULT_COLUMN) -> dict[str, Any]:
    """Return a copy without unknown fields, as the server stores it unless decoding is strict."""
    pruned = _pruned(obj, kind, vocabulary(column))
    assert isinstance(pruned, dict)
    return pruned


def strict_message(kind: str, problems: Sequence[Problem], *, version: str = "v1") -> str:
    """Message of the 400 BadRequest under fieldValidation=Strict."""
    fields = ", ".join(f'unknown field "{problem.dotted}"' for problem in problems)
    return f'{kind} in version "{version}" cannot be handled as a {kind}: strict decoding error: {fields}'


def warning(problem: Problem) -> str:
    """Text of the Warning header under fieldValidation=Warn, and without any."""
    return f'unknown field "{problem.dotted}"'


def closest(name: str, candidates: Sequence[str]) -> str:
    """The candidate most like a misspelt name, or ''. Case alone counts as equal."""
    by_case = {candidate.lower(): candidate for candidate in candidates}
    if name.lower() in by_case:
        return by_case[name.lower()]
    found = difflib.get_close_matches(name.lower(), by_case, n=1, cutoff=0.7)
    return by_case[found[0]] if found else ""


def elsewhere(name: str, kind: str, *, column: str = DEFAULT_COLUMN) -> str:
    """Dotted path of a field of that exact name elsewhere under the kind's spec, or '': it was put in the wrong place."""
    return _places(kind, column).get(name, "")


@functools.cache
def _places(kind: str, column: str) -> Mapping[str, str]:
    types = vocabulary(column).types
    out: dict[str, str] = {}
    todo: list[tuple[str, str]] = [(kind, "")]
    seen: set[str] = set()
    while todo:
        type_name, prefix = todo.pop(0)
        if type_name in seen:
            continue
        seen.add(type_name)
        for field, code in types[type_name].items():
            path = f"{prefix}.{field}" if prefix else field
            out.setdefault(field, path)
            inner = code.lstrip("[{")
            if inner in types:
                todo.append((inner, path + ("[]" if code.startswith("[") else "")))
    return out


def _object(
    obj: Mapping[str, Any], kind: str, path: tuple[Step, ...], words: Vocabulary
) -> Iterator[Problem]:
    fields = words.types[kind]
    for name, value in obj.items():
        key = str(name)
        code = fields.get(key)
        if code is None:
            since = words.newer.get((kind, key), "")
            suggestion = closest(key, tuple(fields))
            yield Problem(path=(*path, key), kind="unknown", suggestion=suggestion, since=since)
        elif value is not None:
            yield from _value(value, code, (*path, key), words)


def _value(value: Any, code: str, path: tuple[Step, ...], words: Vocabulary) -> Iterator[Problem]:
    if code == "o":
        return
    if code.startswith("["):
        if not isinstance(value, list | tuple):
            yield _wrong(path, "array", value)
            return
        for index, item in enumerate(value):
            if item is not None:
                yield from _value(item, code[1:], (*path, index), words)
    elif code.startswith("{"):
        if not isinstance(value, Mapping):
            yield _wrong(path, "object", value)
            return
        for key, item in value.items():
            if item is not None:
                yield from _value(item, code[1:], (*path, str(key)), words)
    elif code in _TYPE_NAMES:
        yield from _scalar(value, code, path)
    elif not isinstance(value, Mapping):
        yield _wrong(path, "object", value)
    else:
        yield from _object(value, code, path, words)


def _scalar(value: Any, code: str, path: tuple[Step, ...]) -> Iterator[Problem]:
    found = type_name(value)
    if code == "q":
        try:
            Quantity.of(value)
        except QuantityError as error:
            kind: Literal["type", "quantity"] = "quantity" if isinstance(value, str) else "type"
            yield Problem(path=path, kind=kind, expected="quantity", found=found, text=str(error))
        return
    accepted = {"x": ("integer", "string"), "n": ("number", "integer")}.get(code, (_TYPE_NAMES[code],))
    if found not in accepted:
        yield _wrong(path, _TYPE_NAMES[code], value)


def type_name(value: Any) -> str:
    """JSON type of a value, as CRD validation calls it."""
    if isinstance(value, bool):
        return "boolean"
    for kind, name in ((str, "string"), (int, "integer"), (float, "number"), (Mapping, "object")):
        if isinstance(value, kind):
            return name
    return "null" if value is None else "array"


def _wrong(path: tuple[Step, ...], expected: str, value: Any) -> Problem:
    return Problem(path=path, kind="type", expected=expected, found=type_name(value))


def _pruned(value: Any, code: str, words: Vocabulary) -> Any:
    if code.startswith("[") and isinstance(value, list | tuple):
        return [_pruned(item, code[1:], words) for item in value]
    if not isinstance(value, Mapping):
        return value
    if code.startswith("{"):
        return {key: _pruned(item, code[1:], words) for key, item in value.items()}
    fields = words.types.get(code)
    if fields is None:
        return dict(value)
    return {key: _pruned(item, fields[key], words) for key, item in value.items() if key in fields}

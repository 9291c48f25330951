"""Manifests and settings as people hand them in: plain data, and what is wrong with them with file, line and column.

A quick parser reads what is plain; whatever looks odd is read again by `spec.nodes`, whose word is final. Marks are
looked up only for mistakes, so that a thousand good manifests cost little.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import yaml

from harness.explain.companions import KINDS, documents
from harness.rules import schema
from harness.rules.columns import DEFAULT_COLUMN
from harness.rules.errors import QuantityError
from harness.rules.instancetype import API_VERSION, instancetype_causes
from harness.rules.preference import preference_causes
from harness.rules.quantities import Quantity
from harness.rules.schema import Problem, Step
from harness.spec.errors import SpecError, closest
from harness.spec.nodes import Fields, Items, Mark, Node, parse, plain

VMI_KINDS: Final = ("VirtualMachineInstance", "VirtualMachine")
API_VERSIONS: Final = ("kubevirt.io/v1", "kubevirt.io/v1alpha3")
_UNITS: Final = {
    "b": "",
    "kib": "Ki",
    "mib": "Mi",
    "gib": "Gi",
    "tib": "Ti",
    "ki": "Ki",
    "mi": "Mi",
    "gi": "Gi",
    "ti": "Ti",
    "kb": "k",
    "mb": "M",
    "gb": "G",
    "tb": "T",
    "k": "k",
    "g": "G",
    "t": "T",
}
_UNIT: Final = re.compile(r"\s*([+-]?[0-9.]+)\s*([A-Za-z]+)\s*", re.ASCII)


class _OddError(Exception):
    """Something the quick parser leaves to the careful one."""


class _QuickLoader(yaml.CSafeLoader):
    """PyYAML over libyaml, refusing what it would read otherwise than kubectl does."""


def _odd(_loader: _QuickLoader, _node: yaml.Node) -> Any:
    raise _OddError


def _mapping(loader: _QuickLoader, node: yaml.MappingNode) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if key_node.tag != "tag:yaml.org,2002:str" or key_node.value in out:
            raise _OddError
        out[key_node.value] = loader.construct_object(value_node, deep=True)
    return out


def _whole(_loader: _QuickLoader, node: yaml.ScalarNode) -> Any:
    if not node.value.isdecimal() or (node.value[0] == "0" and node.value != "0"):
        raise _OddError
    return int(node.value)


for _tag in ("timestamp", "float", "binary", "set", "omap", "pairs"):
    _QuickLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _odd)
_QuickLoader.add_constructor("tag:yaml.org,2002:map", _mapping)
_QuickLoader.add_constructor("tag:yaml.org,2002:int", _whole)


def load(text: str, file: str) -> Any:
    """Parse one YAML document into plain data. Raises SpecError."""
    if "&" not in text:
        loader = _QuickLoader(text)
        try:
            value = loader.get_single_data()
        except (_OddError, yaml.YAMLError):
            value = None
        finally:
            loader.dispose()
        if value is not None:
            return value
    return plain(parse(text, file))


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One file: its object, or None where it is nothing that can be explained, and its mistakes in file order."""

    file: str
    text: str
    object: Mapping[str, Any] | None
    mistakes: tuple[SpecError, ...] = ()
    problems: tuple[Problem, ...] = ()
    """Fields that are unknown or of the wrong type."""
    companions: tuple[Mapping[str, Any], ...] = ()
    """Instance types and preferences of the same file that a cluster would take."""

    @property
    def kind(self) -> str:
        """VirtualMachineInstance or VirtualMachine."""
        return "" if self.object is None else str(self.object["kind"])


@dataclass(slots=True)
class Places:
    """Marks of one text, composed when first asked for."""

    text: str
    file: str
    _root: Node | None = field(default=None)

    def error(
        self, path: tuple[Step, ...], message: str, *, suggestion: str | None = None, key: bool = False
    ) -> SpecError:
        """Make the error that points to a value (or, with `key`, to its key); to the nearest ancestor if it isn't there."""
        if self._root is None:
            try:
                self._root = parse(self.text, self.file)
            except SpecError as error:  # libyaml takes some things that PyYAML refuses, a tab for one
                return error
        return self._mark(self._root, path, key=key).error(message, suggestion=suggestion)

    @staticmethod
    def _mark(root: Node, path: tuple[Step, ...], *, key: bool) -> Mark:
        node, mark = root, root.mark
        for index, step in enumerate(path):
            if isinstance(node, Fields) and isinstance(step, str) and step in node.fields:
                last = index == len(path) - 1
                mark = node.marks[step] if key and last else node.fields[step].mark
                if isinstance(node.fields[step], Fields | Items) and not (key and last):
                    mark = node.marks[step]
                node = node.fields[step]
            elif isinstance(node, Items) and isinstance(step, int) and step < len(node.items):
                node = node.items[step]
                mark = node.mark
            else:
                break
        return mark


def read_manifest(text: str, file: str, *, column: str = DEFAULT_COLUMN) -> Manifest:
    """Read a VMI or VM manifest of one KubeVirt version. Raises ColumnError only: mistakes stand in the result."""
    if "\n---" in text and (several := _several(text, file, column)) is not None:
        return several
    try:
        value = load(text, file)
    except SpecError as error:
        return Manifest(file=file, text=text, object=None, mistakes=(error,))
    return _manifest(value, text, file, column)


def _several(text: str, file: str, column: str) -> Manifest | None:
    """One VM or VMI with its instance types and preferences; None for any other set of documents."""
    main: list[tuple[Any, str]] = []
    companions: list[Mapping[str, Any]] = []
    mistakes: list[SpecError] = []
    for part in documents(text):
        try:
            value = load(part, file)
        except SpecError:
            return None
        kind = value.get("kind") if isinstance(value, Mapping) else None
        if kind in KINDS:
            wrong = _companion(value, str(kind), Places(part, file), column)
            mistakes += wrong
            companions += [] if wrong else [value]
        else:
            main.append((value, part))
    if len(main) != 1:
        return None
    manifest = _manifest(*main[0], file, column)
    listed = sorted((*manifest.mistakes, *mistakes), key=lambda mistake: (mistake.line, mistake.column))
    return replace(manifest, mistakes=tuple(listed), companions=tuple(companions))


def _companion(value: Mapping[str, Any], kind: str, places: Places, column: str) -> list[SpecError]:
    """What the API server and its webhook would refuse of an instance type or a preference."""
    if value.get("apiVersion") != API_VERSION:
        found = value.get("apiVersion")
        return [places.error(("apiVersion",), f"apiVersion {found!r} is not served; expected {API_VERSION}")]
    problems = (*schema.check(value, kind, column=column), *schema.missing(value, kind, column=column))
    if problems:
        return [problem_error(problem, value, places, column=column) for problem in problems]
    causes = instancetype_causes if kind.endswith("Instancetype") else preference_causes
    return [places.error(steps(cause.field), cause.message) for cause in causes(value["spec"])]


def _manifest(value: Any, text: str, file: str, column: str) -> Manifest:
    places = Places(text, file)
    if (other := _not_a_vmi(value, places)) is not None:
        return Manifest(file=file, text=text, object=None, mistakes=(other,))
    kind = str(value["kind"])
    problems = (*schema.check(value, kind, column=column), *schema.missing(value, kind, column=column))
    mistakes = [problem_error(problem, value, places, column=column) for problem in problems]
    mistakes += [
        places.error(path, f"{schema.dotted(path)}: '{amount}' is negative")
        for path, amount in _negative(value)
    ]
    mistakes.sort(key=lambda mistake: (mistake.line, mistake.column))
    return Manifest(file=file, text=text, object=value, mistakes=tuple(mistakes), problems=problems)


def point(manifest: Manifest, dotted: str, message: str) -> SpecError:
    """Make an error about a field of a manifest, given as Kubernetes prints it (`spec.domain.memory.guest`)."""
    return Places(manifest.text, manifest.file).error(steps(dotted), message)


def steps(dotted: str) -> tuple[Step, ...]:
    """A path as Kubernetes prints it, in steps."""
    return tuple(int(step) if step.isdecimal() else step for step in re.findall(r"[^.\[\]]+", dotted))


def _not_a_vmi(value: Any, places: Places) -> SpecError | None:
    wanted = f"a {VMI_KINDS[0]} or a {VMI_KINDS[1]}"
    if not isinstance(value, Mapping):
        what = "a list" if isinstance(value, list) else "no mapping"
        return places.error((), f"{what}; expected {wanted}")
    kind = value.get("kind")
    if kind not in VMI_KINDS:
        if kind is None:
            return places.error((), f"no kind; expected {wanted}")
        return places.error(
            ("kind",), f"kind {kind!r} is not {wanted}", suggestion=closest(str(kind), VMI_KINDS)
        )
    version = value.get("apiVersion")
    if version not in API_VERSIONS:
        if version is None:
            return places.error((), f"no apiVersion; expected {API_VERSIONS[0]}")
        return places.error(
            ("apiVersion",),
            f"apiVersion {version!r} is not served",
            suggestion=closest(str(version), API_VERSIONS),
        )
    path = ("spec",) if kind == VMI_KINDS[0] else ("spec", "template", "spec")
    inner: Any = value
    for index, step in enumerate(path):
        inner = inner.get(step)
        if not isinstance(inner, Mapping):
            said = "is missing" if inner is None else "is not a mapping"
            return places.error(path[: index + 1], f"{'.'.join(path[: index + 1])} {said}")
    domain = inner.get("domain")
    if not isinstance(domain, Mapping):
        said = "is missing" if domain is None else "is not a mapping"
        return places.error((*path, "domain"), f"{'.'.join(path)}.domain {said}")
    return None


def unknown_field(problem: Problem) -> str:
    """Name a field that the KubeVirt version doesn't have, and the one that brought it."""
    later = f"; KubeVirt has it since {problem.since}" if problem.since else ""
    return f'unknown field "{problem.dotted}"{later}'


def problem_error(
    problem: Problem, value: Mapping[str, Any], places: Places, *, column: str = DEFAULT_COLUMN
) -> SpecError:
    """Make the line for a field that is unknown, missing or of the wrong type; `value` is the whole object, with its kind."""
    if problem.kind == "unknown":
        name = str(problem.path[-1])
        message = unknown_field(problem)
        suggestion = problem.suggestion or None
        elsewhere = schema.elsewhere(name, str(value["kind"]), column=column)
        if suggestion is None and elsewhere and not problem.since:
            message += f"; there is {elsewhere}"
        return places.error(problem.path, message, suggestion=suggestion, key=True)
    if problem.kind == "missing":
        return places.error(problem.path, f"{problem.dotted} is required")
    found = _at(value, problem.path)
    if problem.kind == "quantity":
        return places.error(
            problem.path,
            f"{problem.dotted}: {found!r} is no quantity: {problem.text}",
            suggestion=unit(found),
        )
    hint = _unquoted(found, problem.expected)
    return places.error(
        problem.path,
        f"{problem.dotted} must be of type {problem.expected}, found {problem.found}",
        suggestion=hint,
    )


def _at(value: Any, path: tuple[Step, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def _unquoted(found: Any, expected: str) -> str | None:
    if not isinstance(found, str):
        return None
    if expected == "boolean" and found.lower() in {"true", "false", "yes", "no", "on", "off"}:
        return "true" if found.lower() in {"true", "yes", "on"} else "false"
    return found.strip() if expected == "integer" and found.strip().lstrip("+-").isdecimal() else None


def unit(written: Any) -> str | None:
    """The quantity someone who wrote `1GiB`, `128Mb` or `64K` most likely means, or None."""
    match = _UNIT.fullmatch(str(written))
    if match is None:
        return None
    suffix = _UNITS.get(match[2].lower())
    if suffix is None:
        return None
    try:
        Quantity.parse(match[1] + suffix)
    except QuantityError:
        return None
    return match[1] + suffix


def _negative(value: Mapping[str, Any]) -> Iterator[tuple[tuple[Step, ...], str]]:
    """Memory and cpu amounts below zero: the guest's size is accepted by KubeVirt even so."""
    base: tuple[Step, ...] = ("spec",) if value["kind"] == VMI_KINDS[0] else ("spec", "template", "spec")
    domain = _at(value, (*base, "domain"))
    memory = domain.get("memory")
    if isinstance(memory, Mapping):
        for name in ("guest", "maxGuest"):
            if _below_zero(memory.get(name)):
                yield (*base, "domain", "memory", name), str(memory[name])
    resources = domain.get("resources")
    if isinstance(resources, Mapping):
        for kind in ("requests", "limits"):
            listed = resources.get(kind)
            for name, amount in listed.items() if isinstance(listed, Mapping) else ():
                if _below_zero(amount):
                    yield (*base, "domain", "resources", kind, str(name)), str(amount)


def _below_zero(amount: Any) -> bool:
    try:
        return amount is not None and Quantity.of(amount).nano < 0
    except QuantityError:
        return False

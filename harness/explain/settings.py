"""KubeVirt and kubelet settings as people hand them in: what is in force, and what is wrong with what was written."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from harness.explain.sources import Places, load, problem_error, unknown_field
from harness.rules import schema
from harness.rules.admission import validate_configuration
from harness.rules.columns import DEFAULT_COLUMN
from harness.rules.kubelet_fields import KUBELET_FIELDS
from harness.rules.schema import Problem, Step
from harness.spec.errors import SpecError

_KUBELET_TYPES: Final[Mapping[str, tuple[str, type]]] = {
    **dict.fromkeys(("maxPods", "evictionMaxPodGracePeriod"), ("integer", int)),
    **dict.fromkeys(("mergeDefaultEvictionSettings", "failSwapOn"), ("boolean", bool)),
    "enforceNodeAllocatable": ("array", list),
    **dict.fromkeys(
        (
            "evictionHard",
            "evictionSoft",
            "evictionSoftGracePeriod",
            "evictionMinimumReclaim",
            "systemReserved",
            "kubeReserved",
            "memorySwap",
        ),
        ("object", dict),
    ),
}
"""Types of the keys that are read here. The kubelet refuses to start over a wrong one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """KubeVirt or kubelet settings: what is in force, and what is wrong with what was written."""

    value: Mapping[str, Any]
    mistakes: tuple[SpecError, ...] = ()
    quoted_overcommit: bool = False
    """memoryOvercommit was written as text; the API server refuses it and the value in force stays."""


def read_kubevirt(text: str, file: str, *, column: str = DEFAULT_COLUMN) -> Settings:
    """Read a KubeVirt CR of one KubeVirt version, or a fragment of its `spec.configuration`. Raises ColumnError only.

    Settings the API server would refuse aren't in force: they are mistakes, and left out of `value`.
    """
    try:
        document = load(text, file)
    except SpecError as error:
        return Settings(value={}, mistakes=(error,))
    places = Places(text, file)
    if not isinstance(document, Mapping):
        return Settings(value={}, mistakes=(places.error((), "expected a KubeVirt CR"),))
    kind = document.get("kind")
    base: tuple[Step, ...] = ()
    if kind == "KubeVirt":
        base = ("spec", "configuration")
    elif kind is not None:
        told = (
            "ConfigMap kubevirt-config is not read any more; its settings stand in the KubeVirt CR under spec.configuration"
            if kind == "ConfigMap"
            else f"kind {kind!r} is not KubeVirt"
        )
        return Settings(value={}, mistakes=(places.error(("kind",), told),))
    elif "spec" in document or "configuration" in document:
        base = ("spec", "configuration") if "spec" in document else ("configuration",)
    value: Any = document
    for step in base:
        value = (value or {}).get(step) if isinstance(value, Mapping | None) else None
    value = value or {}
    if not isinstance(value, Mapping):
        return Settings(value={}, mistakes=(places.error(base, f"{schema.dotted(base)} is not a mapping"),))
    mistakes = []
    in_force = copy.deepcopy(dict(value))
    for problem in schema.check(value, "KubeVirtConfiguration", column=column):
        moved = replace(problem, path=(*base, *problem.path))
        mistakes.append(_setting_error(moved, document, places))
        if problem.kind != "unknown":
            _drop(in_force, problem.path)
    return _in_force(value, in_force, base, mistakes, places)


def _drop(value: Any, path: tuple[Step, ...]) -> None:
    for step in path[:-1]:
        value = value[step]
    if isinstance(value, dict):
        value.pop(path[-1], None)


def _setting_error(problem: Problem, document: Mapping[str, Any], places: Places) -> SpecError:
    if problem.kind == "unknown":
        return places.error(
            problem.path, unknown_field(problem), suggestion=problem.suggestion or None, key=True
        )
    return problem_error(problem, {**document, "kind": "KubeVirt"}, places)


def _in_force(
    value: Mapping[str, Any],
    out: dict[str, Any],
    base: tuple[Step, ...],
    mistakes: list[SpecError],
    places: Places,
) -> Settings:
    developer = value.get("developerConfiguration")
    refusal = validate_configuration(value) if isinstance(developer, Mapping | None) else None
    quoted = False
    if refusal is not None:
        for cause in refusal.causes:
            overcommit = "memoryOvercommit" in cause.field
            path = (
                (*base, "developerConfiguration", "memoryOvercommit")
                if overcommit
                else (*base, "additionalGuestMemoryOverheadRatio")
            )
            if overcommit:
                quoted = isinstance(value["developerConfiguration"]["memoryOvercommit"], str)
                out["developerConfiguration"].pop("memoryOvercommit", None)
            else:
                out.pop("additionalGuestMemoryOverheadRatio", None)
            error = places.error(path, cause.message.removeprefix("Invalid value: "))
            if not any((known.line, known.column) == (error.line, error.column) for known in mistakes):
                mistakes.append(error)
    return Settings(value=out, mistakes=tuple(mistakes), quoted_overcommit=quoted)


def read_kubelet(text: str, file: str) -> Settings:
    """Read a KubeletConfiguration or a fragment of one. Never raises.

    A key the kubelet doesn't know is a mistake here; the kubelet itself logs it and goes on without it.
    """
    try:
        document = load(text, file)
    except SpecError as error:
        return Settings(value={}, mistakes=(error,))
    places = Places(text, file)
    if not isinstance(document, Mapping):
        return Settings(value={}, mistakes=(places.error((), "expected a KubeletConfiguration"),))
    kind = document.get("kind")
    if kind not in (None, "KubeletConfiguration"):
        return Settings(
            value={}, mistakes=(places.error(("kind",), f"kind {kind!r} is not KubeletConfiguration"),)
        )
    mistakes = [
        places.error(
            (str(key),),
            f"the kubelet knows no '{key}' and goes on without it",
            suggestion=schema.closest(str(key), KUBELET_FIELDS) or None,
            key=True,
        )
        for key in document
        if str(key) not in KUBELET_FIELDS
    ]
    value = {str(key): item for key, item in document.items() if key not in {"kind", "apiVersion"}}
    for key, (kind_name, accepted) in _KUBELET_TYPES.items():
        item = value.get(key)
        if item is not None and (
            not isinstance(item, accepted) or isinstance(item, bool) != (accepted is bool)
        ):
            found = schema.type_name(item)
            mistakes.append(places.error((key,), f"{key} must be of type {kind_name}, found {found}"))
            del value[key]
    return Settings(value=value, mistakes=tuple(mistakes))

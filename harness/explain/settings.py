"""KubeVirt and kubelet settings as people hand them in: what is in force, and what is wrong with what was written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.explain.sources import Places, load, problem_error
from harness.rules import schema
from harness.rules.admission import validate_configuration
from harness.rules.kubelet_fields import KUBELET_FIELDS
from harness.rules.schema import Problem, Step
from harness.spec.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """KubeVirt or kubelet settings: what is in force, and what is wrong with what was written."""

    value: Mapping[str, Any]
    mistakes: tuple[SpecError, ...] = ()
    quoted_overcommit: bool = False
    """memoryOvercommit was written as text; the API server refuses it and the value in force stays."""


def read_kubevirt(text: str, file: str) -> Settings:
    """Read a KubeVirt CR, or a fragment of its `spec.configuration`. Never raises.

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
    for problem in schema.check(value, "KubeVirtConfiguration"):
        moved = Problem(
            path=(*base, *problem.path),
            kind=problem.kind,
            expected=problem.expected,
            found=problem.found,
            text=problem.text,
            suggestion=problem.suggestion,
        )
        mistakes.append(_setting_error(moved, document, places))
    return _in_force(value, base, mistakes, places)


def _setting_error(problem: Problem, document: Mapping[str, Any], places: Places) -> SpecError:
    if problem.kind == "unknown":
        return places.error(
            problem.path, f'unknown field "{problem.dotted}"', suggestion=problem.suggestion or None, key=True
        )
    return problem_error(problem, {**document, "kind": "KubeVirt"}, places)


def _in_force(
    value: Mapping[str, Any], base: tuple[Step, ...], mistakes: list[SpecError], places: Places
) -> Settings:
    out = dict(value)
    refusal = validate_configuration(value)
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
                developer = dict(out["developerConfiguration"])
                quoted = isinstance(developer.pop("memoryOvercommit"), str)
                out["developerConfiguration"] = developer
            else:
                out.pop("additionalGuestMemoryOverheadRatio")
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
    return Settings(value=value, mistakes=tuple(mistakes))

"""Comparing settings a scenario asks for with those a cluster has, and going back to what was. Pure."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from harness.rules.durations import parse_duration
from harness.rules.errors import RulesError
from harness.rules.merge_patch import merge
from harness.rules.quantities import Quantity

KUBEVIRT_DEFAULTS: Mapping[tuple[str, ...], Any] = {
    # kubevirt pkg/virt-config/virt-config.go DefaultMemoryOvercommit; the CR does not show it.
    ("developerConfiguration", "memoryOvercommit"): 100,
}
_LEFT_OUT: tuple[Any, ...] = (0, False, "", "0s", [], {})
"""Zero values, which a kubelet leaves out of what it serves (`omitempty`). A field that can be unset is never zero there."""


def leaves(fragment: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield (path, value) of everything a fragment sets; lists are values."""
    for key, value in fragment.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*path, str(key)))
        else:
            yield (*path, str(key)), value


def at(tree: Any, path: tuple[str, ...]) -> Any:
    """Return the value at a path, None where there is none."""
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def same(asked: Any, there: Any) -> bool:
    """Whether two settings mean the same: equal, or equal quantities (`0.5Gi`, `512Mi`) or durations (`1m`, `60s`)."""
    if asked == there:
        return True
    try:
        if not (isinstance(asked, str | int) and isinstance(there, str | int)):
            return False
        return Quantity.of(asked).cmp(Quantity.of(there)) == 0
    except RulesError:
        return _same_duration(asked, there)


def _same_duration(asked: Any, there: Any) -> bool:
    try:
        return bool(parse_duration(str(asked)) == parse_duration(str(there)))
    except RulesError:
        return False


def differing(
    asked: Mapping[str, Any], there: Mapping[str, Any], defaults: Mapping[tuple[str, ...], Any] | None = None
) -> tuple[tuple[str, Any, Any], ...]:
    """Return (dotted path, asked, there) of every setting that is not as asked."""
    found: list[tuple[str, Any, Any]] = []
    for path, value in leaves(asked):
        has = at(there, path)
        if has is None and defaults:
            has = defaults.get(path)
        if not same(value, has):
            found.append((".".join(path), value, has))
    return tuple(found)


def kubelet_differing(
    asked: Mapping[str, Any], configz: Mapping[str, Any]
) -> tuple[tuple[str, Any, Any], ...]:
    """Return (dotted path, asked, there) of every setting that a kubelet does not run with.

    Null asks for the kubelet's default, which is not known here: it differs from whatever is served.
    """
    return tuple(
        (path, value, has)
        for path, value, has in differing(asked, configz)
        if not (has is None and value in _LEFT_OUT)
    )


def restoring(before: Mapping[str, Any], fragment: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch that takes a tree patched with `fragment` back to `before`; it touches nothing else."""
    return _difference(merge(before, fragment), before)


def _difference(now: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = {}
    for key in now.keys() | wanted.keys():
        has, wants = now.get(key), wanted.get(key)
        if key not in wanted:
            patch[key] = None
        elif isinstance(has, Mapping) and isinstance(wants, Mapping):
            if inner := _difference(has, wants):
                patch[key] = inner
        elif key not in now or has != wants:
            patch[key] = copy.deepcopy(wants)
    return patch

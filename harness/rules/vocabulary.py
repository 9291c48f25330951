"""The fields of one KubeVirt version: types, what they require, and what a later version brought.

Source: rules.vmi_fields, rules.kubevirt_fields and rules.instancetype_fields (KubeVirt main), less what rules.newer_fields says came later.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from harness.rules import columns
from harness.rules.instancetype_fields import INSTANCETYPE_FIELDS
from harness.rules.kubevirt_fields import KUBEVIRT_FIELDS
from harness.rules.newer_fields import NEWER_FIELDS, ONCE_REQUIRED
from harness.rules.vmi_fields import VMI_FIELDS

Fields = Mapping[str, str]
"""Field name to type code, as rules.vmi_fields explains them."""
_ORDER: Final = tuple(columns.COLUMNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """All types of a version."""

    types: Mapping[str, Fields]
    required: Mapping[str, tuple[str, ...]]
    """The required fields of each type that has some."""
    newer: Mapping[tuple[str, str], str]
    """Type and field of what came later, and the version that brought it."""


@functools.cache
def vocabulary(column: str) -> Vocabulary:
    """The fields of a KubeVirt version. Raises ColumnError."""
    name = columns.column(column).name
    types, required = _main()
    newer = _newer(name)
    once = ONCE_REQUIRED.get(name, {})
    return Vocabulary(
        types={
            kind: {field: code for field, code in fields.items() if (kind, field) not in newer}
            for kind, fields in types.items()
        },
        required={kind: required.get(kind, ()) + once.get(kind, ()) for kind in (*required, *once)},
        newer=newer,
    )


@functools.cache
def _main() -> tuple[Mapping[str, Fields], Mapping[str, tuple[str, ...]]]:
    out: dict[str, dict[str, str]] = {}
    required: dict[str, tuple[str, ...]] = {}
    kind = ""
    for line in (VMI_FIELDS + KUBEVIRT_FIELDS + INSTANCETYPE_FIELDS).splitlines():
        words = line.split()
        if not line.startswith(" "):
            kind = words.pop(0).rstrip(":")
        for word in words:
            name, _, code = word.partition(":")
            if name.endswith("!"):
                name = name[:-1]
                required[kind] = (*required.get(kind, ()), name)
            out.setdefault(kind, {})[name] = code or "s"
        out.setdefault(kind, {})
    return out, required


def _newer(column: str) -> Mapping[tuple[str, str], str]:
    mine = _ORDER.index(column)
    out: dict[tuple[str, str], str] = {}
    version = ""
    for line in NEWER_FIELDS.splitlines():
        kind, colon, names = line.partition(":")
        if not colon:
            version = kind
        elif _ORDER.index(version) > mine:
            out |= {(kind, name): version for name in names.split()}
    return out

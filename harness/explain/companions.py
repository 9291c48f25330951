"""Instance types and preferences handed in with a VM, in the same YAML file.

One VM (or VMI) and any number of them make a file; other files hold one document. What a VM names and the file lacks is
told, not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness.rules import instancetype, preference
from harness.rules.vmi import get, mapping

KINDS: Final = (*instancetype.KINDS, *preference.KINDS)
_BEGIN: Final = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_NOTHING: Final = re.compile(r"(?:\s|#[^\n]*|---|\.\.\.)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a VM's `instancetype` and `preference` stand for. None: it names none, or the file lacks it."""

    instancetype: Mapping[str, Any] | None = None
    preference: Mapping[str, Any] | None = None
    lacking: tuple[str, ...] = ()
    """Kind and name of what the VM names and the file lacks."""


def documents(text: str) -> list[str]:
    """The YAML documents of a text, each where it stood: what is around it is blanked. Empty ones are left out."""
    starts = [0, *(match.start() for match in _BEGIN.finditer(text) if match.start())]
    out = []
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        part = text[start:end]
        if not _NOTHING.fullmatch(part):
            out.append("\n" * text.count("\n", 0, start) + part)
    return out


def resolve(vm: Mapping[str, Any], companions: tuple[Mapping[str, Any], ...]) -> Resolved:
    """Look up what a VM names among the documents beside it (`find/spec.go`: a kind left out is the cluster's)."""
    lacking: list[str] = []
    found: dict[str, Mapping[str, Any] | None] = {}
    for field, (cluster, own) in (("instancetype", instancetype.KINDS), ("preference", preference.KINDS)):
        matcher = mapping(get(vm, "spec", field))
        found[field] = None
        if not matcher:
            continue
        asked = str(matcher.get("kind") or cluster).lower()
        kind = own if asked in {own.lower(), f"{own.lower()}s"} else cluster
        if asked not in {kind.lower(), f"{kind.lower()}s"}:
            lacking.append(f"{matcher['kind']} {matcher.get('name', '')}")
            continue
        for companion in companions:
            name = get(companion, "metadata", "name")
            if companion.get("kind") == kind and name is not None and name == matcher.get("name"):
                found[field] = mapping(companion.get("spec"))
                break
        else:
            named = matcher.get("name") or f"inferred from volume {matcher.get('inferFromVolume', '')}"
            lacking.append(f"{kind} {named}")
    return Resolved(
        instancetype=found["instancetype"], preference=found["preference"], lacking=tuple(lacking)
    )

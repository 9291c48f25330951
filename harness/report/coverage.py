"""Which claim has which evidence, which scenario promises it, and what is missing and why.

A claim counts as done only where evidence of the kind that settles it has decided it; one that the kernel or QEMU
decides only with evidence `kernel` (`real` of someone else's machine tells nothing of ours). Everything else is a
shortfall with a reason, never done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from tabulate import tabulate

from harness.judge.model import Outcome
from harness.judge.status import DECIDED, Evidence, Vote, status
from harness.spec.claims import evidence_needed
from harness.spec.model import Claim

SCHEMA = 1
State = Literal["done", "shortfall", "missing", "untestable"]
MEANINGS: Mapping[State, str] = {
    "done": "decided by evidence that settles it",
    "shortfall": "runs speak of it, but none settles it",
    "missing": "no run speaks of it",
    "untestable": "names no measure, or is no statement",
}
_OF_THE_MACHINE = frozenset({"kernel", "qemu"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one run says of one claim."""

    run: str
    evidence: Evidence
    column: str
    """KubeVirt column of the run."""
    outcome: Outcome
    why: str = ""
    """Why nothing was decided; '' where something was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """One claim."""

    claim: str
    decided_by: str
    needs: tuple[str, ...]
    """Kinds of evidence of which one settles it."""
    status: str
    """What is published of it."""
    state: State
    why: str
    """What is missing and why; '' where it is done."""
    promised_by: tuple[str, ...]
    """Scenario files."""
    seen: tuple[Seen, ...]


def cover(
    claims: Mapping[str, Claim],
    promised: Mapping[str, Iterable[str]],
    seen: Mapping[str, Iterable[Seen]],
    unpromised: Mapping[str, str],
) -> tuple[Covered, ...]:
    """Return every claim in the order of the registry. `unpromised`: why no scenario promises a claim."""
    return tuple(
        _cover(
            claim,
            tuple(sorted(promised.get(claim.id, ()))),
            tuple(sorted(seen.get(claim.id, ()), key=lambda s: (s.evidence, s.run))),
            unpromised.get(claim.id, ""),
        )
        for claim in claims.values()
    )


def _cover(claim: Claim, promised: tuple[str, ...], seen: tuple[Seen, ...], reason: str) -> Covered:
    votes = [Vote(run=s.run, evidence=s.evidence, column=s.column, outcome=s.outcome) for s in seen]
    state, why = _state(claim, promised, seen, reason)
    return Covered(
        claim=claim.id,
        decided_by=claim.decided_by,
        needs=() if claim.untestable is not None else needed(claim),
        status=status(claim, votes).status if seen or claim.untestable is not None else "no run yet",
        state=state,
        why=why,
        promised_by=promised,
        seen=seen,
    )


def needed(claim: Claim) -> tuple[str, ...]:
    """Return the kinds of evidence of which one makes a claim done."""
    return ("kernel",) if claim.decided_by in _OF_THE_MACHINE else evidence_needed(claim)


def _state(claim: Claim, promised: tuple[str, ...], seen: tuple[Seen, ...], reason: str) -> tuple[State, str]:
    if claim.untestable is not None:
        return "untestable", claim.untestable
    enough = needed(claim)
    decided = [s for s in seen if s.outcome in DECIDED]
    if any(s.evidence in enough for s in decided):
        return "done", ""
    wanted = f"{claim.decided_by} decides it: evidence {' or '.join(enough)} is needed"
    if decided:
        kinds = " and ".join(sorted({s.evidence for s in decided}))
        return "shortfall", f"only evidence {kinds}; {wanted}"
    if seen:
        told = "; ".join(dict.fromkeys(f"{s.outcome}: {s.why or 'no reason given'}" for s in seen))
        return "shortfall", f"{told}; {wanted}"
    if promised:
        return "missing", f"promised, but no run of {' or '.join(promised)} is there; {wanted}"
    return "missing", f"no scenario promises it: {reason or 'nobody has said why'}"


def shortfalls(covered: Iterable[Covered]) -> tuple[Covered, ...]:
    """Return the testable claims that are not done."""
    return tuple(c for c in covered if c.state in {"shortfall", "missing"})


def render_table(covered: Iterable[Covered]) -> str:
    """Return the table for a terminal, and the sums."""
    found = tuple(covered)
    rows = [
        (
            c.claim,
            c.decided_by,
            c.state,
            c.status,
            _evidence(c, "kernel"),
            _evidence(c, "real"),
            _short(c),
            c.why,
        )
        for c in found
        if c.state != "untestable"
    ]
    table = tabulate(
        rows,
        headers=[
            "claim",
            "decided by",
            "state",
            "status",
            "kernel",
            "real",
            "promised by",
            "what is missing",
        ],
        tablefmt="plain",
        disable_numparse=True,
        maxcolwidths=[None, None, None, 24, 24, 24, 48, 64],
    )
    counts = Counter(c.state for c in found)
    sums = [f"{counts[state]} {state} ({meaning})" for state, meaning in MEANINGS.items() if counts[state]]
    machine = [c.claim for c in shortfalls(found) if c.decided_by in _OF_THE_MACHINE]
    lines = [table, "", f"{len(found)} claims: {', '.join(sums)}"]
    if machine:
        lines.append(f"decided by kernel or QEMU, without evidence kernel: {', '.join(machine)}")
    return "\n".join(line.rstrip() for line in "\n".join(lines).splitlines()) + "\n"


def _evidence(covered: Covered, kind: str) -> str:
    counts = Counter(s.outcome for s in covered.seen if s.evidence == kind)
    return ", ".join(f"{n} {outcome}" for outcome, n in counts.items()) or "–"


def _short(covered: Covered) -> str:
    names = [path.removeprefix("suites/").removesuffix(".yaml") for path in covered.promised_by]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}" if names else "–"


def render_json(covered: Iterable[Covered]) -> str:
    """Return everything, for programs."""
    found = tuple(covered)
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "counts": dict(Counter(c.state for c in found)),
        "shortfalls": [c.claim for c in shortfalls(found)],
        "claims": msgspec.to_builtins(found),
    }
    return msgspec.json.format(msgspec.json.encode(data), indent=1).decode() + "\n"

"""What is published of a claim, from the findings of many runs: one truth table.

Only sufficient evidence counts: what the kubelet, KubeVirt or Kubernetes decides needs `real`; what the kernel or
QEMU decides needs `kernel` or `real` (`spec.claims.EVIDENCE`). Undecided and error never override a decided finding.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from harness.judge.model import WORST_FIRST, Finding, Outcome, Status
from harness.spec.claims import evidence_needed
from harness.spec.model import Claim

Evidence = Literal["real", "kernel", "predicted"]

DECIDED: tuple[Outcome, ...] = ("holds", "differs", "refuted")


class Vote(msgspec.Struct, frozen=True, kw_only=True):
    """What one run says of one claim."""

    run: str
    evidence: Evidence
    column: str
    """KubeVirt column of the run: findings disagree only at one version."""
    outcome: Outcome


def worst(findings: Iterable[Finding]) -> Outcome | None:
    """Return the one outcome of several checks of a claim in a run; None of none."""
    outcomes = {f.outcome for f in findings}
    return next((o for o in WORST_FIRST if o in outcomes), None)


def by_claim(findings: Iterable[Finding]) -> dict[str, Outcome]:
    """Return the outcome of each claim that the findings of one run speak of, sorted by claim."""
    grouped: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.claim:
            grouped.setdefault(finding.claim, []).append(finding)
    return {claim: outcome for claim in sorted(grouped) if (outcome := worst(grouped[claim])) is not None}


def status(claim: Claim, votes: Iterable[Vote]) -> Status:
    """Return what is published of a claim."""
    cast = sorted(votes, key=lambda v: (v.run, v.evidence, v.column, v.outcome))
    evidence = [f"{v.run} ({v.evidence}): {v.outcome}" for v in cast]
    return Status(claim=claim.id, status=_word(claim, cast), evidence=evidence)


def _word(claim: Claim, votes: list[Vote]) -> str:
    if claim.untestable is not None:
        return "untestable"
    enough = evidence_needed(claim)
    decided = [v for v in votes if v.outcome in DECIDED and v.evidence in enough]
    if decided:
        return _agreed(decided)
    indicated = [v for v in votes if v.outcome in DECIDED]
    if indicated:
        return f"unsettled (indicates {_agreed(indicated)})"
    left = {v.outcome for v in votes}
    if "error" in left:
        return "error"
    if "undecided" in left:
        return "undecided"
    return "not-observable"


def _agreed(votes: list[Vote]) -> str:
    """Return the one outcome of agreeing votes, `contested` of votes that disagree at one version.

    Votes that agree at each version but not between versions: the newest version speaks.
    """
    columns: dict[str, set[Outcome]] = {}
    for vote in votes:
        columns.setdefault(vote.column, set()).add(vote.outcome)
    if any(len(outcomes) > 1 for outcomes in columns.values()):
        return "contested"
    newest = max(columns, key=_age)
    return next(iter(columns[newest]))


def _age(column: str) -> tuple[int, tuple[int, ...], str]:
    """Order KubeVirt columns: unknown, then v1.6, v1.7 …, then main."""
    if column == "main":
        return (2, (), column)
    digits = column.removeprefix("v").split(".")
    if all(d.isdigit() for d in digits):
        return (1, tuple(int(d) for d in digits), column)
    return (0, (), column)

"""What is published of each claim, with the runs it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.judge.model import WORST_FIRST
from harness.judge.status import DECIDED, Vote, status
from harness.report.view import OUTCOME_SIGNS, Row, RunView
from harness.spec.claims import evidence_needed
from harness.spec.model import Claim

NO_RUN = "no run yet"
"""In place of not-observable where no run spoke of the claim at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One run as the site links to it."""

    slug: str
    """File name of its page without `.html`."""
    view: RunView
    column: str
    """KubeVirt column of constants it ran as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What one run says of one claim: the row that decides it."""

    run: Published
    row: Row
    anchor: str
    sufficient: bool
    """Whether evidence of its kind settles the claim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimStatus:
    """One claim, what is published of it, and by which runs."""

    claim: Claim
    status: str
    outcome: str
    """The word that chooses colour and sign: an outcome, `unsettled`, `contested`, `untestable` or `no-run`."""
    sign: str
    shown: tuple[Shown, ...]

    @property
    def best(self) -> Shown | None:
        """The run that shows it best: sufficient evidence first, decided before undecided."""
        return self.shown[0] if self.shown else None


def statuses(claims: Mapping[str, Claim], runs: Iterable[Published]) -> dict[str, ClaimStatus]:
    """Return the status of every claim, in the order of the registry."""
    published = sorted(runs, key=lambda run: run.slug)
    return {claim.id: _status(claim, published) for claim in claims.values()}


def _status(claim: Claim, runs: list[Published]) -> ClaimStatus:
    enough = evidence_needed(claim)
    shown = [found for run in runs if (found := _shown(claim, run, enough)) is not None]
    votes = [
        Vote(run=s.run.view.run, evidence=s.run.view.evidence, column=s.run.column, outcome=s.row.outcome)
        for s in shown
    ]
    word = status(claim, votes).status
    if not shown and claim.untestable is None:
        word = NO_RUN
    shown.sort(key=lambda s: (not s.sufficient, s.row.outcome not in DECIDED, s.run.slug))
    outcome = "unsettled" if word.startswith("unsettled") else "no-run" if word == NO_RUN else word
    signs = {**OUTCOME_SIGNS, "unsettled": "~", "contested": "≷", "untestable": "·", "no-run": "…"}
    return ClaimStatus(claim=claim, status=word, outcome=outcome, sign=signs[outcome], shown=tuple(shown))


def _shown(claim: Claim, run: Published, enough: tuple[str, ...]) -> Shown | None:
    rows = [(index, row) for index, row in enumerate(run.view.claims, start=1) if row.claim == claim.id]
    if not rows:
        return None
    index, row = min(rows, key=lambda item: (WORST_FIRST.index(item[1].outcome), item[0]))
    return Shown(run=run, row=row, anchor=f"{claim.id}-{index}", sufficient=run.view.evidence in enough)

"""The text of `density why` for each dead VM of a run, as the run page shows it."""

from __future__ import annotations

from dataclasses import dataclass

from harness.explain.why import why
from harness.explain.why_text import post
from harness.records.rundir import RunDirectory
from harness.report.reading import Observed, thinned
from harness.report.text import REPLACED, clean

MOST = 24
"""Deaths told on a page."""
CROWD, VMIS = 200, 2000
"""Deaths, or VMIs in all, beyond which none is told: `density why RUN VMI` tells of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """How one VM ended."""

    subject: str
    cause: str
    certain: bool
    verdict: str
    text: str
    """The whole answer of `why`, in lines."""
    proof: tuple[int, ...]


def deaths(directory: RunDirectory, observed: Observed) -> tuple[tuple[Death, ...], str]:
    """Return the deaths of a run, and '' or why some are not told."""
    run = observed.run
    unplaced = {item.name for item in observed.timeline.unplaced}
    dead = sum(e.gone is not None and not e.stale and e.key not in unplaced for e in run.endings)
    if not dead:
        return (), ""
    if dead > CROWD or len(run.endings) > VMIS:
        return (), f"{dead} ended; `density why {directory.path.name} VMI` tells of each."
    try:
        report = why(directory.provenance, thinned(directory.records()), run.scenario)
    except (AttributeError, TypeError, ValueError, LookupError, ArithmeticError) as error:
        # A page with everything else is worth more than none because one object is not of its kind's shape.
        return (), f"{dead} ended; why can't be told: {type(error).__name__}: {clean(str(error), most=200)}"
    # What never ran did not end: it is told among the VMIs that did not fit.
    ended = [item for item in report.dead if item.cause != "no-node"]
    told = tuple(
        Death(
            subject=clean(item.subject),
            cause=item.cause,
            certain=item.certain,
            verdict=clean(item.verdict),
            text=lines(post(item)),
            proof=item.proof,
        )
        for item in ended[:MOST]
    )
    left = len(ended) - len(told)
    return told, f"{left} more ended; `density why {directory.path.name}` tells of all." if left else ""


def lines(text: str) -> str:
    """Text of several lines without other control characters."""
    return "\n".join("".join(c if c.isprintable() else REPLACED for c in line) for line in text.splitlines())

"""Write the forms of a run's report into its run directory, or elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from harness.records.rundir import RunDirectory
from harness.records.writing import write_atomically
from harness.report.errors import ReportError
from harness.report.html import render_html
from harness.report.junit import render_junit
from harness.report.machine import render_csv, render_json
from harness.report.markdown import render_markdown
from harness.report.picture import MAX_GUESTS, draw_timeline
from harness.report.reading import Observed
from harness.report.text import clean
from harness.report.timeline import Timeline
from harness.report.view import RunView, full_view
from harness.resources import claims_file
from harness.spec.claims import load_claims
from harness.spec.model import Claim

FILES: Mapping[str, str] = {
    "html": "report.html",
    "md": "report.md",
    "junit": "junit.xml",
    "json": "report.json",
    "csv": "report.csv",
}
"""Form → file name."""
FORMS: Mapping[str, Callable[[RunView], str]] = {
    "md": render_markdown,
    "junit": render_junit,
    "json": render_json,
    "csv": render_csv,
}
"""Forms that are made of the view-model alone."""


def write_reports(run: Path, *, forms: Iterable[str] = tuple(FILES), into: Path | None = None) -> RunView:
    """Write a judged run's reports beside its findings (or `into` a directory); return what they show.

    Raises ReportError when the run was never judged or can't be reported, RecordsError when it can't be read.
    """
    directory = RunDirectory.open(run)
    view, observed = full_view(directory, load_claims(claims_file()))
    target = directory.path if into is None else into
    for form in forms:
        text = render_page(view, observed) if form == "html" else FORMS[form](view)
        try:
            target.mkdir(parents=True, exist_ok=True)
            write_atomically(target / FILES[form], text.encode("utf-8", "replace"))
        except OSError as error:
            raise ReportError(f"{target}: {error.strerror}") from error
    return view


def report_on(
    directory: RunDirectory, claims: Mapping[str, Claim], *, records: str, home: str
) -> tuple[RunView, str, str]:
    """Return a judged run's view-model, its KubeVirt column and its HTML page, for those who write pages elsewhere."""
    view, observed = full_view(directory, claims, records=records)
    return view, observed.run.column, render_page(view, observed, home=home)


def render_page(view: RunView, observed: Observed, *, home: str = "") -> str:
    """Return the HTML page, with the picture; without one, and the reason, where the records can't be drawn."""
    try:
        svg = draw_timeline(_with_bounds(observed))
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        problem = f"the picture can't be drawn: {clean(str(error), most=200)}"
        return render_html(replace(view, problems=(*view.problems, problem)), timeline_svg="", home=home)
    return render_html(view, timeline_svg=svg, home=home)


def _with_bounds(observed: Observed) -> Timeline:
    """Put the judge's uncertainty on the picture's marks: when each was told to go, and when it was gone."""
    timeline = observed.timeline
    if len(timeline.guests) > MAX_GUESTS:
        return timeline
    for eviction in observed.run.evictions:
        when = (eviction.told.low, eviction.told.high)
        timeline.bound(eviction.key, "evicted", when, label="Evicted", line=eviction.proof[0])
    for ending in observed.run.endings:
        if ending.gone is not None and not ending.stale and ending.incarnation.is_vmi:
            when = (ending.gone.low, ending.gone.high)
            timeline.bound(ending.key, "gone", when, label="gone", line=ending.proof[0])
    return timeline

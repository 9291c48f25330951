"""Write every form of a run's report into its run directory."""

from __future__ import annotations

from pathlib import Path

from harness.records.rundir import RunDirectory
from harness.report.html import render_html
from harness.report.junit import render_junit
from harness.report.markdown import render_markdown
from harness.report.picture import draw_timeline
from harness.report.timeline import read_timeline
from harness.report.view import RunView, load_view
from harness.resources import claims_file
from harness.spec.claims import load_claims


def write_reports(run: Path) -> RunView:
    """Write `report.html`, `report.md` and `junit.xml` beside the findings; return what they show.

    Raises ReportError when the run was never judged, RecordsError when it can't be read.
    """
    view = load_view(run, load_claims(claims_file()))
    directory = RunDirectory.open(run)
    svg = draw_timeline(read_timeline(directory.provenance, directory.records()))
    (run / "report.html").write_text(render_html(view, timeline_svg=svg), encoding="utf-8")
    (run / "report.md").write_text(render_markdown(view), encoding="utf-8")
    (run / "junit.xml").write_text(render_junit(view), encoding="utf-8")
    return view

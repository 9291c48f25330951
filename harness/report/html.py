"""A run's report as one self-contained HTML page: no network, no JavaScript needed, light, dark and printable."""

from __future__ import annotations

import re

import jinja2
from markupsafe import Markup, escape

from harness.report.proof import proof_command
from harness.report.view import OUTCOME_SIGNS, RunView

ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("harness.report"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def marked(text: str) -> Markup:
    """Text with `code` between backticks set as code and links as their words; everything else escaped."""
    parts = re.split(r"`([^`]+)`", re.sub(r"\[([^\]]+)\]\([^)\s]+\)", r"\1", text))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part)
        for index, part in enumerate(parts)
    )


ENVIRONMENT.filters["marked"] = marked
MEANINGS = {
    "holds": "what the page says was seen",
    "differs": "the page is imprecise: something close to it was seen",
    "refuted": "the page is wrong: what was seen contradicts it",
    "undecided": "the uncertainty straddles the line, or the run was not valid",
    "not-observable": "this cluster can't show it",
    "error": "the check itself failed",
}
_GROUPS = (
    ("counts", "What fitted, what lived", "Counted by the judge's own index of the run."),
    (
        "latency",
        "How long it took",
        "Each is an interval: a number, and between which bounds it certainly lies. Quantiles count what never happened as longer.",
    ),
    (
        "touch",
        "What guests felt",
        "Time to read one held page, by the guest's own clock: nearest-rank percentiles over the seconds of the run.",
    ),
)
_ROWS = 60
"""Numbers of a group on the page; all are in the CSV."""


def render_html(view: RunView, *, timeline_svg: str, home: str = "") -> str:
    """Return the page. Everything but our own SVG is escaped. `home`: link to the index it belongs to."""
    template = ENVIRONMENT.get_template("run.html.j2")
    return template.render(
        view=view,
        home=home,
        signs=OUTCOME_SIGNS,
        meanings=MEANINGS,
        groups=_GROUPS,
        rows=_ROWS,
        command=proof_command([1], view.records).replace("1p", "LINEp"),
        timeline=Markup(timeline_svg),  # noqa: S704 - drawn by picture.py, whose text nodes matplotlib escapes
    )

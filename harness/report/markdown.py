"""A run's report as Markdown: for pull requests and job summaries."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from harness.report.view import Row, RunView


def render_markdown(view: RunView) -> str:
    """Return the whole report. Cells are escaped: what a guest or a cluster said can't break the table."""
    parts = [
        f"# {_escape(view.title)}",
        f"{_escape(view.scenario)} on {_escape(view.cluster)} — evidence **{view.evidence}** ({view.evidence_means})"
        + "".join(f" · {_escape(k)} {_escape(v)}" for k, v in view.badges),
    ]
    if not view.complete:
        parts.append("**Incomplete run**: its records end before the end; what is known is judged.")
    if not view.valid:
        parts.append("**Not valid**: " + "; ".join(_escape(r) for r in view.invalid_because))
    if view.claims:
        parts += ["## What the page promises", _table(view.claims, first="claim")]
    if view.requirements:
        parts += ["## What had to be seen", _table(view.requirements, first="check")]
    notes = [
        f"- `{r.claim or r.check}`: {_escape(r.reason)}"
        for r in (*view.claims, *view.requirements)
        if r.reason
    ]
    if notes:
        parts += ["## Notes", "\n".join(notes)]
    parts += [
        "## Provenance",
        tabulate([(k, _escape(v)) for k, v in view.facts], headers=["", ""], tablefmt="github"),
    ]
    if view.stated:
        parts += [
            "Stated, not observed:",
            tabulate([(k, _escape(v)) for k, v in view.stated], headers=["", ""], tablefmt="github"),
        ]
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[Row], *, first: str) -> str:
    cells = [
        (
            f"`{r.claim or r.check}`",
            f"{r.sign} {r.word}",
            _escape(r.expected),
            _escape(r.seen),
            r.margin,
            _lines(r.proof),
        )
        for r in rows
    ]
    return tabulate(
        cells,
        headers=[first, "finding", "expected", "seen", "margin", "records"],
        tablefmt="github",
        disable_numparse=True,
    )


def _lines(proof: Sequence[int]) -> str:
    return ", ".join(str(n) for n in proof[:8]) + (" …" if len(proof) > 8 else "")


def _escape(text: str) -> str:
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    for char in "\\`*_[]<>|":
        flat = flat.replace(char, "\\" + char)
    return flat

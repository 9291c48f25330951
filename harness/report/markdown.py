"""A run's report as Markdown: for pull requests and job summaries."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from harness.report.view import Row, RunView

MOST = 120
"""Numbers in a Markdown table; the rest is in the CSV."""


def render_markdown(view: RunView) -> str:
    """Return the whole report. Cells are escaped: what a guest or a cluster said can't break the table."""
    parts = [
        f"# {escape(view.title)}",
        f"{escape(view.scenario)} on {escape(view.cluster)} — evidence **{view.evidence}** ({view.evidence_means})"
        + "".join(f" · {escape(k)} {escape(v)}" for k, v in view.badges),
    ]
    if not view.complete:
        parts.append("**Incomplete run**: its records end before the end; what is known is judged.")
    if not view.valid:
        parts.append("**Not valid**: " + "; ".join(escape(r) for r in view.invalid_because))
    parts += [f"**Note**: {escape(problem)}" for problem in view.problems]
    if view.claims:
        parts += ["## What the page promises", _table(view.claims, first="claim")]
    if view.requirements:
        parts += ["## What had to be seen", _table(view.requirements, first="check")]
    if view.numbers:
        parts += ["## Numbers", _numbers(view)]
    if view.deaths or view.deaths_note:
        told = [
            f"- **{escape(d.subject)}** ({d.cause}{'' if d.certain else ', inferred'}): {escape(d.verdict)}"
            for d in view.deaths
        ]
        told += [f"- {escape(view.deaths_note)}"] if view.deaths_note else []
        parts += ["## Why VMs ended", "\n".join(told)]
    notes = [
        f"- `{r.claim or r.check}`: {escape(r.reason)}"
        for r in (*view.claims, *view.requirements)
        if r.reason
    ]
    if notes:
        parts += ["## Notes", "\n".join(notes)]
    parts += [
        "## Provenance",
        tabulate([(escape(k), escape(v)) for k, v in view.facts], headers=["", ""], tablefmt="github"),
    ]
    if view.stated:
        parts += [
            "Stated, not observed:",
            tabulate([(escape(k), escape(v)) for k, v in view.stated], headers=["", ""], tablefmt="github"),
        ]
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[Row], *, first: str) -> str:
    cells = [
        (
            f"`{r.claim or r.check}`",
            f"{r.sign} {r.word}",
            escape(r.expected),
            escape(r.seen),
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


def _numbers(view: RunView) -> str:
    cells = [
        (
            escape(item.name),
            escape(item.subject.rpartition("/")[2]) or "–",
            escape(item.text),
            f"{item.n} ({item.censored} censored)" if item.censored else str(item.n),
            escape(item.note),
            _lines(item.proof)
            if item.proof
            else f"`{item.derive}`".replace("|", "\\|")
            if item.derive
            else "",
        )
        for item in view.numbers[:MOST]
    ]
    table = tabulate(
        cells,
        headers=["number", "of", "value", "n", "note", "records"],
        tablefmt="github",
        disable_numparse=True,
    )
    left = len(view.numbers) - len(cells)
    return table + (f"\n\n{left} more numbers are in report.csv." if left > 0 else "")


def _lines(proof: Sequence[int]) -> str:
    return ", ".join(str(n) for n in proof[:8]) + (" …" if len(proof) > 8 else "")


def escape(text: str) -> str:
    """Text that can break neither a table nor a paragraph."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    for char in "\\`*_[]<>|":
        flat = flat.replace(char, "\\" + char)
    return flat

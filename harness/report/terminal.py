"""A run's report for a terminal: a table with rich when there is one to colour, plain lines otherwise."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

from tabulate import tabulate

from harness.judge.wording import beyond
from harness.report.view import Row, RunView

_STYLE = {
    "holds": "green",
    "differs": "yellow",
    "refuted": "magenta",
    "undecided": "cyan",
    "not-observable": "dim",
    "error": "bold red",
}


def print_findings(view: RunView, *, file: TextIO | None = None) -> None:
    """Print what was promised and required, and what was seen."""
    out = file if file is not None else sys.stdout
    if out.isatty():
        _rich(view, out)
    else:
        out.write(render_plain(view))


def render_plain(view: RunView) -> str:
    """Plain lines, no colour, no control characters."""
    lines = [f"{_clean(view.title)}  [{view.cluster}, evidence {view.evidence}]"]
    if not view.complete:
        lines.append("incomplete run: what is known is judged")
    lines += [f"not valid: {_clean(reason)}" for reason in view.invalid_because]
    rows = [*view.claims, *view.requirements]
    if rows:
        cells = [(r.sign, r.claim or r.check, r.word, _clean(r.expected), _clean(_seen(r))) for r in rows]
        lines.append(
            tabulate(
                cells,
                headers=["", "check", "finding", "expected", "seen"],
                tablefmt="plain",
                disable_numparse=True,
                maxcolwidths=[None, None, None, 48, 64],
            )
        )
    else:
        lines.append("nothing to judge: the scenario has neither promises nor requirements")
    lines.append(_sum_up(view))
    return "\n".join(lines) + "\n"


def _sum_up(view: RunView) -> str:
    claims = ", ".join(f"{count} {outcome}" for outcome, count in view.summary) or "no claims"
    unseen = sum(r.outcome != "holds" for r in view.requirements)
    required = f"{len(view.requirements) - unseen} of {len(view.requirements)} requirements seen"
    return f"claims: {claims}; {required}"


def _seen(row: Row) -> str:
    more = beyond(row.reason, row.seen)
    return row.seen + (f" [{more}]" if more else "")


def _rich(view: RunView, out: TextIO) -> None:
    from rich.console import Console  # noqa: PLC0415 - only where there is a terminal
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(file=out, highlight=False)
    console.print(
        Text(view.title, style="bold"),
        Text(f" {view.cluster}, evidence {view.evidence}", style="dim"),
        sep="",
    )
    if not view.complete:
        console.print(Text("incomplete run: what is known is judged", style="bold yellow"))
    for reason in view.invalid_because:
        console.print(Text(f"not valid: {_clean(reason)}", style="bold yellow"))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("", "check", "finding", "expected", "seen"):
        table.add_column(name, overflow="fold")
    rows: Sequence[Row] = (*view.claims, *view.requirements)
    for row in rows:
        style = _STYLE[row.outcome]
        if not row.claim and row.outcome == "refuted":
            style = "bold red"
        table.add_row(
            Text(row.sign, style=style),
            Text(row.claim or row.check),
            Text(row.word, style=style),
            Text(_clean(row.expected)),
            Text(_clean(_seen(row))),
        )
    console.print(table)
    console.print(Text(_sum_up(view)))


def _clean(text: str) -> str:
    """No control characters: what a guest wrote must not drive the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)

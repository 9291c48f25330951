"""A comparison as HTML, Markdown, JSON, CSV and plain text: the same numbers everywhere."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from markupsafe import Markup
from tabulate import tabulate

from harness.report.compare.bars import draw_bars
from harness.report.compare.curve import HEADS, SHOWN, Curve, answers
from harness.report.compare.grid import draw_grid
from harness.report.compare.metrics import Metric, setting_of
from harness.report.compare.pareto import draw_pareto, points
from harness.report.compare.table import SIGNS, Cell, Comparison, Group
from harness.report.compare.technique import words
from harness.report.html import ENVIRONMENT
from harness.report.markdown import escape
from harness.report.text import number

SCHEMA = 1
FILES: Mapping[str, str] = {
    "html": "comparison.html",
    "md": "comparison.md",
    "json": "comparison.json",
    "csv": "comparison.csv",
}
MEANINGS = {
    "significant": "the test, the interval and the precision of single measurements agree that there is a difference",
    "uncertain": "there may be a difference: too few runs, or too small for them",
    "none": "no detectable difference: if there is one, it lies within the interval",
}
QUESTION = "How far, and what dies first"


def render(form: str, comparison: Comparison) -> str:
    """Return one form: `html`, `md`, `json` or `csv`."""
    made = {"html": render_html, "md": render_markdown, "json": render_json, "csv": render_csv}
    return made[form](comparison)


def rows_of(comparison: Comparison, metric: Metric) -> list[tuple[Group, Cell]]:
    """Return one metric's cells, group by group."""
    return [(group, cell) for group in comparison.groups for cell in group.cells if cell.metric == metric.key]


def short(metric: Metric, cell: Cell) -> str:
    """A cell of the overview: mean, and the sign of its difference."""
    if cell.summary is None:
        return "–"
    return f"{metric.show(cell.summary.mean)}{' ' + cell.sign if cell.sign else ''}"


def render_html(
    comparison: Comparison,
    *,
    title: str = "",
    intro: str = "",
    home: tuple[str, str] = ("", ""),
    data: str = "",
    commands: Sequence[str] = (),
) -> str:
    """Return the page: overview, pictures, and for each metric the differences with their intervals.

    `intro`: what all the runs have in common. `home`: link to the index it belongs to, and its words. `data`: where the run
    directories are, ending in `/`. `commands`: how they and the page were made.
    """
    return ENVIRONMENT.get_template("compare.html.j2").render(
        c=comparison,
        title=title or f"Comparison by {comparison.by}",
        intro=intro,
        home=home,
        data=data,
        commands=commands,
        rows=[(m, rows_of(comparison, m)) for m in comparison.metrics],
        varied=[(n, m) for n, m in enumerate(comparison.metrics) if m.key not in comparison.same],
        same=_same(comparison),
        short=short,
        signs=SIGNS,
        meanings=MEANINGS,
        points=points(comparison),
        number=number,
        bars=Markup(draw_bars(comparison)),  # noqa: S704 - as below
        pareto=Markup(draw_pareto(comparison)),  # noqa: S704 - drawn by canvas.py, which escapes text
        **curve_parts(comparison.curve),
    )


def curve_parts(curve: Curve) -> dict[str, Any]:
    """What templates/curve.html.j2 shows of a curve."""
    return {
        "curve": curve,
        "question": QUESTION,
        "answers": answers(curve),
        "words": glossary(curve),
        "heads": HEADS,
        "columns": columns_of(curve),
        "grid": Markup(draw_grid(curve)),  # noqa: S704 - drawn by canvas.py, which escapes text
    }


def glossary(curve: Curve) -> tuple[tuple[str, str], ...]:
    """Return the techniques among the groups, each with what it means; nothing where the groups are something else."""
    return words(row.name for row in curve.rows) if curve.by == "technique" else ()


def columns_of(curve: Curve) -> list[str]:
    """Return the columns of a curve's table that at least one run measured."""
    return [
        key
        for key in SHOWN
        if any(cell is not None and key in cell.values for row in curve.rows for cell in row.cells)
    ]


def curve_table(curve: Curve, cleaned: Any = str) -> list[list[str]]:
    """Return head and rows, a row for each group and setting."""
    columns = columns_of(curve)
    return [
        [curve.by, "setting", "runs", *(HEADS[key] for key in columns)],
        *(
            [
                cleaned(row.name),
                cleaned(cell.setting),
                str(cell.n),
                *(cell.shown(key) for key in columns),
            ]
            for row in curve.rows
            for cell in row.cells
            if cell is not None
        ),
    ]


def _same(comparison: Comparison) -> str:
    """`0 evictions; 5 VMIs that fit`: what needs no table, '' where nothing is so."""
    return "; ".join(
        f"{m.name} {m.show(comparison.same[m.key])}" for m in comparison.metrics if m.key in comparison.same
    )


def render_markdown(comparison: Comparison) -> str:
    """Return the whole comparison as Markdown."""
    parts = [f"# Comparison by {comparison.by}", _intro(comparison)]
    parts += [f"**Caution**: {escape(c)}" for c in comparison.cautions]
    if comparison.against:
        parts += ["## Regressions", _regressions(comparison)]
    if told := answers(comparison.curve):
        parts += [f"## {QUESTION}", "\n".join(f"- {escape(line)}" for line in told)]
    if meant := glossary(comparison.curve):
        parts.append("; ".join(f"`{name}`: {escape(title)}" for name, title in meant) + ".")
    if comparison.curve.several:
        rows = curve_table(comparison.curve, escape)
        parts.append(tabulate(rows, headers="firstrow", tablefmt="github", disable_numparse=True))
    parts += [
        "## Overview",
        tabulate(_overview(comparison, escape), headers="firstrow", tablefmt="github", disable_numparse=True),
    ]
    if same := _same(comparison):
        parts.append(f"The same in every run: {same}.")
    for metric in comparison.metrics:
        if metric.key in comparison.same:
            continue
        table = tabulate(
            [
                (
                    escape(group.name),
                    escape(cell.text),
                    escape(cell.said) or ("reference" if group.reference else ""),
                )
                for group, cell in rows_of(comparison, metric)
            ],
            headers=[comparison.by, "mean (95 % interval)", f"against {escape(comparison.reference)}"],
            tablefmt="github",
            disable_numparse=True,
        )
        parts += [f"## {metric.name}", table]
    parts += [
        "## Runs",
        "\n".join(
            f"- {escape(g.name)}: {escape(', '.join(r.run for r in g.runs))}" for g in comparison.groups
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _intro(comparison: Comparison) -> str:
    return (
        f"{comparison.runs} runs ({', '.join(comparison.evidence)} evidence) in {len(comparison.groups)} groups, each held "
        f"against {escape(comparison.reference)}. "
        + "; ".join(f"{SIGNS[word]} {meaning}" for word, meaning in MEANINGS.items())
        + "."
    )


def _regressions(comparison: Comparison) -> str:
    lines = [
        f"- {'possible, ' if r.possible else ''}{escape(r.group)}: {escape(r.text)}"
        for r in comparison.regressions
    ]
    return "\n".join(lines) or "None."


def _overview(comparison: Comparison, cleaned: Any = str) -> list[list[str]]:
    same = comparison.same
    head = [comparison.by, "runs", *(m.name for m in comparison.metrics if m.key not in same)]
    rows = [
        [
            cleaned(g.name),
            str(len(g.runs)),
            *(short(m, c) for m, c in zip(comparison.metrics, g.cells, strict=True) if m.key not in same),
        ]
        for g in comparison.groups
    ]
    return [head, *rows]


def render_plain(comparison: Comparison) -> str:
    """Plain lines for a terminal: a block a metric, since a dozen columns fit none."""
    lines = [f"by {comparison.by}, {comparison.runs} runs; reference: {comparison.reference}"]
    lines += [f"caution: {c}" for c in comparison.cautions]
    if told := answers(comparison.curve):
        lines += ["", QUESTION, *(f"  {line}" for line in told)]
    if comparison.curve.several:
        rows = curve_table(comparison.curve)
        lines += ["", tabulate(rows, headers="firstrow", tablefmt="plain", disable_numparse=True)]
    for metric in comparison.metrics:
        if metric.key in comparison.same:
            lines += ["", f"{metric.name}: {metric.show(comparison.same[metric.key])} in every run"]
            continue
        cells = [
            (
                group.name,
                cell.text,
                f"{cell.sign} {cell.said}".strip() or ("reference" if group.reference else ""),
            )
            for group, cell in rows_of(comparison, metric)
        ]
        lines += [
            "",
            metric.name,
            tabulate(cells, tablefmt="plain", disable_numparse=True, maxcolwidths=[32, 44, 72]),
        ]
    if comparison.against:
        found = [
            f"{'possible ' if r.possible else ''}regression: {r.group}: {r.text}"
            for r in comparison.regressions
        ]
        lines += ["", *(found or ["no regressions"])]
    return "\n".join(lines) + "\n"


def render_json(comparison: Comparison) -> str:
    """Return everything as JSON."""
    data = {
        "schema": SCHEMA,
        **msgspec.to_builtins(comparison),
        "points": msgspec.to_builtins(points(comparison)),
    }
    return msgspec.json.format(msgspec.json.encode(_rounded(data)), indent=1).decode() + "\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list | tuple) else value


def render_csv(comparison: Comparison) -> str:
    """Return one row a group and metric, and one a run and metric (`run` set)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [
            "group",
            "run",
            "metric",
            "unit",
            "n",
            "mean",
            "low",
            "high",
            "verdict",
            "absolute",
            "relative",
            "p",
            "delta",
            "setting",
        ]
    )
    for metric in comparison.metrics:
        unit = "B" if metric.unit == "MiB" else metric.unit
        for group, cell in rows_of(comparison, metric):
            s, d = cell.summary, cell.difference
            numbers = [s.n, s.mean, s.low, s.high] if s is not None else [0, None, None, None]
            told = [d.verdict, d.absolute, d.relative, d.p, d.delta] if d is not None else [None] * 5
            writer.writerow([_safe(group.name), "", metric.key, unit, *map(_six, [*numbers, *told])])
            for run in group.runs:
                if metric.key in run.values:
                    value = _six(run.values[metric.key])
                    setting = _safe(setting_of(run))
                    row = [_safe(group.name), _safe(run.run), metric.key, unit, 1, value]
                    writer.writerow([*row, *[""] * 7, setting])
    return out.getvalue()


def _six(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text

"""A run's report for machines: JSON (the whole view-model) and CSV (one row a number or check)."""

from __future__ import annotations

import csv
import io
from typing import Any

import msgspec

from harness.report.view import Row, RunView

SCHEMA = 1
"""Of both forms; raised when a field is renamed or dropped, not when one is added."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

COLUMNS = (
    "run", "evidence", "kind", "key", "subject", "outcome", "expected", "text",
    "value", "low", "high", "unit", "n", "censored", "note", "lines",
)  # fmt: skip


def render_json(view: RunView) -> str:
    """Return the view-model as JSON: camel case, fields in their declared order."""
    data: dict[str, Any] = {"schema": SCHEMA, **msgspec.to_builtins(view)}
    data["numbers"] = [_without_empty(item) for item in data["numbers"]]
    return msgspec.json.format(msgspec.json.encode(_camel(data)), indent=1).decode() + "\n"


def render_csv(view: RunView) -> str:
    """Return checks and numbers as CSV with a header row. Text that a spreadsheet would take for a formula is quoted."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in (*view.claims, *view.requirements):
        writer.writerow(_check(view, row))
    for item in view.numbers:
        writer.writerow(
            [
                _text(view.run), view.evidence, item.group, item.key, _text(item.subject), "", "", _text(item.text),
                item.value, item.low, item.high, item.unit, item.n, item.censored, _text(item.note),
                " ".join(map(str, item.proof)),
            ]
        )  # fmt: skip
    return out.getvalue()


def _check(view: RunView, row: Row) -> list[object]:
    return [
        _text(view.run), view.evidence, "claim" if row.claim else "requirement", _text(row.claim or row.check),
        _text(", ".join(row.subjects)), row.word, _text(row.expected), _text(row.seen), "", row.low, row.high, "", "", "",
        _text(row.reason), " ".join(map(str, row.proof)),
    ]  # fmt: skip


def _text(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _without_empty(item: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in item.items() if v not in ("", [], None) or k == "value"}


def _camel(value: Any) -> Any:
    if isinstance(value, dict):
        return {_name(k): _camel(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_camel(v) for v in value]
    return value


def _name(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(word.capitalize() for word in rest)

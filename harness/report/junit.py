"""A run's report as JUnit XML, one test case a check, for CI systems."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from harness.judge.wording import beyond
from harness.report.view import Row, RunView

_ILLEGAL = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(view: RunView) -> str:
    """Return the document. A refuted requirement is a failure; a promise of the page that is wrong is a result, not a failure."""
    rows = (*view.claims, *view.requirements)
    suite = ET.Element(
        "testsuite",
        name=_clean(view.scenario or view.run),
        tests=str(len(rows)),
        failures=str(sum(_is_failure(r) for r in rows)),
        errors=str(sum(r.outcome == "error" for r in rows)),
        skipped=str(sum(r.outcome in {"not-observable", "undecided"} for r in rows)),
        timestamp=next((v for k, v in view.facts if k == "started"), ""),
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in (("evidence", view.evidence), *view.facts):
        ET.SubElement(properties, "property", name=_clean(name), value=_clean(value))
    for item in view.numbers:
        if not item.subject:
            ET.SubElement(properties, "property", name=f"number.{item.key}", value=_clean(item.text))
    for row in rows:
        case = ET.SubElement(
            suite,
            "testcase",
            classname=_clean(view.scenario or view.run),
            name=_clean(row.claim or row.check),
        )
        more = beyond(row.reason, row.seen)
        line = f"{row.word}: expected {row.expected}; seen {row.seen}" + (f" ({more})" if more else "")
        if row.outcome == "error":
            ET.SubElement(case, "error", message=_clean(line))
        elif _is_failure(row):
            ET.SubElement(case, "failure", message=_clean(line))
        elif row.outcome in {"not-observable", "undecided"}:
            ET.SubElement(case, "skipped", message=_clean(line))
        ET.SubElement(case, "system-out").text = _clean(line + (f"\n{row.jq}" if row.jq else ""))
    ET.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suite, encoding="unicode") + "\n"


def _is_failure(row: Row) -> bool:
    return (not row.claim and row.outcome == "refuted") or row.surprise


def _clean(text: str) -> str:
    return _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", text)

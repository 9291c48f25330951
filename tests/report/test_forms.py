"""One view-model, many forms: the same words and numbers everywhere, and nothing a guest said can break a form."""

from __future__ import annotations

import io
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from harness.judge.model import Finding, Findings
from harness.records.model import Provenance
from harness.report.html import render_html
from harness.report.junit import render_junit
from harness.report.markdown import render_markdown
from harness.report.proof import proof_command
from harness.report.terminal import print_findings, render_plain
from harness.report.view import RunView, make_view
from harness.spec.model import Claim

HOSTILE = '<script>alert(1)</script> | `x` \x1b[31mred\x1b[0m "quoted" & \x00'


def provenance(**changes: object) -> Provenance:
    values: dict[str, object] = {
        "schema": 1,
        "run": "20260101T000000Z-hard-eviction-local-abc123",
        "scenario": {
            "path": "suites/road/hard-eviction.yaml",
            "title": "A hard eviction gives about two seconds",
        },
        "cluster": "local",
        "evidence": "kernel",
        "started": "2026-01-01T00:00:00.000Z",
        "qualifiers": {"accelerator": "tcg", "cgroup": "v1"},
        "versions": {"kubevirtColumn": "main"},
        "outcome": "complete",
        "command": ["density", "run", "suites/road/hard-eviction.yaml", "--set", "a b=c"],
    }
    return Provenance(**(values | changes))  # type: ignore[arg-type]


def finding(**changes: object) -> Finding:
    values: dict[str, object] = {
        "check": "promises/0",
        "kind": "grace",
        "claim": "HARD-2a",
        "expected": "at most 0 s",
        "seen": "2.2 s (2.1 … 2.4)",
        "outcome": "differs",
        "low": 2.1,
        "high": 2.4,
        "margin": -2.1,
        "proof": [17, 20],
    }
    return Finding(**(values | changes))  # type: ignore[arg-type]


CLAIMS = {
    "HARD-2a": Claim(
        id="HARD-2a",
        quote="This stops VMIs without a grace period",
        promise="no grace",
        promise_kind="grace",
        promise_args={"max": 0.0},
        today=(),
        decided_by="kubelet",
    )
}


def view(*rows: Finding, complete: bool = True, valid: bool = True, **changes: object) -> RunView:
    found = Findings(
        schema=1,
        run="r",
        complete=complete,
        valid=valid,
        invalid_because=[] if valid else ["the control was evicted too"],
        findings=list(rows),
    )
    return make_view(provenance(**changes), found, CLAIMS)


REQUIREMENT = finding(
    check="requires/0",
    claim="",
    kind="evicted",
    expected="1 of small-request",
    seen="none",
    outcome="refuted",
    margin=None,
)


def test_every_form_shows_the_same_words() -> None:
    shown = view(finding(), REQUIREMENT)
    forms = [
        render_markdown(shown),
        render_html(shown, timeline_svg=""),
        render_junit(shown),
        render_plain(shown),
    ]
    for form in forms:
        for words in ("HARD-2a", "differs", "at most 0 s", "2.2 s (2.1 … 2.4)", "not seen"):
            assert words in form, words


def test_a_requirement_not_seen_fails_in_junit_and_a_wrong_page_does_not() -> None:
    suite = ET.fromstring(render_junit(view(finding(), REQUIREMENT)))
    assert suite.attrib["tests"] == "2"
    assert suite.attrib["failures"] == "1"
    failed = [c.attrib["name"] for c in suite.iter("testcase") if c.find("failure") is not None]
    assert failed == ["requires/0"]


@pytest.mark.parametrize("outcome", ["not-observable", "undecided"])
def test_what_was_not_decided_is_skipped_in_junit_never_passed(outcome: str) -> None:
    suite = ET.fromstring(render_junit(view(finding(outcome=outcome, reason="no writable cgroup"))))
    skipped = suite.find("testcase/skipped")
    assert skipped is not None
    assert "no writable cgroup" in skipped.attrib["message"]


def test_a_surprise_fails_and_is_named() -> None:
    shown = view(finding(outcome="refuted", surprise=True))
    assert "refuted (surprise)" in render_plain(shown)
    assert ET.fromstring(render_junit(shown)).attrib["failures"] == "1"


class _Scripts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v or "" for k, v in attrs if k in {"src", "href"}]


def test_hostile_words_do_no_harm_in_any_form() -> None:
    shown = view(finding(seen=HOSTILE, reason=HOSTILE), scenario={"path": HOSTILE, "title": HOSTILE})
    page = _Scripts()
    page.feed(render_html(shown, timeline_svg=""))
    assert "script" not in page.tags
    assert page.links == [], "self-contained: nothing is loaded from anywhere"
    ET.fromstring(render_junit(shown))
    assert "\x1b" not in render_plain(shown)
    rows = [line for line in render_markdown(shown).splitlines() if line.startswith("| `HARD-2a`")]
    assert len(rows) == 1
    assert rows[0].replace("\\|", "").count("|") == 7, "six cells, whatever was said"
    assert "<script" not in render_markdown(shown).replace("\\<", "")


def test_incomplete_and_invalid_runs_say_so_everywhere() -> None:
    shown = view(finding(), complete=False, valid=False, outcome="")
    for form in (render_markdown(shown), render_html(shown, timeline_svg=""), render_plain(shown)):
        assert "ncomplete" in form
        assert "the control was evicted too" in form


def test_a_pipe_gets_plain_text() -> None:
    out = io.StringIO()
    print_findings(view(finding()), file=out)
    assert "HARD-2a" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_the_command_line_can_be_pasted() -> None:
    facts = dict(view(finding()).facts)
    assert facts["command"] == "density run suites/road/hard-eviction.yaml --set 'a b=c'"


def test_proof_is_a_command_that_prints_the_records() -> None:
    assert proof_command([20, 17]) == "sed -n '17p;20p' records.ndjson | jq ."
    assert proof_command([]) == ""


def test_forms_are_the_same_bytes_twice() -> None:
    first, second = view(finding(), REQUIREMENT), view(finding(), REQUIREMENT)
    assert render_html(first, timeline_svg="") == render_html(second, timeline_svg="")
    assert render_markdown(first) == render_markdown(second)

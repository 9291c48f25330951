"""The published pages: statuses by the truth table, sentences with their claims, and that what is committed is current."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.cli.site_cmd import build
from harness.judge.model import Finding, Findings
from harness.records.model import Provenance
from harness.report.site.pages import render_index
from harness.report.site.sentences import read_page
from harness.report.site.statuses import ClaimStatus, Published, statuses
from harness.report.site.upstream import render_upstream
from harness.report.view import make_view
from harness.spec.claims import load_claims
from harness.spec.model import Claim

ROOT = Path(__file__).parents[3]
CLAIMS = load_claims(ROOT / "suites" / "claims.yaml")
PAGE = (ROOT / "suites" / "page.md").read_text(encoding="utf-8")


def run(slug: str, evidence: str, column: str = "main", **outcomes: str) -> Published:
    provenance = Provenance(
        schema=1,
        run=slug,
        scenario={"path": "s.yaml", "title": slug},
        cluster="c",
        evidence=evidence,  # type: ignore[arg-type]
        started="2026-01-01T00:00:00Z",
    )
    findings = Findings(
        schema=1,
        run=slug,
        complete=True,
        valid=True,
        findings=[
            Finding(
                check=f"promises/{n}",
                kind="grace",
                claim=claim.replace("_", "-"),
                expected="at most 0 s",
                seen="2.2 s",
                outcome=outcome,  # type: ignore[arg-type]
            )
            for n, (claim, outcome) in enumerate(outcomes.items())
        ],
    )
    return Published(slug=slug, view=make_view(provenance, findings, CLAIMS), column=column)


def of(*runs: Published) -> dict[str, ClaimStatus]:
    return statuses(CLAIMS, runs)


def test_the_kernel_alone_does_not_settle_what_the_kubelet_decides() -> None:
    found = of(run("local", "kernel", HARD_2a="differs"))["HARD-2a"]
    assert (found.status, found.outcome, found.sign) == ("unsettled (indicates differs)", "unsettled", "~")
    assert not found.shown[0].sufficient


def test_sufficient_evidence_stands_first_and_settles() -> None:
    found = of(run("a-local", "kernel", HARD_2a="holds"), run("b-kind", "real", HARD_2a="differs"))["HARD-2a"]
    assert found.status == "differs"
    assert found.best is not None
    assert found.best.run.slug == "b-kind"
    assert found.best.anchor == "HARD-2a-1"


def test_runs_that_disagree_are_contested_and_none_is_no_run_yet() -> None:
    found = of(run("a", "real", HARD_2a="holds"), run("b", "real", HARD_2a="differs"))
    assert found["HARD-2a"].status == "contested"
    assert found["GFX-1"].status == "no run yet"
    assert found["INTRO-3"].status == "untestable"


def test_every_sentence_of_the_page_has_its_claims_and_its_heading() -> None:
    sentences = read_page(PAGE, CLAIMS.values())
    assert len(sentences) == 68
    assert all(s.claims and s.heading for s in sentences)
    (stops,) = [s for s in sentences if s.text.startswith("This stops VMIs without a grace period")]
    assert [c.id for c in stops.claims] == ["HARD-2a", "HARD-2b", "HARD-2d"]
    assert stops.heading == "Configuring Hard Eviction Thresholds"
    assert {c.id for s in sentences for c in s.claims} == set(CLAIMS)
    assert sum(bool(s.code) for s in sentences) == 2
    assert sentences[10].code.startswith(
        "apiVersion: kubevirt.io/v1alpha3\nkind: VirtualMachineInstance\nmetadata:\n  name"
    )


def test_a_hostile_claim_stays_text_on_the_index() -> None:
    hostile = Claim(
        id="X-1",
        quote="A sentence.",
        promise="<script>alert(1)</script>",
        promise_kind="grace",
        promise_args={},
        today=(),
        decided_by="kubelet",
        corrected="<img src=x onerror=alert(1)>",
    )
    claims = {"X-1": hostile}
    page = render_index(read_page("Title\n=====\n\nA sentence.\n", [hostile]), statuses(claims, []), [])
    assert "<script" not in page
    assert "<img" not in page


def test_upstream_lists_a_wrong_sentence_with_its_correction_and_run() -> None:
    text = render_upstream(of(run("b-kind", "real", HARD_2a="differs")), to_runs="../reports/runs/")
    shown = text[text.index("## Shown") : text.index("## No run shows it yet")]
    assert "> This stops VMIs without a grace period\n" in shown
    assert "> This stops VMIs with a grace period of about two seconds\n" in shown
    assert "(../reports/runs/b-kind.html#HARD-2a-1) (real evidence, KubeVirt main): differs" in shown
    assert "### GFX-1: no run yet" in text


pytestmark = pytest.mark.timeout(240)  # draws every picture once


@pytest.fixture(scope="module")
def built() -> dict[str, str]:
    return build(ROOT)


def test_what_is_committed_is_current(built: dict[str, str]) -> None:
    stale = [
        name
        for name, text in built.items()
        if not (ROOT / name).is_file() or (ROOT / name).read_text("utf-8") != text
    ]
    assert stale == [], "run: density site"


def test_links_of_the_index_lead_to_rows_that_are_there(built: dict[str, str]) -> None:
    links = re.findall(r'href="(runs/[^"#]+)#([^"]+)"', built["reports/index.html"])
    assert len(links) > 20
    missing = [(page, anchor) for page, anchor in links if f'id="{anchor}"' not in built[f"reports/{page}"]]
    assert missing == []
    for name, text in built.items():
        for anchor in set(re.findall(r'href="#([^"]+)"', text)):
            assert f'id="{anchor}"' in text, (name, anchor)

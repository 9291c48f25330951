"""What collections of a real cluster's answers show of the page's sentences, and that one altered byte is noticed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.judge.judge import judge
from harness.judge.model import Findings
from harness.run.importing import import_recording
from harness.spec.loader import load_scenario
from tests.judge.recorded import CLAIMS, RECORDINGS, SCENARIOS

RESOURCES = ("resources", "kubevirt-resource-matrix")
ANSWERS = ("api-answers", "kubevirt-api-answers")
FOUND = {
    RESOURCES: {
        "GFX-2": "differs",
        "OVH-1": "holds",
        "OVH-2": "holds",
        "GUEST-2a": "holds",
        "QOS-0": "holds",
        "QOS-1": "differs",
        "QOS-2": "holds",
        "QOS-4": "refuted",
        "QOS-5c": "holds",
        "QOS-6a": "holds",
        "IMPL-1": "holds",
        "IMPL-2": "holds",
        "IMPL-5": "holds",
    },
    ANSWERS: {"GFX-1": "refuted", "GFX-3": "holds", "IMPL-4": "differs"},
}


def found(which: tuple[str, str], root: Path, recording: Path | None = None) -> Findings:
    scenario = load_scenario(SCENARIOS / f"{which[0]}.yaml", claims=CLAIMS)
    run = import_recording(recording or RECORDINGS / f"{which[1]}.ndjson.gz", scenario, root / "runs")
    assert run.provenance.evidence == "real"
    return judge(run.provenance, tuple(run.records()), scenario, CLAIMS)


@pytest.mark.parametrize("which", [RESOURCES, ANSWERS])
def test_what_the_collections_show(which: tuple[str, str], tmp_path: Path) -> None:
    findings = found(which, tmp_path)
    claims: dict[str, set[str]] = {}
    for finding in findings.findings:
        if finding.claim:
            claims.setdefault(finding.claim, set()).add(finding.outcome)
    assert claims == {claim: {expected} for claim, expected in FOUND[which].items()}
    assert {f.outcome for f in findings.findings if not f.claim} == {"holds"}


def _video(case: dict[str, Any]) -> None:
    if case["case"] == "headless" and case["settings"] == "default":
        case["pod"]["spec"]["containers"][0]["resources"]["requests"]["memory"] = "385Mi"


def _accept(case: dict[str, Any]) -> None:
    if case["case"] == "overcommit-quoted":
        case["answer"].update(status=200, body={})


@pytest.mark.parametrize(
    ("which", "alter", "claim", "finding"),
    [(RESOURCES, _video, "GFX-2", "refuted"), (ANSWERS, _accept, "IMPL-4", "holds")],
)
def test_another_answer_is_another_finding(
    which: tuple[str, str], alter: Callable[[dict[str, Any]], None], claim: str, finding: str, tmp_path: Path
) -> None:
    rows = [
        json.loads(line)
        for line in gzip.decompress((RECORDINGS / f"{which[1]}.ndjson.gz").read_bytes()).splitlines()
    ]
    for row in rows:
        alter(row)
    altered = tmp_path / "altered.ndjson"
    altered.write_text("".join(json.dumps(row) + "\n" for row in rows))
    findings = found(which, tmp_path, altered)
    assert {f.outcome for f in findings.findings if f.claim == claim} == {finding}

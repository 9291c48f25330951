"""`density claims --coverage`, and that nothing is promised by nobody unsaid."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from harness.cli import coverage
from harness.cli.main import app
from harness.judge.judge import to_bytes
from harness.judge.model import Finding, Findings
from harness.records.model import Provenance
from harness.records.rundir import RunDirectory
from harness.spec.claims import load_claims
from harness.spec.unpromised import load_unpromised

SUITES = Path(__file__).parents[2] / "suites"
runner = CliRunner()


def test_every_testable_claim_is_promised_by_a_scenario_or_listed_with_a_reason() -> None:
    claims = load_claims(SUITES / "claims.yaml")
    promised = {claim for claim, files in coverage.promises(SUITES, claims).items() if files}
    listed = set(load_unpromised(SUITES / "unpromised.yaml", claims))
    testable = {claim.id for claim in claims.values() if claim.untestable is None}
    assert testable - promised - listed == set()
    assert listed & promised == set(), "listed as promised by no scenario, and promised by one"
    assert listed - testable == set()


def test_a_given_run_counts_beside_what_is_committed(tmp_path: Path) -> None:
    made = RunDirectory.create(
        tmp_path / "runs",
        Provenance(
            schema=1, run="", scenario={"name": "s"}, cluster="local", evidence="kernel",
            started="2026-01-01T00:00:00Z", outcome="complete", versions={"kubevirtColumn": "main"},
        ),
    )  # fmt: skip
    found = Finding(check="p", claim="KSM-1", kind="ksm", expected="", seen="", outcome="holds")
    made.write_findings(
        to_bytes(Findings(schema=1, run=made.id, complete=True, valid=True, findings=[found]))
    )
    command = ["claims", "--coverage", "-o", "json", "--root", str(tmp_path)]
    without = json.loads(runner.invoke(app, command).stdout)
    result = runner.invoke(app, [*command, "--runs", str(tmp_path / "runs")])
    assert result.exit_code == 1  # the others are not settled
    rows = {row["claim"]: row for row in json.loads(result.stdout)["claims"]}
    assert rows["KSM-1"]["state"] == "done"
    assert rows["KSM-1"]["seen"][0]["run"] == made.id
    assert {row["claim"]: row for row in without["claims"]}["KSM-1"]["state"] == "missing"


def test_a_run_that_was_not_judged_is_refused(tmp_path: Path) -> None:
    RunDirectory.create(
        tmp_path,
        Provenance(
            schema=1, run="r", scenario={}, cluster="local", evidence="kernel", started="2026-01-01T00:00:00Z"
        ),
    )
    result = runner.invoke(
        app, ["claims", "--coverage", "--root", str(tmp_path), "--runs", str(tmp_path / "r")]
    )
    assert "was not judged" in str(result.exception)

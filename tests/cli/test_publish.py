"""`density site --add RUN`: what goes into the published data, and what does not."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.cli import errors
from harness.cli.main import app
from harness.cli.publish import publish
from harness.records.rundir import RunDirectory
from tests.report import directories


def run(tmp_path: Path, **fields: Any) -> RunDirectory:
    made = directories.write(tmp_path / "runs", directories.fleet(2), **fields)
    (made / "artefacts" / "console.log").write_text("large")
    (made / "control-findings.json").write_text("{}")
    return RunDirectory.open(made)


def test_a_run_is_copied_compressed_without_artefacts_and_findings(tmp_path: Path) -> None:
    made = run(tmp_path)
    target = publish(made, tmp_path)
    assert target == tmp_path / "reports" / "data" / made.path.name
    assert sorted(p.name for p in target.iterdir()) == [
        "control-findings.json",
        "records.ndjson.gz",
        "run.json",
    ]
    packed = (target / "records.ndjson.gz").read_bytes()
    assert gzip.decompress(packed) == made.records_path.read_bytes()
    publish(made, tmp_path)
    assert (target / "records.ndjson.gz").read_bytes() == packed
    assert len(list(RunDirectory.open(target).records())) == len(list(made.records()))
    elsewhere = tmp_path / "again"
    publish(RunDirectory.open(target) if (target / "findings.json").exists() else made, elsewhere)
    assert (elsewhere / "reports/data" / target.name / "records.ndjson.gz").read_bytes() == packed


def test_runs_of_the_study_are_kept_apart(tmp_path: Path) -> None:
    made = run(tmp_path, scenario={"name": "density-ksm-r1", "path": "suites/study/density.yaml"})
    assert publish(made, tmp_path).parent == tmp_path / "reports" / "data" / "study"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"outcome": "interrupted"}, "interrupted; only whole runs are published"),
        ({"outcome": ""}, "incomplete; only whole runs"),
        ({"control_of": "main-run"}, "a control run; add the run it belongs to"),
    ],
)
def test_what_is_not_whole_is_refused(tmp_path: Path, fields: dict[str, Any], why: str) -> None:
    with pytest.raises(errors.UsageError, match=why):
        publish(run(tmp_path, **fields), tmp_path)


def test_what_was_not_judged_or_recorded_is_refused(tmp_path: Path) -> None:
    made = run(tmp_path)
    (made.path / "findings.json").unlink()
    with pytest.raises(errors.UsageError, match="was not judged"):
        publish(made, tmp_path)
    made.records_path.unlink()
    with pytest.raises(errors.UsageError, match="has no records"):
        publish(made, tmp_path)


def test_where_it_was_made_is_left_out(tmp_path: Path) -> None:
    made = run(
        tmp_path,
        scenario={"name": "s", "path": "/home/me/checkout/suites/ksm/merge.yaml"},
        command=[
            "density",
            "run",
            "/home/me/checkout/suites/ksm/merge.yaml",
            "--runs-dir",
            "/tmp/x",
            "--set",
            "a=/b",
        ],
    )
    kept = RunDirectory.open(publish(made, tmp_path)).provenance
    assert kept.scenario == {"name": "s", "path": "suites/ksm/merge.yaml"}
    assert kept.command == ["density", "run", "suites/ksm/merge.yaml", "--set", "a=/b"]


def test_of_a_directory_of_runs_those_that_are_whole_are_added(tmp_path: Path) -> None:
    whole = run(tmp_path)
    directories.write(
        tmp_path / "runs", directories.fleet(2), run="20260101T000000Z-cut-local-abc123", outcome="failed"
    )
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "page.md").write_text("")
    result = CliRunner().invoke(app, ["site", "--root", str(tmp_path), "--add", str(tmp_path / "runs")])
    lines = result.stdout.splitlines()
    assert lines[0].endswith("cut-local-abc123: failed; only whole runs are published")
    assert lines[1] == f"added: {tmp_path / 'reports' / 'data' / whole.path.name}"

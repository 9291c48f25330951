"""`density site --add RUN`: what goes into the published data, and what does not."""

from __future__ import annotations

import gzip
import random
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from harness.cli import errors
from harness.cli.main import app
from harness.cli.publish import packed, publish
from harness.records.rundir import RunDirectory
from harness.spec.loader import load_scenario, source_for_run
from tests.report import directories

ROAD = Path(__file__).parents[2] / "suites" / "road" / "hard-eviction.yaml"


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
    whole = run(tmp_path, scenario=source_for_run(load_scenario(ROAD).source))
    directories.write(
        tmp_path / "runs", directories.fleet(2), run="20260101T000000Z-cut-local-abc123", outcome="failed"
    )
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "page.md").write_text("")
    result = CliRunner().invoke(app, ["site", "--root", str(tmp_path), "--add", str(tmp_path / "runs")])
    lines = result.stdout.splitlines()
    assert lines[0].endswith("cut-local-abc123: failed; only whole runs are published")
    assert lines[1] == f"added: {tmp_path / 'reports' / 'data' / whole.path.name}"
    # There are no claims in this checkout, so no pages: what was added is taken back.
    assert result.exit_code != 0
    assert list((tmp_path / "reports" / "data").iterdir()) == []


def test_a_run_whose_scenario_was_not_kept_is_refused_before_anything_is_copied(tmp_path: Path) -> None:
    made = run(tmp_path)
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "page.md").write_text("")
    result = CliRunner().invoke(app, ["site", "--root", str(tmp_path), "--add", str(made.path)])
    assert isinstance(result.exception, errors.UsageError)
    assert "its scenario was not kept in run.json" in str(result.exception)
    assert not (tmp_path / "reports").exists()


def test_the_bytes_are_those_of_gzip_whatever_the_form_of_the_records(tmp_path: Path) -> None:
    made = run(tmp_path)
    data = made.records_path.read_bytes()
    expected = gzip.compress(data, compresslevel=9, mtime=0)
    assert packed(made.records_path) == expected
    other = tmp_path / "records.ndjson.gz"
    other.write_bytes(gzip.compress(data, compresslevel=1))
    assert packed(other) == expected


def test_records_that_are_cut_or_no_gzip_or_too_large_are_one_clear_error(tmp_path: Path) -> None:
    bad = tmp_path / "records.ndjson.gz"
    for data in (b"no gzip", gzip.compress(b"x" * 100_000)[:-20]):
        bad.write_bytes(data)
        with pytest.raises(errors.UsageError, match="not readable"):
            packed(bad)
    noise = random.Random(1).randbytes(26 << 20)
    (tmp_path / "records.ndjson").write_bytes(noise)
    with pytest.raises(errors.UsageError, match="more than 25 MiB even when compressed"):
        packed(tmp_path / "records.ndjson")

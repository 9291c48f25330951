"""The same run directory gives the same bytes, wherever and however it is judged; a cut one is judged as incomplete."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.judge.judge import judge, to_bytes
from harness.judge.model import Findings
from harness.records.rundir import RunDirectory
from harness.run.importing import import_recording
from tests.judge.recorded import CLAIMS, ROOT, recording, scenario

REPLAY = """
import sys
from pathlib import Path
from harness.judge.judge import judge, to_bytes
from harness.records.rundir import RunDirectory
from harness.spec.claims import load_claims
from harness.spec.loader import load_scenario
run = RunDirectory.open(Path(sys.argv[1]))
claims = load_claims(Path(sys.argv[3]))
sys.stdout.buffer.write(to_bytes(judge(run.provenance, run.records(), load_scenario(sys.argv[2]), claims)))
"""
NAME = "vm-always-evicted"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return import_recording(recording(NAME), scenario(NAME), tmp_path_factory.mktemp("runs"))


def findings(directory: RunDirectory) -> Findings:
    return judge(directory.provenance, directory.records(), scenario(NAME), CLAIMS)


@pytest.mark.parametrize(
    ("where", "environment"),
    [
        ("a", {"TZ": "Pacific/Chatham", "LC_ALL": "C", "PYTHONHASHSEED": "1"}),
        ("b/c with spaces", {"TZ": "America/St_Johns", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "4242"}),
    ],
)
def test_replay_gives_identical_bytes(
    run: RunDirectory, tmp_path: Path, where: str, environment: dict[str, str]
) -> None:
    elsewhere = tmp_path / where
    shutil.copytree(run.path, elsewhere)
    scenario_file = ROOT / "suites" / "recorded" / f"{NAME}.yaml"
    argv = [
        sys.executable,
        "-c",
        REPLAY,
        str(elsewhere),
        str(scenario_file),
        str(ROOT / "suites/claims.yaml"),
    ]
    made = subprocess.run(
        argv,
        capture_output=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    assert made.stdout == to_bytes(findings(run))


def test_a_gzipped_record_file_is_the_same_run(run: RunDirectory, tmp_path: Path) -> None:
    import gzip  # noqa: PLC0415

    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    plain = copy / "records.ndjson"
    (copy / "records.ndjson.gz").write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    plain.unlink()
    assert to_bytes(findings(RunDirectory.open(copy))) == to_bytes(findings(run))


def cut(run: RunDirectory, tmp_path: Path, size: int) -> Findings:
    copy = tmp_path / "cut"
    if not copy.exists():
        shutil.copytree(run.path, copy)
    data = run.records_path.read_bytes()
    (copy / "records.ndjson").write_bytes(data[:size])
    directory = RunDirectory.open(copy)
    made = findings(directory)
    assert not directory.complete
    return made


def test_a_file_cut_at_every_byte_of_its_end_is_accepted_and_incomplete(tmp_path: Path) -> None:
    """On a small run, so that every offset of the last lines can be tried."""
    from harness.records.model import Guest, Note  # noqa: PLC0415
    from harness.units import Seconds  # noqa: PLC0415
    from tests.judge.world import PROVENANCE  # noqa: PLC0415
    from tests.judge.world import scenario as small  # noqa: PLC0415

    directory = RunDirectory.create(tmp_path, PROVENANCE)
    with directory.writer() as writer:
        writer.append(Note(t=Seconds(0.0), at="", what="header"))
        writer.append(Guest(t=Seconds(1.0), at="", vmi="d/hog", line="grüße, 世界, 🐏"))
    data = directory.records_path.read_bytes()
    assert directory.complete
    for size in range(len(data)):
        directory.records_path.write_bytes(data[:size])
        made = judge(PROVENANCE, directory.records(), small("hog"), {})
        # Without its last newline the `end` record is whole all the same.
        assert made.complete == directory.complete == (size == len(data) - 1), size


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(min_value=0, max_value=0.9999))
def test_a_run_cut_anywhere_is_judged_without_decisions_of_absence(
    run: RunDirectory, tmp_path: Path, share: float
) -> None:
    size = int(len(run.records_path.read_bytes()) * share)
    made = cut(run, tmp_path, size)
    assert not made.complete
    assert not [f for f in made.findings if f.outcome == "error"]
    whole = {f.check: f.outcome for f in findings(run).findings}
    for found in made.findings:
        # What was decided on less must not be the opposite of what more shows.
        assert found.outcome in {whole[found.check], "undecided", "not-observable"}, found

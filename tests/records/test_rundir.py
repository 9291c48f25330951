"""Run directories and record files: created once, appended crash-safely, read whatever is left."""

from __future__ import annotations

import gzip
import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.records.errors import (
    BadProvenance,
    NewerSchema,
    NotARunDirectory,
    RunDirectoryExists,
    WriteFailed,
)
from harness.records.model import Action, End, Guest, Kernel, Note, Provenance, Record, Sample, Watch
from harness.records.reading import Reading, read_records
from harness.records.rundir import RunDirectory, run_id
from harness.records.writing import RecordWriter
from harness.units import Seconds

PROVENANCE = Provenance(
    schema=1,
    run="",
    scenario={"path": "suites/road/hard-eviction.yaml", "text": "", "files": {}, "set": []},
    cluster="local",
    evidence="kernel",
    started="2026-11-28T18:39:38.123456+00:00",
)


def guest(number: int, line: str = "x") -> Guest:
    return Guest(t=Seconds(float(number)), at=f"at-{number}", vmi="d/hog", line=line)


def test_a_run_is_named_by_time_scenario_cluster_and_chance(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "runs", PROVENANCE)
    assert re.fullmatch(r"20261128T183938Z-hard-eviction-local-[0-9a-f]{6}", run.path.name)
    assert run.provenance.run == run.id == run.path.name
    assert run.artefacts.is_dir()
    assert RunDirectory.create(tmp_path / "runs", PROVENANCE).id != run.id


def test_names_are_fit_for_file_systems() -> None:
    made = run_id(started="2026-11-28T18:39:38Z", scenario="Über alles / ../x", cluster="")
    assert re.fullmatch(r"20261128T183938Z-ber-alles-..-x-run-[0-9a-f]{6}", made)


def test_a_given_name_is_kept_and_never_reused(tmp_path: Path) -> None:
    named = msgspec.structs.replace(PROVENANCE, run="mine")
    RunDirectory.create(tmp_path, named)
    with pytest.raises(RunDirectoryExists, match="mine: exists already"):
        RunDirectory.create(tmp_path, named)


def test_provenance_is_updated_on_disk(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, PROVENANCE)
    run.update(outcome="complete", qualifiers={"accelerator": "tcg"})
    again = RunDirectory.open(run.path).provenance
    assert (again.outcome, again.qualifiers, again.started) == (
        "complete",
        {"accelerator": "tcg"},
        "2026-11-28T18:39:38.123456+00:00",
    )
    assert [p.name for p in run.path.iterdir()] == ["run.json", "artefacts"] or not list(
        run.path.glob("*.tmp")
    )


def test_json_names_are_camel_case(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, msgspec.structs.replace(PROVENANCE, control_of="other"))
    assert json.loads((run.path / "run.json").read_text())["controlOf"] == "other"


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        (None, NotARunDirectory, "not a run directory"),
        ("{", BadProvenance, "run.json"),
        ('{"schema": 1}', BadProvenance, "run.json"),
        ('{"schema": 2, "anything": []}', NewerSchema, "schema 2, this program reads up to 1"),
    ],
)
def test_what_is_no_run_directory_says_so_in_one_line(
    tmp_path: Path, text: str | None, error: type[Exception], words: str
) -> None:
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(error, match=words) as caught:
        RunDirectory.open(tmp_path)
    assert "\n" not in str(caught.value)


def test_unknown_fields_of_a_newer_minor_version_are_passed_over(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, PROVENANCE)
    value = {**json.loads((run.path / "run.json").read_text()), "mood": "good"}
    (run.path / "run.json").write_text(json.dumps(value))
    assert RunDirectory.open(run.path).id == run.id


RECORDS: list[Record] = [
    Note(t=Seconds(0.0), at="a", what="header", data={"x": 1}),
    Watch(t=Seconds(0.1), at="b", type="ADDED", object={"kind": "Pod", "n": 9223372036854775807}),
    Sample(t=Seconds(0.2), at="c", source="cgroup", node="n", subject="/", data={"usage": 1}),
    Guest(t=Seconds(0.3), at="d", vmi="d/hog", line="@ hello grüße 🐏"),
    Action(t=Seconds(0.4), at="e", what="create", target="d/hog", args={"fleet": "hog"}),
    Kernel(t=Seconds(0.5), at="f", scope="node", pid=7, oomScoreAdj=-5, lines=["a"]),
]


def test_records_come_back_as_they_went_with_their_line_numbers(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, PROVENANCE)
    with run.writer() as writer:
        assert [writer.append(record) for record in RECORDS] == [1, 2, 3, 4, 5, 6]
    counts = {"action": 1, "guest": 1, "kernel": 1, "note": 1, "sample": 1, "watch": 1}
    end = End(t=Seconds(0.5), at="f", counts=counts)
    assert list(run.records()) == list(enumerate([*RECORDS, end], start=1))
    assert run.complete


def test_records_are_written_once(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, PROVENANCE)
    run.writer().close()
    with pytest.raises(RunDirectoryExists, match="recorded once"):
        run.writer()


def test_an_error_leaves_the_run_incomplete(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, PROVENANCE)

    def fail() -> None:
        with run.writer() as writer:
            writer.append(RECORDS[0])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [record for _, record in run.records()] == RECORDS[:1]
    assert not run.complete


def test_a_run_without_records_is_incomplete(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, PROVENANCE)
    assert (list(run.records()), run.complete) == ([], False)


def test_what_was_flushed_survives_sigkill(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, time\n"
        "from pathlib import Path\n"
        "from harness.records.writing import RecordWriter\n"
        "from harness.records.model import Guest\n"
        "w = RecordWriter(Path(sys.argv[1]))\n"
        "for n in range(50): w.append(Guest(t=float(n), at='', vmi='d/hog', line='x'))\n"
        "w.flush()\n"
        "w.append(Guest(t=99.0, at='', vmi='d/hog', line='lost with the last second'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "records.ndjson"
    ended = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(list(read_records(path))) == 50


def test_the_writer_flushes_by_itself_within_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("harness.records.writing.time.monotonic", lambda: now)
    path = tmp_path / "records.ndjson"
    writer = RecordWriter(path)
    writer.append(guest(1))
    now = 100.9
    writer.append(guest(2))
    assert path.read_bytes() == b""
    now = 101.0
    writer.append(guest(3))
    assert len(path.read_bytes().splitlines()) == 3
    writer.close()


def test_a_full_disk_leaves_whole_records_and_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "records.ndjson"
    writer = RecordWriter(path)
    writer.append(guest(1))
    writer.flush()
    size = path.stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size * 2 + size // 2, before[1]))
    try:
        for number in range(2, 6):
            writer.append(guest(number))
        with pytest.raises(WriteFailed, match=r"records\.ndjson: File too large"):
            writer.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [record.t for _, record in read_records(path)] == [1.0, 2.0]
    assert path.read_bytes().endswith(b"\n")
    with pytest.raises(WriteFailed, match="closed"):
        writer.append(guest(7))


def test_unknown_streams_and_members_keep_their_place_as_notes(tmp_path: Path) -> None:
    path = tmp_path / "records.ndjson"
    path.write_text(
        '{"t":1.0,"at":"a","stream":"dream","plot":1}\n'
        '{"t":2.0,"at":"b","stream":"sample","source":"hygrometer","data":{}}\n'
        '{"t":3.0,"at":"c","stream":"guest","vmi":"d/x","line":"y","mood":"good"}\n'
        "neither JSON nor sense\n"
        '{"t":5.0,"at":"e","stream":"guest","vmi":"d/x","line":"z"}\n'
    )
    reading = Reading(path)
    found = list(reading)
    assert [(n, type(r).__name__) for n, r in found] == [
        (1, "Note"),
        (2, "Note"),
        (3, "Guest"),
        (4, "Note"),
        (5, "Guest"),
    ]
    assert found[0][1] == Note(t=Seconds(1.0), at="a", what="unknown-record", text="dream")
    assert reading.unreadable == [4]
    assert not reading.complete


def test_an_end_that_does_not_add_up_is_no_end(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, PROVENANCE)
    with run.writer() as writer:
        writer.append(guest(1))
        writer.append(guest(2))
    lines = run.records_path.read_bytes().splitlines(keepends=True)
    run.records_path.write_bytes(b"".join(lines[1:]))
    assert not run.complete


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(min_value=0, max_value=1), packed=st.booleans(), text=st.text(max_size=30))
def test_a_file_cut_anywhere_is_read_as_far_as_it_goes(
    tmp_path: Path, share: float, packed: bool, text: str
) -> None:
    records = [guest(n, line=text) for n in range(6)]
    data = b"".join(msgspec.json.encode(r) + b"\n" for r in records)
    whole = gzip.compress(data, compresslevel=0) if packed else data
    size = int(len(whole) * share)
    path = tmp_path / "records.ndjson"
    path.write_bytes(whole[:size])
    reading = Reading(path)
    found = list(reading)
    assert [record for _, record in found] == records[: len(found)]
    if not packed:
        left = data[:size]
        assert len(found) in {left.count(b"\n"), left.count(b"\n") + 1}
        assert reading.cut == (bool(left.rpartition(b"\n")[2]) and len(found) == left.count(b"\n"))
    assert not reading.unreadable


def test_gzip_of_several_members_is_one_file(tmp_path: Path) -> None:
    path = tmp_path / "records.ndjson.gz"
    parts = [msgspec.json.encode(guest(n)) + b"\n" for n in (1, 2)]
    path.write_bytes(b"".join(gzip.compress(part) for part in parts))
    assert [record.t for _, record in read_records(path)] == [1.0, 2.0]


def test_large_files_are_streamed(tmp_path: Path) -> None:
    path = tmp_path / "records.ndjson"
    line = msgspec.json.encode(guest(1, line="x" * 1000)) + b"\n"
    with path.open("wb") as file:
        file.writelines(line for _ in range(20_000))
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from harness.records.reading import read_records\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert sum(1 for _ in read_records(Path(sys.argv[1]))) == 20000\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    grown = subprocess.run([sys.executable, "-c", program, str(path)], check=True, capture_output=True)
    assert os.path.getsize(path) > 20 << 20  # noqa: PTH202 - bytes of the file, said plainly
    assert int(grown.stdout) < 8 << 10, "KiB"


def test_findings_are_replaced_atomically(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, PROVENANCE)
    run.write_findings(b"one\n")
    run.write_findings(b"two\n")
    assert run.findings_path.read_bytes() == b"two\n"
    assert not list(run.path.glob(".*"))

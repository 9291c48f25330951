"""Recordings of another hand become runs of ours; what would pass as real and is not is refused."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from harness.records.errors import BadRecording
from harness.records.model import End, Guest, Kernel, Note, Provenance, Watch
from harness.records.rundir import RunDirectory
from harness.rules.columns import observed_name
from harness.run.importing import EvidenceRefused, import_recording
from harness.spec.model import FleetSpec, Scenario, Source, Stated
from harness.units import Seconds

STATED = Stated(
    kubelet={"evictionHard": {"memory.available": "300Mi"}},
    actions=({"what": "grow", "t": 3.0},),
    kubevirt_column="main",
    window=(Seconds(0.0), None),
)


def scenario(stated: Stated | None = STATED) -> Scenario:
    return Scenario(
        name="recorded",
        title="t",
        source=Source(path="s.yaml", text="kind: Scenario\n"),
        nodes=(),
        kubevirt={},
        kubevirt_version=None,
        fleet=(FleetSpec(name="hog", manifest={}, match=("hog",)),),
        workload=(),
        promises=(),
        requires=(),
        control=None,
        stated=stated,
    )


def node(**metadata: Any) -> dict[str, Any]:
    return {
        "kind": "Node",
        "metadata": {"name": "worker", "managedFields": [1], **metadata},
        "status": {
            "capacity": {"memory": "2Gi"},
            "nodeInfo": {"kernelVersion": "6.18", "kubeletVersion": "v1.36.2"},
        },
    }


LINES: list[dict[str, Any]] = [
    {
        "t": -0.5,
        "at": "2026-11-24T10:00:00.000+00:00",
        "stream": "note",
        "what": "header",
        "format": "density-records/1",
        "text": "worker bounded",
    },
    {"t": 0.0, "at": "2026-11-24T10:00:00.500+00:00", "stream": "watch", "type": "ADDED", "object": node()},
    {
        "t": 0.1,
        "at": "2026-11-24T10:00:00.600+00:00",
        "stream": "sample",
        "source": "configz",
        "node": "worker",
        "data": {"kubeletconfig": {"evictionHard": {"memory.available": "1Mi"}}},
    },
    {
        "t": 0.2,
        "at": "2026-11-24T10:00:00.700+00:00",
        "stream": "kernel",
        "line": "6,1,1,-;memory: usage 1kB",
    },
    {"t": 0.3, "at": "2026-11-24T10:00:00.800+00:00", "stream": "guest", "vmi": "d/hog", "line": "ALIVE"},
    {"t": 0.4, "at": "2026-11-24T10:00:00.900+00:00", "stream": "riddle", "answer": 42},
    {"t": 0.5, "at": "2026-11-24T10:00:01.000+00:00", "stream": "note", "what": "end"},
]


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["r.ndjson", "r.ndjson.gz"])
def test_a_recording_becomes_a_run_line_for_line(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, LINES)
    run = import_recording(path, scenario(), tmp_path / "runs")
    found = dict(run.records())
    assert found[1] == Note(
        t=Seconds(-0.5),
        at="2026-11-24T10:00:00.000+00:00",
        what="header",
        text="worker bounded",
        data={"format": "density-records/1"},
    )
    watch = found[2]
    assert isinstance(watch, Watch)
    assert "managedFields" not in watch.object["metadata"]
    kernel = found[4]
    assert isinstance(kernel, Kernel)
    assert kernel.lines == ["6,1,1,-;memory: usage 1kB"]
    assert isinstance(found[5], Guest)
    riddle = found[6]
    assert isinstance(riddle, Note)
    assert (riddle.what, riddle.text) == ("unknown-record", "riddle")
    assert found[8] == End(
        t=Seconds(0.5),
        at="2026-11-24T10:00:01.000+00:00",
        counts={"guest": 1, "kernel": 1, "note": 3, "sample": 1, "watch": 1},
    )
    assert run.complete
    made = run.provenance
    assert (made.evidence, made.cluster, made.outcome) == ("real", "imported", "complete")
    assert made.started == "2026-11-24T10:00:00.500000+00:00"
    assert made.nodes == {"worker": {"name": "worker", "memory": 2147483648}}
    assert made.kubelet == {"worker": {"evictionHard": {"memory.available": "1Mi"}}}
    assert made.versions == {"kubevirtColumn": "main", "kubernetes": "v1.36.2"}
    assert made.imported == {
        "recording": name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "stated": {
            "kubelet": {"evictionHard": {"memory.available": "300Mi"}},
            "actions": [{"what": "grow", "t": 3.0}],
            "kubevirtColumn": "main",
            "window": [0.0, None],
        },
    }
    assert made.scenario["text"] == "kind: Scenario\n"


def test_a_recording_without_its_closing_note_is_incomplete(tmp_path: Path) -> None:
    run = import_recording(write(tmp_path / "r.ndjson", LINES[:-1]), scenario(), tmp_path / "runs")
    assert not run.complete
    assert (run.provenance.outcome, run.provenance.reason) == (
        "interrupted",
        "the recording ends without its closing record",
    )
    assert len(list(run.records())) == 6


def test_a_recording_cut_in_its_last_line_is_incomplete(tmp_path: Path) -> None:
    path = write(tmp_path / "r.ndjson", LINES)
    path.write_bytes(path.read_bytes()[:-9])
    assert not import_recording(path, scenario(), tmp_path / "runs").complete


@pytest.mark.parametrize(
    "marked",
    [
        {
            "t": 0.0,
            "at": "2026-11-24T10:00:00Z",
            "stream": "watch",
            "type": "ADDED",
            "object": node(annotations={"density.dev/embedded": "local"}),
        },
        {
            "t": 0.0,
            "at": "2026-11-24T10:00:00Z",
            "stream": "note",
            "what": "header",
            "data": {"gitVersion": "v1.36.2+density.embedded"},
        },
    ],
)
def test_what_our_own_cluster_served_is_not_real(tmp_path: Path, marked: dict[str, Any]) -> None:
    path = write(tmp_path / "r.ndjson", [*LINES[:-1], marked, LINES[-1]])
    with pytest.raises(EvidenceRefused, match="no evidence of a real one"):
        import_recording(path, scenario(), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_guest_may_say_what_it_likes(tmp_path: Path) -> None:
    line = {
        "t": 0.45,
        "at": "2026-11-24T10:00:00.95Z",
        "stream": "guest",
        "vmi": "d/hog",
        "line": "density.dev/embedded",
    }
    path = write(tmp_path / "r.ndjson", [*LINES[:-1], line, LINES[-1]])
    assert import_recording(path, scenario(), tmp_path / "runs").provenance.evidence == "real"


def foreign(tmp_path: Path, evidence: Any, *, marked: bool) -> RunDirectory:
    made = RunDirectory.create(
        tmp_path / "there",
        Provenance(
            schema=1,
            run="there",
            scenario={},
            cluster="local",
            evidence=evidence,
            started="2026-11-24T10:00:00.000000+00:00",
            versions={"kubevirtColumn": "v1.6"},
        ),
    )
    annotations = {"density.dev/embedded": "local"} if marked else {}
    with made.writer() as writer:
        writer.append(
            Watch(
                t=Seconds(1.0), at="2026-11-24T10:00:01Z", type="ADDED", object=node(annotations=annotations)
            )
        )
    return made


def test_a_run_directory_from_elsewhere_keeps_its_evidence(tmp_path: Path) -> None:
    there = foreign(tmp_path, "kernel", marked=True)
    run = import_recording(there.path, scenario(), tmp_path / "runs")
    assert (run.provenance.evidence, run.provenance.versions) == ("kernel", {"kubevirtColumn": "v1.6"})
    assert run.provenance.imported["run"] == "there"
    assert run.complete
    first, original = next(run.records())[1], next(there.records())[1]
    assert isinstance(first, Watch)
    assert isinstance(original, Watch)
    assert first.object["metadata"].pop("annotations") == original.object["metadata"].pop("annotations")


def test_a_run_directory_that_says_real_and_is_marked_is_refused(tmp_path: Path) -> None:
    there = foreign(tmp_path, "real", marked=True)
    with pytest.raises(EvidenceRefused):
        import_recording(there.path, scenario(), tmp_path / "runs")
    unmarked = foreign(tmp_path / "x", "real", marked=False)
    assert import_recording(unmarked.path, scenario(), tmp_path / "runs").provenance.evidence == "real"


def test_times_are_derived_where_only_one_is_there(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"at": "2026-11-24T10:00:00Z", "stream": "guest", "vmi": "d/hog", "line": "a"},
        {"t": 2.5, "stream": "guest", "vmi": "d/hog", "line": "b"},
        {"at": "2026-11-24T10:00:04Z", "stream": "guest", "vmi": "d/hog", "line": "c"},
        {"t": 5.0, "at": "2026-11-24T10:00:05Z", "stream": "note", "what": "end"},
    ]
    run = import_recording(write(tmp_path / "r.ndjson", lines), scenario(None), tmp_path / "runs")
    assert [(r.t, r.at) for _, r in run.records()][:3] == [
        (0.0, "2026-11-24T10:00:00Z"),
        (2.5, "2026-11-24T10:00:02.500000+00:00"),
        (4.0, "2026-11-24T10:00:04Z"),
    ]
    assert run.provenance.imported["stated"] == {}


def test_a_run_directory_brings_its_artefacts_and_its_controls_findings(tmp_path: Path) -> None:
    there = foreign(tmp_path, "kernel", marked=True)
    (there.artefacts / "console.log").write_text("hello")
    (there.path / "control-findings.json").write_text("{}")
    run = import_recording(there.path, scenario(), tmp_path / "runs")
    assert (run.artefacts / "console.log").read_text() == "hello"
    assert (run.path / "control-findings.json").read_text() == "{}"


@pytest.mark.parametrize("text", ["", "\n", "not json", '{"case": "not a record"}\n'])
def test_what_holds_no_records_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.ndjson"
    path.write_text(text)
    with pytest.raises(BadRecording, match="holds no records"):
        import_recording(path, scenario(), tmp_path / "runs")
    with pytest.raises(BadRecording, match="no such recording"):
        import_recording(tmp_path / "absent", scenario(), tmp_path / "runs")


def test_columns() -> None:
    assert observed_name("v1.8.2") == "v1.8"
    assert (observed_name("v1.9.0"), observed_name("v1.9.0-local"), observed_name("v1.8.3-local")) == (
        "v1.9",
        "main",
        "v1.8",
    )
    assert observed_name("") == observed_name("devel") == ""

"""A recording from elsewhere as `why` reads it: its records, and the provenance they tell of themselves."""

from __future__ import annotations

from pathlib import Path

from harness.records.importing import Recording
from harness.records.model import SCHEMA_VERSION, End, Provenance, Record


def read_recording(path: Path) -> tuple[Provenance, list[tuple[int, Record]]]:
    """Read a recording, plain or gzip. Raises BadRecording where it holds no records, OSError."""
    recording = Recording(path)
    records: list[tuple[int, Record]] = list(enumerate(recording, start=1))
    if recording.complete:
        records.append(_end(records))
    return (
        Provenance(
            schema=SCHEMA_VERSION,
            run=path.name.partition(".ndjson")[0],
            scenario={},
            cluster="imported",
            evidence="kernel" if recording.embedded else "real",
            started=recording.started,
            versions={"kubernetes": recording.kubernetes, "kubevirt": recording.kubevirt},
            kubelet=recording.kubelet,
            nodes=recording.nodes,
        ),
        records,
    )


def _end(records: list[tuple[int, Record]]) -> tuple[int, Record]:

    counts: dict[str, int] = {}
    for _, record in records:
        tag = str(record.__struct_config__.tag)
        counts[tag] = counts.get(tag, 0) + 1
    last = records[-1][1]
    return len(records) + 1, End(t=last.t, at=last.at, counts=counts)

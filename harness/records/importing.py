"""Reading recordings that others made: near our format, but not of our hand.

Known differences (tests/recordings/README.md): raw kernel lines in a field `line`; fields of notes beside `what`;
a closing `note` named `end` instead of an `end` record; records before t = 0; no `run.json`. What can't be read
keeps its place as a note, so that line numbers of the import are those of the recording. Collections of single answers
(records/cases.py) become records, several a line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from harness.records import served
from harness.records.cases import created, is_case, records_of
from harness.records.codec import UNKNOWN_RECORD, UNREADABLE
from harness.records.errors import BadRecording, BadServedValue
from harness.records.model import End, Note, Record, Sample, Watch
from harness.records.reading import lines
from harness.units import Seconds

EMBEDDED_ANNOTATION = "density.dev/embedded"
EMBEDDED_VERSION = "+density.embedded"
_MARKERS = (EMBEDDED_ANNOTATION.encode(), EMBEDDED_VERSION.encode())
_NOTE_FIELDS = frozenset({"t", "at", "stream", "what", "text", "data"})


@dataclass(slots=True)
class Recording:
    """One pass over a recording: iterate it to its end, then read what was learnt on the way."""

    path: Path
    started: str = ""
    """RFC 3339 UTC of t = 0, known after the first record."""
    ended: str = ""
    complete: bool = False
    """It has its own closing record and nothing unreadable."""
    embedded: bool = False
    """It carries the marker of our embedded API server."""
    nodes: dict[str, Any] = field(default_factory=dict)
    kubelet: dict[str, Any] = field(default_factory=dict)
    qualifiers: dict[str, str] = field(default_factory=dict)
    kubevirt: str = ""
    kubernetes: str = ""
    records: int = 0
    _epoch: float | None = None

    def __iter__(self) -> Iterator[Record]:
        """Yield the records in our own form, without any `end`."""
        bad, known, moment = False, 0, first_case(self.path)
        for line, whole in lines(self.path):
            raw = _object(line)
            if raw is None and not whole:
                self.complete = False
                break
            if raw is None:
                bad = True
                raw = {"stream": "note", "what": UNREADABLE, "text": "this line is not a record"}
            elif raw.get("stream") != "guest" and any(marker in line for marker in _MARKERS):
                self.embedded = True
            if is_case(raw):
                moment = created(raw) or moment
                for part in records_of(raw, at=moment):
                    known += 1
                    yield self._seen(self._record(part))
                # Such a collection has no closing record: whole lines are all there can be.
                self.complete = whole and not bad
                continue
            record = self._record(raw)
            if isinstance(record, End):
                self.complete = sum(record.counts.values()) == self.records and not bad
                continue
            known += not (isinstance(record, Note) and record.what in {UNKNOWN_RECORD, UNREADABLE})
            self.complete = isinstance(record, Note) and record.what == "end" and not bad
            yield self._seen(record)
        if not known:
            raise BadRecording(f"{self.path}: holds no records")

    def _seen(self, record: Record) -> Record:
        self.records += 1
        self._learn(record)
        self.ended = record.at
        return record

    def _record(self, raw: dict[str, Any]) -> Record:
        t, at = self._times(raw)
        raw = {**raw, "t": t, "at": at}
        stream = raw.get("stream")
        if stream == "kernel" and isinstance(raw.get("line"), str):
            raw["lines"] = [raw.pop("line")]
        elif stream == "note":
            rest = {k: v for k, v in raw.items() if k not in _NOTE_FIELDS}
            data = raw.get("data")
            raw = {k: v for k, v in raw.items() if k in _NOTE_FIELDS}
            raw["data"] = {**(data if isinstance(data, dict) else {}), **rest}
            if not isinstance(raw.get("text", ""), str):
                raw["data"]["text"] = raw.pop("text")
        elif stream == "watch" and isinstance(raw.get("object"), dict):
            metadata = raw["object"].get("metadata")
            if isinstance(metadata, dict):
                metadata.pop("managedFields", None)
        try:
            record: Record = msgspec.convert(raw, Record)
        except msgspec.ValidationError as error:
            return Note(
                t=Seconds(t), at=at, what=UNKNOWN_RECORD, text=str(stream or ""), data={"because": str(error)}
            )
        return record

    def _times(self, raw: dict[str, Any]) -> tuple[float, str]:
        """Return `t` and `at`; either is derived from the other where only one is there."""
        t, at = raw.get("t"), raw.get("at")
        seen: float | None = None
        if isinstance(at, str):
            try:
                seen = served.epoch(at)
            except BadServedValue:
                at = None
        if not isinstance(t, int | float) or isinstance(t, bool):
            t = None if seen is None or self._epoch is None else seen - self._epoch
        if self._epoch is None and seen is not None:
            self._epoch = seen - float(t or 0.0)
            self.started = rfc3339(self._epoch)
        t = 0.0 if t is None else float(t)
        if not isinstance(at, str):
            at = rfc3339((self._epoch or 0.0) + t)
        return t, at

    def _learn(self, record: Record) -> None:
        if isinstance(record, Watch):
            kind = record.object.get("kind")
            if kind == "Node":
                self._learn_node(record.object)
            elif kind == "KubeVirt":
                version = served.dig(record.object, "status", "observedKubeVirtVersion")
                self.kubevirt = str(version) if version else self.kubevirt
                emulated = served.dig(
                    record.object, "spec", "configuration", "developerConfiguration", "useEmulation"
                )
                self.qualifiers["accelerator"] = "tcg" if emulated else "kvm"
            elif kind == "Event" and record.object.get("reason") == "CgroupV1":
                self.qualifiers["cgroup"] = "v1"
        elif isinstance(record, Sample) and record.source == "configz" and record.node:
            self.kubelet[record.node] = record.data.get("kubeletconfig", record.data)

    def _learn_node(self, node: dict[str, Any]) -> None:
        memory = served.maybe_quantity(served.dig(node, "status", "capacity", "memory"))
        self.nodes[served.name(node)] = {"name": served.name(node), "memory": memory}
        info = served.dig(node, "status", "nodeInfo") or {}
        if isinstance(info, dict):
            self.qualifiers["kernel"] = str(info.get("kernelVersion") or "")
            self.kubernetes = str(info.get("kubeletVersion") or self.kubernetes)


def first_case(path: Path) -> str | None:
    """Return when the first case with a clock of a collection happened; None for records, which have their own."""
    for line, _ in lines(path):
        raw = _object(line)
        if raw is None or not is_case(raw):
            return None
        if (moment := created(raw)) is not None:
            return moment
    return None


def rfc3339(seconds: float) -> str:
    """Return epoch seconds as RFC 3339 UTC with microseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


def sha256(path: Path) -> str:
    """Return the hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return value if isinstance(value, dict) else None

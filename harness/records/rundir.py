"""The run directory: the product of a run, and all that judging and reporting need.

Layout: `run.json`, `records.ndjson` (or `records.ndjson.gz`), `findings.json`, `artefacts/`, reports.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Self

import msgspec

from harness.records.errors import (
    BadProvenance,
    BadRecording,
    NewerSchema,
    NotARunDirectory,
    RunDirectoryExists,
    WriteFailed,
)
from harness.records.model import SCHEMA_VERSION, Provenance, Record
from harness.records.reading import Reading
from harness.records.writing import RecordWriter, pretty, write_atomically

RUN_FILE = "run.json"
RECORDS_FILE = "records.ndjson"
FINDINGS_FILE = "findings.json"


def run_id(*, started: str, scenario: str, cluster: str, token: str = "") -> str:
    """Return a fresh run id `<utc>-<scenario>-<cluster>-<6 hex>`; `started` is RFC 3339 UTC.

    `token`: the six digits, where what a run has made already carries them.
    """
    utc = re.sub(r"\.\d+|[-:]|\+.*$|Z$", "", started) + "Z"
    words = [re.sub(r"[^a-z0-9.]+", "-", part.lower()).strip("-.") or "run" for part in (scenario, cluster)]
    return f"{utc}-{words[0]}-{words[1]}-{token or secrets.token_hex(3)}"


def _scenario_name(scenario: dict[str, Any]) -> str:
    name = scenario.get("name")
    if isinstance(name, str) and name:
        return name
    return PurePosixPath(str(scenario.get("path", ""))).stem or "run"


class RunDirectory:
    """One run on disk."""

    def __init__(self, path: Path, provenance: Provenance) -> None:
        self.path = path
        self._provenance = provenance

    @classmethod
    def create(cls, root: Path, provenance: Provenance) -> Self:
        """Make a run directory under `root` and write its `run.json`.

        `provenance.run` names it; where that is empty a fresh id is made of its start, scenario and cluster.
        """
        name = provenance.run or run_id(
            started=provenance.started,
            scenario=_scenario_name(provenance.scenario),
            cluster=provenance.cluster,
        )
        path = root / name
        try:
            root.mkdir(parents=True, exist_ok=True)
            path.mkdir()
            (path / "artefacts").mkdir()
        except FileExistsError as error:
            raise RunDirectoryExists(f"{path}: exists already") from error
        except OSError as error:
            raise WriteFailed(f"{path}: {error.strerror}") from error
        run = cls(path, msgspec.structs.replace(provenance, run=name))
        run._write_provenance()
        return run

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing run directory, of this or an older schema."""
        file = path / RUN_FILE
        try:
            data = file.read_bytes()
        except OSError as error:
            raise NotARunDirectory(f"{path}: not a run directory ({RUN_FILE}: {error.strerror})") from error
        try:
            head = msgspec.json.decode(data, type=_SchemaOnly)
            if head.schema > SCHEMA_VERSION:
                raise NewerSchema(
                    f"{file}: written with schema {head.schema}, this program reads up to {SCHEMA_VERSION}; "
                    "use a newer kubevirt-density"
                )
            provenance = msgspec.json.decode(data, type=Provenance)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadProvenance(f"{file}: {error}") from error
        return cls(path, provenance)

    @property
    def id(self) -> str:
        """The run's id, as `run.json` has it (the directory may have been renamed)."""
        return self._provenance.run

    @property
    def provenance(self) -> Provenance:
        """Everything about the run that is not a record."""
        return self._provenance

    def update(self, **changes: Any) -> Provenance:
        """Replace fields of the provenance and write `run.json` anew, atomically."""
        self._provenance = msgspec.structs.replace(self._provenance, **changes)
        self._write_provenance()
        return self._provenance

    @property
    def artefacts(self) -> Path:
        """Directory for manifests, logs and the like."""
        return self.path / "artefacts"

    @property
    def records_path(self) -> Path:
        """The record file: `records.ndjson`, or its gzip where only that is there."""
        plain = self.path / RECORDS_FILE
        packed = self.path / f"{RECORDS_FILE}.gz"
        return packed if packed.exists() and not plain.exists() else plain

    def writer(self) -> RecordWriter:
        """Begin the records. Once per run."""
        return RecordWriter(self.path / RECORDS_FILE)

    def reading(self) -> Reading:
        """Return a pass over the records that also tells whether the file is whole."""
        return Reading(self.records_path)

    def records(self) -> Iterator[tuple[int, Record]]:
        """Yield `(1-based line number, record)`; nothing where a crash left no record file. Raises BadRecording."""
        if self.records_path.exists():
            if not self.records_path.is_file():
                raise BadRecording(f"{self.records_path}: not a file")
            yield from self.reading()

    @property
    def complete(self) -> bool:
        """Whether the record file is whole (reads it through)."""
        if not self.records_path.exists():
            return False
        reading = self.reading()
        for _ in reading:
            pass
        return reading.complete

    @property
    def findings_path(self) -> Path:
        """Where findings are written."""
        return self.path / FINDINGS_FILE

    def write_findings(self, data: bytes) -> None:
        """Write `findings.json` atomically."""
        write_atomically(self.findings_path, data)

    def _write_provenance(self) -> None:
        write_atomically(self.path / RUN_FILE, pretty(self._provenance))


class _SchemaOnly(msgspec.Struct):
    schema: int

"""`density site --add RUN`: a run directory into the data that the published pages are made of."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path, PurePosixPath

from harness.cli import errors
from harness.records.rundir import FINDINGS_FILE, RECORDS_FILE, RUN_FILE, RunDirectory
from harness.records.writing import write_atomically

CONTROL = "control-findings.json"
DATA = PurePosixPath("reports/data")
STUDY = DATA / "study"
"""Runs of suites/study: compared with each other, without a page each."""
MOST = 25 << 20
"""Bytes that reports/ should stay below."""


def publish(directory: RunDirectory, root: Path) -> Path:
    """Copy what judging and reporting need of a run, compressed; return where to. Raises UsageError.

    The same run gives the same bytes. Findings are left out: they are made anew.
    """
    known = directory.provenance
    if known.control_of:
        raise errors.UsageError(
            f"{directory.path}: a control run; add the run it belongs to ({known.control_of})"
        )
    if known.outcome not in {"complete", "not-observable"}:
        raise errors.UsageError(
            f"{directory.path}: {known.outcome or 'incomplete'}; only whole runs are published"
        )
    if not directory.records_path.is_file():
        raise errors.UsageError(f"{directory.path}: has no records")
    if not (directory.path / FINDINGS_FILE).is_file():
        raise errors.UsageError(f"{directory.path}: was not judged (density replay {directory.path} does)")
    target = root / (STUDY if is_study(directory) else DATA) / directory.path.name
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(directory.path / RUN_FILE, target / RUN_FILE)
    if (directory.path / CONTROL).is_file():
        shutil.copyfile(directory.path / CONTROL, target / CONTROL)
    data = directory.records_path.read_bytes()
    if directory.records_path.suffix == ".gz":
        data = gzip.decompress(data)
    write_atomically(target / f"{RECORDS_FILE}.gz", gzip.compress(data, compresslevel=9, mtime=0))
    return target


def is_study(directory: RunDirectory) -> bool:
    """Whether it is a run of suites/study."""
    return "study" in PurePosixPath(str(directory.provenance.scenario.get("path", ""))).parts[:-1]


def size_of(path: Path) -> int:
    """Bytes of all files below a directory."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())

"""`density site --add RUN`: a run directory into the data that the published pages are made of."""

from __future__ import annotations

import gzip
import re
import shutil
import zlib
from pathlib import Path, PurePosixPath

import msgspec

from harness.cli import errors
from harness.records.rundir import FINDINGS_FILE, RECORDS_FILE, RUN_FILE, RunDirectory
from harness.records.writing import pretty, write_atomically

CONTROL = "control-findings.json"
DATA = PurePosixPath("reports/data")
STUDY = DATA / "study"
"""Runs of suites/study: compared with each other, without a page each."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
MOST = 25 << 20
"""Bytes that reports/ should stay below."""


def unfit(directory: RunDirectory) -> str:
    """Return why a run can't be published; '' where it can."""
    known = directory.provenance
    if known.control_of:
        return f"a control run; add the run it belongs to ({known.control_of})"
    if known.outcome not in {"complete", "not-observable"}:
        return f"{known.outcome or 'incomplete'}; only whole runs are published"
    if not _NAME.fullmatch(directory.path.name):
        return "its name is no run id: letters, digits, dots, dashes and underscores, at most 200"
    if not directory.records_path.is_file():
        return "has no records"
    if not (directory.path / FINDINGS_FILE).is_file():
        return f"was not judged (density replay {directory.path} does)"
    return ""


def publish(directory: RunDirectory, root: Path) -> Path:
    """Copy what judging and reporting need of a run, compressed; return where to. Raises UsageError.

    The same run gives the same bytes. Findings are left out: they are made anew. Where the run was made (directories of
    that machine) is left out too.
    """
    if why := unfit(directory):
        raise errors.UsageError(f"{directory.path}: {why}")
    target = target_of(directory, root)
    data = packed(directory.records_path)
    target.mkdir(parents=True, exist_ok=True)
    known = directory.provenance
    kept = msgspec.structs.replace(
        known,
        scenario=known.scenario | {"path": placeless(str(known.scenario.get("path", "")))},
        command=command(known.command),
    )
    write_atomically(target / RUN_FILE, pretty(kept))
    if (directory.path / CONTROL).is_file():
        shutil.copyfile(directory.path / CONTROL, target / CONTROL)
    write_atomically(target / f"{RECORDS_FILE}.gz", data)
    return target


def target_of(directory: RunDirectory, root: Path) -> Path:
    """Return where a run is published."""
    return root / (STUDY if is_study(directory) else DATA) / directory.path.name


def packed(records: Path) -> bytes:
    """Return the records compressed, read piece by piece: there may be a GiB of them. Raises UsageError.

    The bytes are those of `gzip.compress(data, compresslevel=9, mtime=0)`.
    """
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts: list[bytes] = []
    size = 0
    try:
        with gzip.open(records) if records.suffix == ".gz" else records.open("rb") as file:
            while piece := file.read(1 << 20):
                parts.append(squeeze.compress(piece))
                size += len(parts[-1])
                if size > MOST:
                    raise errors.UsageError(
                        f"{records}: more than {MOST >> 20} MiB even when compressed: too much for a checkout"
                    )
    except (OSError, EOFError, zlib.error) as error:
        raise errors.UsageError(f"{records}: not readable: {error}") from error
    return b"".join((*parts, squeeze.flush()))


def placeless(path: str) -> str:
    """Return a path of this checkout as it is everywhere: from `suites/` on."""
    parts = PurePosixPath(path).parts
    return "/".join(parts[parts.index("suites") :]) if "suites" in parts else PurePosixPath(path).name


def command(words: list[str]) -> list[str]:
    """Return a command line without the directory its runs went to, and with paths as they are everywhere."""
    found: list[str] = []
    skip = False
    for word in words:
        if skip or word == "--runs-dir":
            skip = not skip
        elif not word.startswith("--runs-dir="):
            found.append(placeless(word) if word.startswith(("/", "./", "../")) else word)
    return found


def is_study(directory: RunDirectory) -> bool:
    """Whether it is a run of suites/study."""
    return "study" in PurePosixPath(str(directory.provenance.scenario.get("path", ""))).parts[:-1]


def size_of(path: Path) -> int:
    """Bytes of all files below a directory."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())

"""The run data that is committed: recordings of real clusters with their scenarios, and run directories."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.cli import errors
from harness.records.rundir import RUN_FILE, RunDirectory
from harness.run.importing import import_recording
from harness.spec.loader import load_scenario
from harness.spec.model import Claim

_RECORDING = re.compile(r"^# (tests/recordings/\S+\.ndjson\.gz)\s*$")


def recorded(
    root: Path, scratch: Path, claims: Mapping[str, Claim]
) -> Iterator[tuple[str, RunDirectory, str]]:
    """Recordings of real clusters: the scenarios of suites/recorded name theirs in their first line."""
    for path in sorted((root / "suites" / "recorded").glob("*.yaml")):
        named = _RECORDING.match(path.read_text(encoding="utf-8").partition("\n")[0])
        if named is None:
            raise errors.UsageError(
                f"{path}: its first line does not name its recording (# tests/recordings/…)"
            )
        scenario = load_scenario(path, claims=claims)
        directory = import_recording(root / named[1], scenario, scratch)
        provenance = directory.provenance
        shown = dict(provenance.scenario) | {"path": str(path.relative_to(root))}
        # The id of an import ends in chance; here in the recording's digest.
        steady = f"{provenance.run.rpartition('-')[0]}-{str(provenance.imported['sha256'])[:6]}"
        command = ["density", "import", named[1], "--scenario", str(path.relative_to(root))]
        directory.update(run=steady, command=command, scenario=shown)
        yield f"recorded-{path.stem}", directory, named[1]


def kept(root: Path, scratch: Path) -> Iterator[tuple[str, RunDirectory, str]]:
    """Run directories under reports/data, judged anew in a copy; controls are read with the runs they belong to."""
    found = sorted(file.parent for file in (root / "reports" / "data").glob(f"*/{RUN_FILE}"))
    for path in found:
        shutil.copytree(path, scratch / path.name, ignore=shutil.ignore_patterns("artefacts"))
    for path in found:
        directory = RunDirectory.open(scratch / path.name)
        if not directory.provenance.control_of:
            yield path.name, directory, f"reports/data/{path.name}/{directory.records_path.name}"

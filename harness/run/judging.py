"""From a run directory to findings, the same way after a run, at a replay and after an import."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from harness.judge.judge import from_bytes, judge, to_bytes
from harness.judge.model import Findings
from harness.records.model import Note, Record
from harness.records.rundir import RunDirectory
from harness.run.errors import RunError
from harness.spec.loader import load_from_source, source_from_run
from harness.spec.model import Claim, Scenario


def judge_directory(
    directory: RunDirectory, claims: Mapping[str, Claim], *, scenario: Scenario | None = None
) -> Findings:
    """Judge a run (and, first, its control where that lies beside it) and write `findings.json`.

    A pure function of the run directory and its control's. Raises SpecError, RecordsError, RunError.
    """
    loaded = scenario or load_from_source(source_from_run(directory.provenance.scenario))
    control = _control(directory, claims)
    unobservable: list[str] = []

    def records() -> Iterator[tuple[int, Record]]:
        for line, record in directory.records():
            if isinstance(record, Note) and record.what == "not-observable":
                unobservable.append(record.text)
            yield line, record

    findings = judge(directory.provenance, records(), loaded, claims, control)
    if unobservable:
        findings = not_observable(findings, unobservable[0])
    directory.write_findings(to_bytes(findings))
    return findings


def not_observable(findings: Findings, why: str) -> Findings:
    """Return the findings of a run that could not show what was asked: nothing was looked at, whatever was seen."""
    return msgspec.structs.replace(
        findings,
        findings=[
            msgspec.structs.replace(
                f, outcome="not-observable", surprise=False, seen=why, reason=why, margin=None
            )
            for f in findings.findings
        ],
    )


def _control(directory: RunDirectory, claims: Mapping[str, Claim]) -> Findings | None:
    name = directory.provenance.control
    if not name:
        return None
    path = directory.path.parent / name
    if (path / "run.json").is_file():
        return judge_directory(RunDirectory.open(path), claims)
    # A run directory may travel without its control; what was found of it then travels with it.
    kept = directory.path / "control-findings.json"
    try:
        return from_bytes(kept.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise RunError(f"{directory.path}: its control {name} is missing beside it ({path})") from error


def keep_control(directory: RunDirectory, control: Path) -> None:
    """Copy the control's findings into the main run's directory, so that it can be judged elsewhere."""
    data = (control / "findings.json").read_bytes()
    (directory.path / "control-findings.json").write_bytes(data)

"""`density runs`, `replay` and `report`: what lies in the runs directory."""

from __future__ import annotations

import glob
import sys
from pathlib import Path

from tabulate import tabulate

from harness.cli import errors
from harness.cli.present import present
from harness.records.errors import RecordsError
from harness.records.rundir import RUN_FILE, RunDirectory
from harness.resources import claims_file
from harness.run.judging import judge_directory
from harness.run.verdict import baseline_for, verdict
from harness.spec.claims import load_claims
from harness.spec.loader import load_from_source, source_from_run


def find_run(run: Path, runs: Path) -> RunDirectory:
    """Open a run by path, or by id (or a part of it that is unique) in the runs directory. Raises UsageError."""
    if (run / RUN_FILE).is_file():
        return RunDirectory.open(run)
    found = sorted(p.parent for p in runs.glob(f"*{glob.escape(run.name)}*/{RUN_FILE}"))
    if len(found) == 1:
        return RunDirectory.open(found[0])
    if found:
        raise errors.UsageError(f"{run}: {len(found)} runs match: {', '.join(p.name for p in found)}")
    if run.is_dir():
        raise errors.UsageError(f"{run}: not a run directory: no {RUN_FILE} in it")
    raise errors.UsageError(f"{run}: no such run (density runs lists them)")


def runs_command(runs: Path) -> int:
    """List runs, newest first."""
    rows = []
    for file in sorted(runs.glob(f"*/{RUN_FILE}"), reverse=True):
        try:
            provenance = RunDirectory.open(file.parent).provenance
        except RecordsError as error:
            rows.append((file.parent.name, "", "", "", f"unreadable: {error}"))
            continue
        judged = "judged" if (file.parent / "findings.json").is_file() else "not judged"
        rows.append(
            (
                file.parent.name,
                provenance.cluster,
                provenance.evidence,
                provenance.outcome or "incomplete",
                f"control of {provenance.control_of}" if provenance.control_of else judged,
            )
        )
    if not rows:
        print(f"no runs in {runs}/")  # noqa: T201 - the command line's own output
        return errors.OK
    shown = [[" ".join(errors.printable(cell).split()) for cell in row] for row in rows]
    head = ["run", "cluster", "evidence", "outcome", ""]
    print(tabulate(shown, headers=head, tablefmt="plain", disable_numparse=True))  # noqa: T201
    return errors.OK


def replay_command(run: Path, runs: Path) -> int:
    """Judge again and report; exit as the run would today."""
    directory = find_run(run, runs)
    if not directory.provenance.scenario.get("text"):
        raise errors.UsageError(
            f"{directory.path}: a recording has no scenario; density import {directory.path} --scenario FILE judges it"
        )
    claims = load_claims(claims_file())
    scenario = load_from_source(source_from_run(directory.provenance.scenario))
    findings = judge_directory(directory, claims, scenario=scenario)
    judged = verdict(scenario, findings, directory.provenance, baseline_for(scenario, directory.provenance))
    present(directory, judged, out=sys.stdout)
    return errors.OK if judged.passed else errors.NOT_SEEN

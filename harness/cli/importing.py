"""`density import`: a recording from elsewhere becomes a run, and is judged."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.cli import errors
from harness.cli.present import present
from harness.resources import claims_file
from harness.run.importing import import_recording
from harness.run.judging import judge_directory
from harness.run.verdict import baseline_for, verdict
from harness.spec.claims import load_claims
from harness.spec.loader import load_scenario


def import_command(recording: Path, *, scenario: Path, runs: Path, command: tuple[str, ...]) -> int:
    """Import, judge, report; exit by the scenario's requirements."""
    if not recording.exists():
        raise errors.UsageError(f"{recording}: no such recording")
    claims = load_claims(claims_file())
    loaded = load_scenario(scenario, claims=claims)
    directory = import_recording(recording, loaded, runs)
    directory.update(command=list(command))
    findings = judge_directory(directory, claims, scenario=loaded)
    judged = verdict(loaded, findings, directory.provenance, baseline_for(loaded, directory.provenance))
    present(directory, judged, out=sys.stdout)
    return errors.OK if judged.passed else errors.NOT_SEEN

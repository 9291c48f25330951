"""`density run --resume`: which scenarios have been run already, so that a study can be stopped and gone on with.

A run counts when it is of the same kind of cluster and of the same scenario: the text of its file and of what it
names, its values of the matrix, its repeat, and every `--set` but those that only choose among scenarios
(`matrix.…`, `repeats`); when it came to its end; and when it has been judged. Where the file lies does not matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.judge.judge import from_bytes
from harness.judge.model import Findings
from harness.records.errors import RecordsError
from harness.records.rundir import FINDINGS_FILE, RUN_FILE, RunDirectory
from harness.run.verdict import Verdict, baseline_for, verdict
from harness.spec.loader import source_for_run
from harness.spec.model import Scenario

OVER = frozenset({"complete", "not-observable"})
_SHAPE = ("matrix", "repeats")


def key_of(kept: Mapping[str, Any], cluster: str) -> str:
    """Return what two runs of the same scenario have in common, of what run.json keeps of it."""
    rest = {name: value for name, value in kept.items() if name not in {"name", "title", "path", "cluster"}}
    chosen = [text for text in map(str, rest.get("set") or ()) if not text.startswith(_SHAPE)]
    return json.dumps([cluster, {**rest, "set": chosen}], sort_keys=True, ensure_ascii=False)


def finished(runs: Path) -> dict[str, RunDirectory]:
    """Return the runs in a directory that came to their end and were judged, the newest of each key."""
    found: dict[str, RunDirectory] = {}
    for file in sorted(runs.glob(f"*/{RUN_FILE}")):
        try:
            directory = RunDirectory.open(file.parent)
        except RecordsError:
            continue
        known = directory.provenance
        if known.outcome not in OVER or known.control_of or known.imported:
            continue
        if not (file.parent / FINDINGS_FILE).is_file() or _lacks_control(directory):
            continue
        found[key_of(known.scenario, known.cluster)] = directory
    return found


def _lacks_control(directory: RunDirectory) -> bool:
    """Whether its scenario asks for a control run that was not made (cut off in between)."""
    known = directory.provenance
    asked = any(line.startswith("control:") for line in str(known.scenario.get("text", "")).splitlines())
    return asked and known.outcome == "complete" and not known.control and "--no-control" not in known.command


def split(
    scenarios: Iterable[Scenario], runs: Path, cluster: str
) -> tuple[list[Scenario], list[tuple[Scenario, RunDirectory]]]:
    """Return the scenarios still to be run, and those that were, with their runs."""
    known = finished(runs)
    todo: list[Scenario] = []
    done: list[tuple[Scenario, RunDirectory]] = []
    for scenario in scenarios:
        before = known.get(key_of(source_for_run(scenario.source), cluster))
        if before is None:
            todo.append(scenario)
        else:
            done.append((scenario, before))
    return todo, done


def verdict_of(scenario: Scenario, directory: RunDirectory) -> Verdict:
    """Return what an earlier run comes to, by the findings it was given then. Raises OSError, msgspec.DecodeError."""
    findings: Findings = from_bytes((directory.path / FINDINGS_FILE).read_bytes())
    provenance = directory.provenance
    return verdict(scenario, findings, provenance, baseline_for(scenario, provenance))

"""The entry points: judge a run, or say what watching on could still decide. Pure: same input, same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from harness.judge.findings import verdict
from harness.judge.measures import handed_over
from harness.judge.model import Finding, Findings
from harness.judge.pace import lagging
from harness.judge.seen import Run
from harness.judge.timeline import Timeline
from harness.judge.validity import control_failures, spoilt, undecide
from harness.records.model import SCHEMA_VERSION, Provenance, Record
from harness.spec.model import Claim, Scenario


def timeline_of(provenance: Provenance, scenario: Scenario) -> Timeline:
    """Return an empty index for a run; feed it with `add` as records arrive."""
    window: tuple[float, float | None] = (0.0, None)
    if scenario.stated is not None:
        window = scenario.stated.window
    cut_short = provenance.outcome in {"interrupted", "failed"}
    return Timeline(started=provenance.started, window=window, cut_short=cut_short)


def judge(
    provenance: Provenance,
    records: Iterable[tuple[int, Record]],
    scenario: Scenario,
    claims: Mapping[str, Claim],
    control: Findings | None = None,
) -> Findings:
    """Judge every promise and requirement of a scenario on the records of one run.

    `control`: the findings of the run's control, if it has one; if they don't all hold, nothing is decided here.
    """
    timeline = timeline_of(provenance, scenario).extend(records)
    run = Run(timeline=timeline, provenance=provenance, scenario=scenario, control=control)
    findings: list[Finding] = []
    because = control_failures(control)
    slow = "; ".join(lagging(timeline))
    for check in scenario.checks:
        drawn = verdict(run, check, claims)
        reason = spoilt(timeline, drawn)
        if slow and not reason and drawn.finding.surprise:
            reason = f"the load was another one: {slow}"
        if reason:
            findings += undecide([drawn.finding], reason)
            because.append(f"{check.id}: {reason}")
        else:
            findings.append(drawn.finding)
    if control is not None and control_failures(control):
        findings = undecide(findings, f"the control run failed: {because[0]}")
    return Findings(
        schema=SCHEMA_VERSION,
        run=provenance.run,
        complete=timeline.complete,
        valid=not because,
        invalid_because=because,
        findings=findings,
        measures=handed_over(run) if provenance.control_of else msgspec.UNSET,
    )


def open_checks(
    provenance: Provenance,
    records: Iterable[tuple[int, Record]],
    scenario: Scenario,
    claims: Mapping[str, Claim],
) -> tuple[str, ...]:
    """Return the ids of checks that watching on could still decide, or overturn where nothing must happen."""
    return still_open(timeline_of(provenance, scenario).extend(records), provenance, scenario, claims)


def still_open(
    timeline: Timeline, provenance: Provenance, scenario: Scenario, claims: Mapping[str, Claim]
) -> tuple[str, ...]:
    """Return the same of an index that is being fed while the run goes on."""
    run = Run(timeline=timeline, provenance=provenance, scenario=scenario)
    drawn = [(check.id, verdict(run, check, claims).seen) for check in scenario.checks]
    return tuple(name for name, seen in drawn if seen is not None and seen.open)


def to_bytes(findings: Findings) -> bytes:
    """Return `findings.json`: indented, fields in their declared order, newline at the end."""
    return msgspec.json.format(msgspec.json.encode(findings), indent=2) + b"\n"


def from_bytes(data: bytes) -> Findings:
    """Read `findings.json`. Raises msgspec.DecodeError."""
    return msgspec.json.decode(data, type=Findings)

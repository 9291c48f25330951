"""A scenario as people run it: the run, its control, judging and the reports."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from harness.judge.model import Findings
from harness.run.interrupt import Interrupt
from harness.run.judging import judge_directory, keep_control
from harness.run.lifecycle import run_once
from harness.run.orchestrator import ControlOf, Run
from harness.run.settings import MakeCluster, Settings
from harness.run.undo import UndoFile
from harness.spec.loader import control_of
from harness.spec.model import Claim, Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a scenario."""

    scenario: Scenario
    run: Run
    findings: Findings
    control: Run | None = None


async def run_scenario(
    scenario: Scenario,
    claims: Mapping[str, Claim],
    make_cluster: MakeCluster,
    *,
    settings: Settings,
    interrupt: Interrupt,
) -> Result:
    """Run a scenario and its control, and judge them. Reports are written by the caller.

    Raises what `run_once` raises.
    """
    main = await _one(scenario, claims, make_cluster, settings=settings, interrupt=interrupt)
    control: Run | None = None
    changed = control_of(scenario) if settings.control else None
    if changed is not None and main.outcome == "complete" and not main.was_held:
        settings.progress.step("control run: the same load without the cause")
        control = await _one(
            changed,
            claims,
            make_cluster,
            settings=settings,
            interrupt=interrupt,
            control_of=ControlOf(
                run=main.directory.id,
                held=main.held,
                # Nobody died in the whole window: the control has no death to outlive.
                observe=main.delay + (settings.control_margin if main.delay < scenario.observe else 0.0),
            ),
        )
        main.directory.update(control=control.directory.id)
    settings.progress.step("judging")
    findings = judge_directory(main.directory, claims, scenario=scenario)
    if control is not None:
        keep_control(main.directory, control.directory.path)
    return Result(scenario=scenario, run=main, findings=findings, control=control)


async def _one(
    scenario: Scenario,
    claims: Mapping[str, Claim],
    make_cluster: MakeCluster,
    *,
    settings: Settings,
    interrupt: Interrupt,
    control_of: ControlOf | None = None,
) -> Run:
    token = secrets.token_hex(3)
    undo = UndoFile.create(run=token, command=settings.command)
    try:
        cluster = make_cluster(scenario, token, undo)
        return await run_once(
            scenario,
            claims,
            cluster,
            settings=settings,
            interrupt=interrupt,
            control_of=control_of,
            undo=undo,
            token=token,
        )
    finally:
        # In a thread: undoing asks an API and waits, and this loop may be what serves it.
        await asyncio.shield(asyncio.to_thread(undo.__exit__))

"""A run from beginning to end: cluster up, run directory, orchestrator, cluster down, outcome on record."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress

import harness
from harness.cluster.base import Cluster, SavesLogs, Undo
from harness.cluster.errors import ClusterError
from harness.kube.errors import KubeError
from harness.records.errors import RecordsError
from harness.records.model import SCHEMA_VERSION, Provenance
from harness.records.rundir import run_id
from harness.run.badge import qualifiers
from harness.run.errors import RunError
from harness.run.interrupt import Interrupt, Interrupted
from harness.run.orchestrator import ControlOf, Orchestrator, Run
from harness.run.recorder import recording
from harness.run.settings import Settings
from harness.run.stream import Deadline, rfc3339
from harness.spec.loader import source_for_run
from harness.spec.model import Claim, Scenario


async def run_once(
    scenario: Scenario,
    claims: Mapping[str, Claim],
    cluster: Cluster,
    *,
    settings: Settings,
    interrupt: Interrupt,
    control_of: ControlOf | None = None,
    undo: Undo | None = None,
    token: str = "",
) -> Run:
    """Bring the cluster up, run, take it down. What went wrong once the run had begun is in the result, and on record.

    `token`: six hex digits that end the run's id, and that the cluster labels what it makes with; '' draws some.

    Raises ClusterError when the cluster does not come up, RecordsError when there is nowhere to write, and
    Interrupted when it was interrupted before there was a run, or twice.
    """
    settings.progress.step(f"starting cluster {cluster.kind}")
    async with (
        interrupt.scope(2, what="taken down in haste: density clean removes what may be left"),
        AsyncExitStack() as stack,
    ):
        async with interrupt.scope(1, what="interrupted before the run began"):
            await stack.enter_async_context(cluster)
        return await _on_record(
            scenario,
            claims,
            cluster,
            settings=settings,
            interrupt=interrupt,
            control_of=control_of,
            undo=undo,
            token=token,
        )


async def _on_record(
    scenario: Scenario,
    claims: Mapping[str, Claim],
    cluster: Cluster,
    *,
    settings: Settings,
    interrupt: Interrupt,
    control_of: ControlOf | None,
    undo: Undo | None,
    token: str,
) -> Run:
    began = round(time.time(), 3)
    provenance = Provenance(
        schema=SCHEMA_VERSION,
        run=run_id(
            started=rfc3339(began),
            scenario=f"{scenario.name}-control" if control_of else scenario.name,
            cluster=cluster.kind,
            token=token,
        ),
        scenario={"name": scenario.name, "title": scenario.title, **source_for_run(scenario.source)},
        cluster=cluster.kind,
        evidence=cluster.evidence,
        started=rfc3339(began),
        qualifiers=qualifiers(scenario, cluster),
        versions={**cluster.versions, "harness": harness.__version__},
        capabilities=dict(cluster.capabilities()),
        seed=scenario.seed if settings.seed is None else settings.seed,
        command=list(settings.command),
        control_of=control_of.run if control_of else "",
    )
    result: Run | None = None
    try:
        async with recording(settings.runs, provenance, started=began) as made:
            settings.progress.started(made.directory, scenario)
            orchestrator = Orchestrator(
                scenario, claims, cluster, settings=settings, made=made, control_of=control_of, undo=undo
            )
            result = orchestrator.result
            await orchestrator.run(interrupt)
    except Interrupted as error:
        if result is None:
            raise
        result.outcome, result.reason = "interrupted", str(error)
    except (ClusterError, KubeError, RunError, Deadline, RecordsError) as error:
        if result is None:
            raise
        result.outcome, result.reason = "failed", str(error)
    except BaseException:
        # A failing cluster cancels us and speaks for itself when it is left.
        if result is not None:
            with suppress(RecordsError):
                result.directory.update(outcome="failed", reason="cut short", ended=rfc3339(time.time()))
        raise
    if result.outcome == "failed" and isinstance(cluster, SavesLogs):
        await cluster.export_logs(result.directory.artefacts / "nodes")
    with suppress(RecordsError):  # on a full disk the run is reported incomplete without it
        result.directory.update(outcome=result.outcome, reason=result.reason, ended=rfc3339(time.time()))
    settings.progress.step("taking down the cluster")
    return result

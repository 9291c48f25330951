"""`density why`: how a VM died, from a run, a recording, or what a cluster still serves."""

from __future__ import annotations

from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from harness.explain.why_model import Report
    from harness.explain.why_served import Served
    from harness.kube.objects import Objects


class Output(StrEnum):
    """How the answer is written."""

    TEXT = "text"
    JSON = "json"


def why(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="Run directory (or id), recording; with --kubeconfig NAMESPACE/NAME of a VMI."
        ),
    ],
    vmi: Annotated[
        str, typer.Argument(metavar="[VMI]", help="NAME or NAMESPACE/NAME; without it every dead one.")
    ] = "",
    *,
    scenario: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Scenario of a recording: what was done but is not in it."),
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Ask a cluster what it still serves; reads only.")
    ] = None,
    context: Annotated[str | None, typer.Option(metavar="NAME", help="Context of the kubeconfig.")] = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="How to write it.")] = Output.TEXT,
    runs_dir: Annotated[
        Path, typer.Option("--runs-dir", help="Where run directories are.", envvar="DENSITY_RUNS_DIR")
    ] = Path("runs"),
) -> None:
    """Tell why a VM died: threshold, ranking, signal, guest, kernel, phases, restart, and what can't be known.

    Exit code 0 whatever the cause; 2: there is no such run or VMI.
    """
    from harness.explain.why_text import text, to_data  # noqa: PLC0415 - `density --help` stays fast

    if kubeconfig is not None:
        if vmi or scenario is not None:
            from harness.cli.errors import UsageError  # noqa: PLC0415

            raise UsageError("--kubeconfig takes one NAMESPACE/NAME, and no --scenario")
        report = _live(kubeconfig, context, run)
    else:
        report = _recorded(run, vmi, scenario=scenario, runs=runs_dir)
    if output is Output.JSON:
        import orjson  # noqa: PLC0415

        typer.echo(orjson.dumps(to_data(report), option=orjson.OPT_INDENT_2).decode())
    else:
        typer.echo(text(report))


def _recorded(run: str, vmi: str, *, scenario: Path | None, runs: Path) -> Report:
    from harness.cli.errors import UsageError  # noqa: PLC0415
    from harness.explain.why import NoSuchVmi  # noqa: PLC0415
    from harness.explain.why import why as explain  # noqa: PLC0415
    from harness.explain.why_recording import read_recording  # noqa: PLC0415
    from harness.spec.errors import SpecError  # noqa: PLC0415
    from harness.spec.loader import load_from_source, load_scenario, source_from_run  # noqa: PLC0415

    path = Path(run)
    loaded = load_scenario(scenario) if scenario is not None else None
    try:
        if path.is_file():
            provenance, records = read_recording(path)
            return explain(provenance, records, loaded, vmi=vmi)
        from harness.cli.runs import find_run  # noqa: PLC0415

        directory = find_run(path, runs)
        provenance = directory.provenance
        if loaded is None:
            with suppress(SpecError, KeyError):  # the records speak without it
                loaded = load_from_source(source_from_run(provenance.scenario))
        return explain(provenance, directory.records(), loaded, vmi=vmi)
    except NoSuchVmi as error:
        raise UsageError(str(error)) from error


def _live(kubeconfig: Path, context: str | None, target: str) -> Report:
    import asyncio  # noqa: PLC0415
    import time  # noqa: PLC0415

    from harness.cli.errors import UsageError  # noqa: PLC0415
    from harness.explain.why import NoSuchVmi  # noqa: PLC0415
    from harness.explain.why import why as explain  # noqa: PLC0415
    from harness.explain.why_served import records  # noqa: PLC0415

    namespace, _, name = target.rpartition("/")
    if not name:
        raise UsageError(f"{target}: NAMESPACE/NAME of a VMI is wanted")
    looked = asyncio.run(look_at(kubeconfig, context, namespace or "default"))
    provenance, made = records(looked, now=time.time())
    try:
        report = explain(provenance, made, vmi=f"{namespace or 'default'}/{name}", served_now=True)
    except NoSuchVmi as error:
        raise UsageError(str(error).replace("in this run", "served, and no event of one")) from error
    import dataclasses  # noqa: PLC0415

    return dataclasses.replace(report, notes=(*report.notes, *looked.missing))


async def look_at(kubeconfig: Path, context: str | None, namespace: str) -> Served:
    """Read what a cluster serves of a namespace. Raises KubeError."""
    from harness.explain.why_served import Served  # noqa: PLC0415
    from harness.kube.connection import connect  # noqa: PLC0415
    from harness.kube.node import version  # noqa: PLC0415
    from harness.kube.objects import Objects  # noqa: PLC0415

    looked = Served()
    async with connect(kubeconfig, context=context) as connection:
        objects = Objects(connection, patience=5.0)
        looked.version = str((await version(objects)).get("gitVersion", ""))
        await _look(objects, namespace, looked)
    return looked


async def _look(objects: Objects, namespace: str, looked: Served) -> None:
    """Read what there is about the VMIs of a namespace: lists and gets only. What is refused is noted, not fatal."""
    from harness.kube import resources as kinds  # noqa: PLC0415
    from harness.kube.errors import ApiError  # noqa: PLC0415
    from harness.kube.node import configz, stats_summary  # noqa: PLC0415
    from harness.records import served  # noqa: PLC0415

    async def tried(what: str, call: Awaitable[Any], otherwise: Any) -> Any:
        try:
            return await call
        except ApiError as error:
            looked.missing.append(f"{what} could not be read: {error}")
            return otherwise

    vmis, _ = await objects.list_all(kinds.VMIS, namespace=namespace)
    pods, _ = await objects.list_all(kinds.PODS, namespace=namespace)
    vms, _ = await tried("VirtualMachines", objects.list_all(kinds.VMS, namespace=namespace), ([], ""))
    events, _ = await tried("events", objects.list_all(kinds.EVENTS, namespace=namespace), ([], ""))
    if namespace != "default":  # events of nodes lie there
        more, _ = await tried(
            "events of nodes", objects.list_all(kinds.EVENTS, namespace="default"), ([], "")
        )
        events += [event for event in more if served.event_subject(event).get("kind") == "Node"]
    nodes = sorted({str(served.dig(pod, "spec", "nodeName") or "") for pod in pods} - {""})
    known = {served.uid(pod) for pod in pods}
    everywhere, _ = await tried("pods of other namespaces", objects.list_all(kinds.PODS), ([], ""))
    pods += [
        p for p in everywhere if served.uid(p) not in known and served.dig(p, "spec", "nodeName") in nodes
    ]
    looked.events += events
    looked.objects += [*vmis, *vms, *pods]
    for node in nodes:
        found = await tried(f"node {node}", objects.get(kinds.NODES, node), {})
        if found:
            looked.objects.append({"kind": "Node", **found})
        if config := await tried(f"configz of {node}", configz(objects, node), {}):
            looked.configz[node] = config
        if stats := await tried(f"stats/summary of {node}", stats_summary(objects, node), {}):
            looked.stats[node] = stats

"""`density record`: what a live cluster serves, into a run directory. Reads only, changes nothing.

It watches through the same recorder and observers as a run. The run directory has no scenario: `density import RUN
--scenario FILE` judges it, `density why RUN` explains it. Its evidence is `real` unless something in it carries the
marker of an embedded cluster.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import harness
from harness.cluster.base import NodeHandle, Reading
from harness.cluster.kubeconfig import survey
from harness.kube import node as kubelet
from harness.kube.config import choose
from harness.kube.connection import Connection, connect
from harness.kube.errors import KubeError
from harness.kube.objects import Objects
from harness.kube.resources import EVENTS, KUBEVIRTS, NODES, PODS, VMIS, VMS
from harness.records.errors import RecordsError
from harness.records.importing import EMBEDDED_ANNOTATION, EMBEDDED_VERSION
from harness.records.importing import Recording as Recorded
from harness.records.model import SCHEMA_VERSION, Provenance, Record, Watch
from harness.records.rundir import RunDirectory, run_id
from harness.run import health
from harness.run.awaited import Awaited
from harness.run.importing import RECORDED
from harness.run.interrupt import Interrupt, Interrupted
from harness.run.observers import STATS_PERIOD, Observers, Watched
from harness.run.recorder import Recording, recording
from harness.run.stream import Deadline, rfc3339
from harness.run.tasks import Background, background
from harness.run.world import World

FIRST_PATIENCE = 5.0
"""Seconds for the first answer: whoever types a command waits for it."""
CONFIGZ_PERIOD = 60.0
"""Seconds between two looks at a kubelet's settings, which change when somebody restarts it."""
LINGER = 10.0

Outcome = Literal["seen", "not-seen", "stopped"]
"""`stopped`: nothing was waited for, and somebody ended it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Times of something that happened before: in place of the machine's clocks. Our own lateness then says nothing."""

    started: float
    """Epoch seconds of t = 0."""
    now: Callable[[], float]
    """Seconds since then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to record, and for how long."""

    runs: Path
    kubeconfig: Path | Mapping[str, Any] | None = None
    context: str | None = None
    namespaces: tuple[str, ...] = ()
    """Of pods, events, VMIs and VMs; none: all."""
    until: Awaited | None = None
    linger: float = LINGER
    """Seconds to go on after what was waited for: its consequences belong to it."""
    seconds: float | None = None
    """Stop after so long."""
    consoles: bool = False
    """Read serial consoles too. A console has one reader: whoever has it open loses it."""
    stats_period: float = STATS_PERIOD
    command: tuple[str, ...] = ()
    tell: Callable[[str], None] = field(default=lambda _text: None)
    listen: Callable[[int, Record], None] | None = None
    probe: AsyncIterator[Reading] | None = None
    """Node truth from elsewhere."""
    replayed: Replayed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of it."""

    directory: RunDirectory
    outcome: Outcome
    text: str


def wanted(namespaces: tuple[str, ...]) -> tuple[Watched, ...]:
    """What is watched: nodes and KubeVirt, and the chosen namespaces' pods, VMIs, VMs and events."""
    found = [Watched(resource=NODES), Watched(resource=KUBEVIRTS, optional=True)]
    for namespace in namespaces or ("",):
        found += [
            Watched(resource=PODS, namespace=namespace),
            Watched(resource=VMIS, namespace=namespace, optional=True),
            Watched(resource=VMS, namespace=namespace, optional=True),
            Watched(resource=EVENTS, namespace=namespace),
        ]
    if namespaces and "default" not in namespaces:
        found.append(
            Watched(resource=EVENTS, namespace="default", fields="involvedObject.kind=Node", optional=True)
        )
    return tuple(found)


async def record(request: Request, *, interrupt: Interrupt) -> Result:
    """Record until interrupted, what is waited for has been seen, or the time is over.

    Raises ClusterError (unreachable, credentials, RBAC), RecordsError (nowhere to write).
    """
    context = request.context or ""
    try:
        chosen = choose(request.kubeconfig, context=request.context)
        context = chosen.context
        async with connect(chosen.document) as connection:
            objects = Objects(connection, patience=FIRST_PATIENCE)
            kubernetes = str((await kubelet.version(objects)).get("gitVersion") or "")
            nodes, _ = await objects.list_all(NODES)
            embedded = kubernetes.endswith(EMBEDDED_VERSION) or any(_is_marked(node) for node in nodes)
            started = time.time() if request.replayed is None else request.replayed.started
            provenance = _provenance(request, context, started=round(started, 3), embedded=embedded)
            return await _Recorder(request, connection, objects, nodes).run(provenance, interrupt)
    except KubeError as error:
        raise survey.in_words(error, context=context) from error


class _Recorder:
    """One recording."""

    def __init__(
        self, request: Request, connection: Connection, objects: Objects, nodes: list[dict[str, Any]]
    ) -> None:
        self._request = request
        self._first_nodes = nodes
        self._connection = connection
        self._objects = objects
        self._world = World()
        self._nodes: set[str] = set()
        self._consoles: set[str] = set()

    async def run(self, provenance: Provenance, interrupt: Interrupt) -> Result:
        request, replayed = self._request, self._request.replayed
        wall = time.time if replayed is None else (lambda: replayed.started + replayed.now())
        async with recording(
            request.runs,
            provenance,
            started=round(time.time(), 3) if replayed is None else replayed.started,
            wall=wall,
            clock=None if replayed is None else replayed.now,
        ) as made:
            if replayed is None:
                made.directory.update(started=rfc3339(made.stream.started))
            request.tell(f"recording into {made.path}")
            outcome, text = await self._observe(made, interrupt)
            made.stream.note("end", text)
        self._finish(made.directory, text, ended=rfc3339(wall()))
        return Result(directory=made.directory, outcome=outcome, text=text)

    async def _observe(self, made: Recording, interrupt: Interrupt) -> tuple[Outcome, str]:
        request, stream = self._request, made.stream
        async with background() as tasks:
            tasks.start(made.flushing(), "flush")
            if request.replayed is None:
                tasks.start(health.guard(stream), "health")
            observers = Observers(stream, self._connection, tasks)
            stream.listen(self._world.apply)
            stream.listen(partial(self._follow, made, observers, tasks))
            if request.listen is not None:
                stream.listen(request.listen)
            if request.until is not None:
                stream.listen(request.until.add)
            if request.probe is not None:
                observers.readings(request.probe)
            for node in self._first_nodes:
                self._node(made, observers, tasks, node)
            try:
                async with interrupt.scope(1, what="stopped by the user"):
                    return await self._wait(made, observers)
            except Interrupted as error:
                return ("stopped" if request.until is None else "not-seen"), str(error)

    async def _wait(self, made: Recording, observers: Observers) -> tuple[Outcome, str]:
        request, stream = self._request, made.stream
        await observers.watch(wanted(request.namespaces))
        request.tell("watching; Ctrl-C ends the recording in good order")
        until = request.until
        try:
            await stream.until(lambda: until is not None and bool(until.seen), within=request.seconds)
        except Deadline:
            text = f"{request.seconds:g} s are over"
            return ("stopped" if until is None else "not-seen"), text
        assert until is not None
        request.tell(f"seen: {until.seen}; going on for {request.linger:g} s")
        with suppress(Deadline):
            await stream.until(lambda: None, within=request.linger)
        return "seen", f"seen: {until.seen}"

    # -- following what appears ----------------------------------------------------------------------------------------

    def _follow(
        self, made: Recording, observers: Observers, tasks: Background, _line: int, entry: Record
    ) -> None:
        if not isinstance(entry, Watch) or entry.type == "DELETED":
            return
        name = str((entry.object.get("metadata") or {}).get("name", ""))
        match entry.object.get("kind"):
            case "Node":
                self._node(made, observers, tasks, entry.object)
            case "VirtualMachineInstance" if self._request.consoles:
                vmi = f"{entry.object['metadata'].get('namespace', '')}/{name}"
                if vmi not in self._consoles and not self._world.is_over(vmi):
                    self._consoles.add(vmi)
                    log = made.directory.artefacts / "consoles" / f"{vmi.replace('/', '_')}.log"
                    log.parent.mkdir(exist_ok=True)
                    observers.console(vmi, log, ended=partial(self._world.is_over, vmi))
            case _:
                pass

    def _node(
        self, made: Recording, observers: Observers, tasks: Background, node: Mapping[str, Any]
    ) -> None:
        name = str(node["metadata"]["name"])
        if name in self._nodes:
            return
        self._nodes.add(name)
        handle = NodeHandle(name=name, kube_name=name, memory=survey.capacity(node))
        observers.stats((handle,), period=self._request.stats_period)
        tasks.start(self._settings(made, handle), f"configz {name}")

    async def _settings(self, made: Recording, handle: NodeHandle) -> None:
        """Record a kubelet's settings at first and whenever they have changed."""
        known: dict[str, Any] | None = None
        told = ""
        while True:
            try:
                config = await kubelet.configz(self._objects, handle.kube_name)
            except KubeError as error:
                if str(error) != told:
                    told = str(error)
                    made.stream.note("not-served", f"configz of {handle.kube_name}: {error}")
            else:
                if config != known:
                    known = config
                    data = {"kubeletconfig": config}
                    made.stream.sample(source="configz", node=handle.kube_name, data=data)
            await asyncio.sleep(CONFIGZ_PERIOD)

    # -- afterwards ----------------------------------------------------------------------------------------------------

    def _finish(self, directory: RunDirectory, text: str, *, ended: str) -> None:
        """Complete run.json with what the records told of the cluster, as an import learns it."""
        learnt = Recorded(directory.records_path)
        for _ in learnt:
            pass
        named = {"kubernetes": learnt.kubernetes, "kubevirt": learnt.kubevirt}
        provenance = directory.provenance
        evidence: Literal["real", "predicted"] = "predicted" if learnt.embedded else "real"
        with suppress(RecordsError):  # on a full disk the recording is whole, only its cover is not
            directory.update(
                evidence="predicted" if provenance.evidence == "predicted" else evidence,
                qualifiers={k: v for k, v in sorted({**learnt.qualifiers, **named}.items()) if v},
                versions={**provenance.versions, **{k: v for k, v in named.items() if v}},
                kubelet=learnt.kubelet,
                nodes=learnt.nodes,
                outcome="complete",
                reason=text,
                ended=ended,
            )


def _provenance(request: Request, context: str, *, started: float, embedded: bool) -> Provenance:
    at = rfc3339(started)
    return Provenance(
        schema=SCHEMA_VERSION,
        run=run_id(started=at, scenario="recording", cluster=context or "cluster"),
        scenario={"name": "recording", "path": "", "text": "", "files": {}, "set": []},
        cluster=RECORDED,
        evidence="predicted" if embedded else "real",
        started=at,
        versions={"harness": harness.__version__},
        command=list(request.command),
    )


def _is_marked(item: Mapping[str, Any]) -> bool:
    return EMBEDDED_ANNOTATION in (item.get("metadata", {}).get("annotations") or {})

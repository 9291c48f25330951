"""One scenario on one cluster that is up: from its nodes to the end of the window, everything into the one stream.

Nothing is judged here. The judge is only asked, while the window is open, whether watching on could still decide
anything (`window`).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from harness.cluster.base import Addressed, Cluster, NodeHandle, Shared, Undo
from harness.cluster.errors import NotObservable
from harness.kube.connection import Connection, connect
from harness.kube.objects import Objects
from harness.kube.resources import NAMESPACES, NODES
from harness.records.rundir import RunDirectory
from harness.run import health, ksmtuned, undo_namespace
from harness.run.asking import ask_for_vnc
from harness.run.config_map import write_config_map
from harness.run.consoles import Consoles
from harness.run.creating import Creator
from harness.run.daemons import Daemons
from harness.run.errors import RunError
from harness.run.fleet import RUN_LABEL, Planned, plan
from harness.run.greeting import greeted
from harness.run.guests import Guests
from harness.run.healing import heal
from harness.run.holding import how_to_look
from harness.run.interrupt import Interrupt, Interrupted
from harness.run.observers import Observers
from harness.run.preparing import prepare, tune
from harness.run.recorder import Recording
from harness.run.settings import Settings
from harness.run.tasks import background
from harness.run.teardown import tidy
from harness.run.window import Window
from harness.run.workload import Held, Workload
from harness.run.world import World
from harness.spec.model import Claim, Scenario

NODES_READY = 120.0
"""Seconds for prepared nodes to become Ready: a kubelet restart takes some, its first heartbeat 10."""
UNSCHEDULABLE = 10.0
"""Seconds a cluster others use too may take to find room, e.g. for a pod that is just going: the scheduler tries again."""

Outcome = Literal["complete", "interrupted", "failed", "not-observable"]


@dataclass(slots=True, kw_only=True)
class Run:
    """What came of a run, beside its directory."""

    directory: RunDirectory
    outcome: Outcome = "failed"
    reason: str = ""
    held: Held = field(default_factory=dict)
    was_held: bool = False
    """Someone looked around in it before it was taken down."""
    delay: float = 0.0
    """Seconds from the end of the workload to the first death (0: it came earlier); the whole window if nobody died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlOf:
    """Makes a run the control of another: the same load, and a window of a length its main run has determined."""

    run: str
    held: Held
    observe: float


class Orchestrator:
    """Carries out one run. Call `run` once."""

    def __init__(
        self,
        scenario: Scenario,
        claims: Mapping[str, Claim],
        cluster: Cluster,
        *,
        settings: Settings,
        made: Recording,
        control_of: ControlOf | None = None,
        undo: Undo | None = None,
    ) -> None:
        self._undo = undo
        self._scenario = scenario
        self._cluster = cluster
        self._settings = settings
        self._made = made
        self._control_of = control_of
        self._stream = made.stream
        self._id = made.id.rpartition("-")[2]
        self._shared = cluster if isinstance(cluster, Shared) else None
        given = self._shared.namespace if self._shared is not None else ""
        self._own_namespace = not given
        self._namespace = given or f"density-{self._id}"
        self._creator: Creator | None = None
        self._lost = ""  # nodes that don't answer any more when everything else is over
        self._world = World()
        self._daemons = Daemons(self._stream)
        self.result = Run(directory=made.directory)
        self._stream.listen(self._world.apply)
        self._window = Window(
            made.directory,
            scenario,
            claims,
            stream=made.stream,
            world=self._world,
            observe=control_of.observe if control_of else scenario.observe,
        )
        self._stream.listen(settings.progress.record)

    async def run(self, interrupt: Interrupt) -> None:
        """Run to the end of the window and clean up. Raises Interrupted, ClusterError, KubeError, RunError, Deadline."""
        step = self._settings.progress.step
        for text in self._settings.cautions:
            self._stream.note("preflight", text)
        async with background() as own:
            own.start(self._made.flushing(), "flush")
            own.start(health.guard(self._stream), "health")
            try:
                async with interrupt.scope(1, what="the run was interrupted"):
                    step("preparing nodes")
                    handles = await prepare(self._scenario, self._cluster, self._made)
                    await write_config_map(
                        self._scenario, self._cluster, self._stream, run=self._id, undo=self._undo
                    )
                    self._world.capacity.update({h.kube_name: h.memory for h in handles})
                    async with connect(self._cluster.kubeconfig) as connection:
                        await self._connected(connection, handles, interrupt)
                    if self._lost:
                        raise RunError(self._lost)
            except NotObservable as error:
                self._stream.note("not-observable", str(error))
                self.result.outcome, self.result.reason = "not-observable", str(error)
            else:
                self.result.outcome = "complete"

    # -- the cluster -----------------------------------------------------------------------------------------------

    async def _connected(
        self, connection: Connection, handles: tuple[NodeHandle, ...], interrupt: Interrupt
    ) -> None:
        objects = Objects(connection, warn=lambda text: self._stream.note("warning", text))
        if self._own_namespace:
            await self._make_namespace(objects)
        async with background() as watching:
            try:
                observers = Observers(self._stream, connection, watching)
                await observers.watch_all(self._namespace)
                await self._stream.until(
                    lambda: all(self._is_node_ready(h.kube_name) for h in handles),
                    within=NODES_READY,
                    what="the nodes did not become Ready",
                )
                kubelet = await observers.configz(handles)
                self._made.directory.update(kubelet=kubelet)
                observers.probe(self._cluster, handles)
                ksmtuned.begin(
                    self._scenario, self._cluster, handles, self._stream, world=self._world, watching=watching
                )
                observers.stats(handles)
                await self._daemons.start(self._scenario.daemons, self._cluster, handles, watching)
                await self._loaded(connection, observers, handles, kubelet, interrupt)
            finally:
                if not self._cluster.disposable:
                    if self._settings.keep:
                        self._settings.progress.step(f"kept: everything in namespace {self._namespace}")
                    else:
                        await self._tidy(objects, interrupt)
                        await self._heal(objects, handles, interrupt)

    async def _make_namespace(self, objects: Objects) -> None:
        if self._undo is not None and not self._settings.keep and isinstance(self._cluster, Addressed):
            where = self._cluster.address
            self._undo(undo_namespace.entry(namespace=self._namespace, run=self._id, **where))
        self._stream.action("create-namespace", self._namespace)
        await objects.create(
            NAMESPACES,
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": self._namespace, "labels": {RUN_LABEL: self._id}},
            },
        )

    def _is_node_ready(self, name: str) -> bool:
        conditions = (self._world.nodes.get(name, {}).get("status") or {}).get("conditions") or ()
        return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)

    # -- the load --------------------------------------------------------------------------------------------------

    async def _loaded(
        self,
        connection: Connection,
        observers: Observers,
        handles: tuple[NodeHandle, ...],
        kubelet: Mapping[str, Mapping[str, Any]],
        interrupt: Interrupt,
    ) -> None:
        stream, world = self._stream, self._world
        guests = Guests(stream, world)
        planned = await self._guests(connection, observers, handles, guests)
        members: dict[str, tuple[str, ...]] = {f.name: () for f in self._scenario.fleet}
        for one in planned:
            members[one.fleet] += (one.vmi,)
        workload = Workload(
            scenario=self._scenario,
            members=members,
            stream=stream,
            world=world,
            guests=guests,
            kubelet=kubelet,
            daemons=self._daemons,
            tune=partial(tune, self._cluster, stream),
            hurry_stats=observers.hurry_stats,
            replay=self._control_of.held if self._control_of else None,
        )
        self._settings.progress.step("running the workload")
        hold_on = "" if self._control_of else self._settings.hold_on
        try:
            await self._work(workload, guests, hold_on)
        finally:
            self.result.held = workload.held
        stream.action("workload-done")
        await self._watched(handles, interrupt, hold_on)

    async def _guests(
        self, connection: Connection, observers: Observers, handles: tuple[NodeHandle, ...], guests: Guests
    ) -> tuple[Planned, ...]:
        """Create the fleet and wait until its guests have said hello; return those that are there."""
        step, stream, world = self._settings.progress.step, self._stream, self._world
        planned = await self._plan(Objects(connection), handles)
        if self._shared is not None:
            for text in await self._shared.admit(self._namespace, [one.manifest for one in planned]):
                stream.note("quota", text)
        patience = 0.0 if self._cluster.disposable else UNSCHEDULABLE
        most = "as many guests as fit, at most " if any(f.fill for f in self._scenario.fleet) else ""
        step(f"creating {most}{len(planned)}{'' if most else ' guests'}")
        artefacts = self._made.directory.artefacts
        consoles = Consoles(observers, guests, world, directory=artefacts / "consoles")
        stream.listen(consoles.notice)
        self._creator = Creator(
            self._scenario,
            connection,
            namespace=self._namespace,
            manifests=artefacts / "manifests",
            stream=stream,
            world=world,
            patience=patience,
        )
        await self._creator.create_all(planned, lambda one: consoles.open(one.vmi))
        there = tuple(one for one in planned if one.vmi in world.guests)
        step("waiting for the guests' hello")
        await greeted(self._scenario, there, stream=stream, world=world, patience=patience)
        await ask_for_vnc(self._scenario, connection, there, stream=stream, world=world)
        return there

    async def _watched(self, handles: tuple[NodeHandle, ...], interrupt: Interrupt, hold_on: str) -> None:
        """Watch what comes of the load, and hold everything there if that was asked for."""
        done = self._stream.now
        self._settings.progress.step("watching what comes of it")
        happened = self._world.happened.get(hold_on, set())
        keep = self._settings.keep and self._cluster.disposable and not self._control_of
        if not happened or keep:
            await self._window.watch(until=hold_on)
        deaths = self._world.first_death.values()
        self.result.delay = max(0.0, min(deaths, default=self._stream.now) - done)
        if happened or keep:
            await self._hold(handles, interrupt, ", ".join(sorted(happened)) or "--keep")

    async def _work(self, workload: Workload, guests: Guests, hold_on: str) -> None:
        """Drive the workload to its end, or until that happens which the run is to be held on."""
        if not hold_on:
            await workload.run()
            return
        work = asyncio.create_task(workload.run(), name="workload")
        happened = asyncio.create_task(self._stream.until(lambda: self._world.happened[hold_on]))
        try:
            await asyncio.wait({work, happened}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            stopped = not work.done()
            for task in (work, happened):
                task.cancel()
            await asyncio.gather(work, happened, return_exceptions=True)
        if stopped:
            for vmi in self._world.guests:
                if self._world.is_ready(vmi):
                    await guests.send(vmi, "stop")

    async def _hold(self, handles: tuple[NodeHandle, ...], interrupt: Interrupt, why: str) -> None:
        """Keep everything as it is until someone says to go on; what is judged ends when it would have anyway."""
        self.result.was_held = True
        how = how_to_look(self._cluster, self._made, self._world, namespace=self._namespace, nodes=handles)
        self._stream.action("held", why, how=list(how))
        self._settings.progress.step(f"held: {why}")
        async with background() as watching:
            if not self._window.over:
                watching.start(self._window.watch(), "window")
            with interrupt.pause() as released:
                await self._settings.holder.hold(how, released)
        if not self._window.over:
            self._window.close("held until released")

    async def _plan(self, objects: Objects, handles: tuple[NodeHandle, ...]) -> tuple[Planned, ...]:
        all_nodes, _ = await objects.list_all(NODES)
        ours = {h.kube_name for h in handles}
        return plan(
            self._scenario,
            namespace=self._namespace,
            run=self._id,
            nodes={h.name: h.kube_name for h in handles},
            pin=any(node["metadata"]["name"] not in ours for node in all_nodes),
            settings=self._cluster.guest_settings,
            nonce=lambda: secrets.token_hex(8),
        )

    # -- afterwards ------------------------------------------------------------------------------------------------

    async def _tidy(self, objects: Objects, interrupt: Interrupt) -> None:
        self._settings.progress.step("deleting the guests")
        with suppress(Interrupted):
            async with interrupt.scope(2):
                left = await tidy(
                    objects,
                    self._namespace,
                    vms=self._creator.vms if self._creator is not None else (),
                    vmis=self._world.guests,
                    own=self._own_namespace,
                )
                if left:  # noted, not raised: it must not hide what the run was about
                    self._stream.note("left-behind", left)

    async def _heal(self, objects: Objects, handles: tuple[NodeHandle, ...], interrupt: Interrupt) -> None:
        """Wait until the nodes that were squeezed are well again, or learn which is lost."""
        if not self._scenario.workload:
            return
        with suppress(Interrupted):
            async with interrupt.scope(1):
                self._lost = await heal(
                    objects,
                    handles,
                    stream=self._stream,
                    world=self._world,
                    progress=self._settings.progress,
                    namespace="default" if self._own_namespace else self._namespace,
                    run=self._id,
                )

"""One scenario on one cluster that is up: from its nodes to the end of the window, everything into the one stream.

Nothing is judged here. The judge is only asked, while the window is open, whether watching on could still decide
anything (`still_open`).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import yaml

from harness.cluster.base import Cluster, NodeHandle, NodeRequest, Shared
from harness.cluster.errors import NotObservable
from harness.judge.judge import still_open, timeline_of
from harness.kube.connection import Connection, connect
from harness.kube.errors import ApiError, KubeError
from harness.kube.objects import Objects
from harness.kube.resources import BY_KIND, NAMESPACES, NODES, VMIS, VMS
from harness.records.model import Note, Record, Sample
from harness.records.rundir import RunDirectory
from harness.run import health
from harness.run.errors import RunError
from harness.run.fleet import RUN_LABEL, Planned, plan
from harness.run.guests import Guests
from harness.run.interrupt import Interrupt, Interrupted
from harness.run.observers import Observers
from harness.run.recorder import Recording
from harness.run.settings import READY_BASE, READY_PER_GUEST, Settings
from harness.run.stream import Deadline
from harness.run.tasks import background
from harness.run.teardown import pods_gone
from harness.run.workload import Held, Workload
from harness.run.world import World
from harness.spec.model import Claim, Scenario

NODES_READY = 120.0
"""Seconds for prepared nodes to become Ready: a kubelet restart takes some, its first heartbeat 10."""
TEARDOWN = 60.0
"""Seconds to wait for the run's pods to be gone; deletion is asked for without grace."""
LOOK_AGAIN = 0.5
"""Seconds at least between two questions to the judge: it answers on the loop that must stay punctual."""

Outcome = Literal["complete", "interrupted", "failed", "not-observable"]


@dataclass(slots=True, kw_only=True)
class Run:
    """What came of a run, beside its directory."""

    directory: RunDirectory
    outcome: Outcome = "failed"
    reason: str = ""
    held: Held = field(default_factory=dict)
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
    ) -> None:
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
        self._vms: list[str] = []
        self._world = World()
        self._timeline = timeline_of(made.directory.provenance, scenario)
        self._claims = claims
        self._news = True
        self.result = Run(directory=made.directory)
        self._stream.listen(self._world.apply)
        self._stream.listen(self._timeline.add)
        self._stream.listen(self._notice)
        self._stream.listen(settings.progress.record)

    def _notice(self, _line: int, record: Record) -> None:
        # Measurements alone never close a check; objects, actions, consoles and OOM reports do.
        if not isinstance(record, Sample | Note):
            self._news = True

    async def run(self, interrupt: Interrupt) -> None:
        """Run to the end of the window and clean up. Raises Interrupted, ClusterError, KubeError, RunError, Deadline."""
        step = self._settings.progress.step
        async with background() as own:
            own.start(self._made.flushing(), "flush")
            own.start(health.guard(self._stream), "health")
            try:
                async with interrupt.scope(1, what="the run was interrupted"):
                    step("preparing nodes")
                    handles = await self._prepare()
                    async with connect(self._cluster.kubeconfig) as connection:
                        await self._connected(connection, handles, interrupt)
            except NotObservable as error:
                self._stream.note("not-observable", str(error))
                self.result.outcome, self.result.reason = "not-observable", str(error)
            else:
                self.result.outcome = "complete"

    # -- the cluster -----------------------------------------------------------------------------------------------

    def _check_needs(self) -> None:
        capabilities = self._cluster.capabilities()
        lacking = [
            f"{n} ({capabilities[n]})" for n in self._scenario.needs if capabilities.get(n, "yes") != "yes"
        ]
        if lacking:
            raise NotObservable(f"this cluster lacks {', '.join(lacking)}")

    async def _prepare(self) -> tuple[NodeHandle, ...]:
        scenario = self._scenario
        self._check_needs()
        for node in scenario.nodes:
            self._stream.action("configure-kubelet", node.name, config=dict(node.kubelet), memory=node.memory)
        handles = await self._cluster.prepare_nodes(
            tuple(
                NodeRequest(
                    name=n.name, memory=n.memory, kubelet=n.kubelet, size_matters=bool(scenario.workload)
                )
                for n in scenario.nodes
            )
        )
        for handle in handles:
            self._world.capacity[handle.kube_name] = handle.memory
        self._made.directory.update(
            # how a node came by its size is known only now
            qualifiers=dict(self._cluster.qualifiers),
            capabilities=dict(self._cluster.capabilities()),
            nodes={h.name: {"name": h.kube_name, "memory": h.memory} for h in handles},
        )
        self._stream.action("configure-kubevirt", configuration=dict(scenario.kubevirt))
        await self._cluster.configure_kubevirt(scenario.kubevirt)
        return handles

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
                observers.stats(handles)
                await self._loaded(objects, observers, handles, kubelet)
            finally:
                if not (self._settings.keep or self._cluster.disposable):
                    await self._tidy(objects, interrupt)

    async def _make_namespace(self, objects: Objects) -> None:
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
        objects: Objects,
        observers: Observers,
        handles: tuple[NodeHandle, ...],
        kubelet: Mapping[str, Mapping[str, Any]],
    ) -> None:
        step, stream, world = self._settings.progress.step, self._stream, self._world
        guests = Guests(stream, world)
        planned = await self._plan(objects, handles)
        if self._shared is not None:
            for text in await self._shared.admit(self._namespace, [one.manifest for one in planned]):
                stream.note("quota", text)
        step(f"creating {len(planned)} guests")
        consoles = self._made.directory.artefacts / "consoles"
        consoles.mkdir()
        for one in planned:
            await self._create(objects, one)
            ended = partial(world.is_over, one.vmi)
            guests.attach(one.vmi, observers.console(one.vmi, consoles / f"{one.name}.log", ended=ended))
        step("waiting for the guests' hello")
        await self._greeted(planned)
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
            hurry_stats=observers.hurry_stats,
            replay=self._control_of.held if self._control_of else None,
        )
        step("running the workload")
        try:
            await workload.run()
        finally:
            self.result.held = workload.held
        stream.action("workload-done")
        done = stream.now
        step("watching what comes of it")
        why = await self._window()
        stream.action("window-end", reason=why)
        deaths = world.first_death.values()
        self.result.delay = max(0.0, min(deaths, default=stream.now) - done)

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

    async def _create(self, objects: Objects, one: Planned) -> None:
        manifests = self._made.directory.artefacts / "manifests"
        manifests.mkdir(exist_ok=True)
        text = yaml.safe_dump(dict(one.manifest), sort_keys=False)
        (manifests / f"{one.name}.yaml").write_text(text, encoding="utf-8")
        self._world.expect_guest(one.vmi, one.nonce)
        self._stream.action("create", one.vmi, fleet=one.fleet, nonce=one.nonce)
        known = BY_KIND.get(str(one.manifest.get("kind")), VMIS)
        # The page's examples say v1alpha3: the API takes an object only at the address of its own version.
        version = str(one.manifest.get("apiVersion", "")).rpartition("/")[2]
        resource = replace(known, version=version or known.version)
        if known is VMS:
            self._vms.append(one.name)
        try:
            await objects.create(resource, one.manifest, namespace=self._namespace)
        except ApiError as error:
            raise RunError(f"{resource.kind} {one.name} was refused: {error}") from error

    async def _greeted(self, planned: tuple[Planned, ...]) -> None:
        world = self._world
        within = READY_BASE + READY_PER_GUEST * len(planned)

        def missing() -> list[str]:
            return [one.vmi for one in planned if not (world.is_ready(one.vmi) or world.is_dead(one.vmi))]

        try:
            await self._stream.until(lambda: not missing(), within=within)
        except Deadline as error:
            first = missing()[0]
            raise RunError(
                f"{len(missing())} of {len(planned)} guests said no hello within {within:g} s; "
                f"{first}: {world.why_not_running(first)}"
            ) from error

    async def _window(self) -> str:
        """Keep watching until nothing is open any more or the time is over; return why it ended."""
        observe = self._control_of.observe if self._control_of else self._scenario.observe
        end = self._stream.now + observe
        while (left := end - self._stream.now) > 0:
            if self._news:
                self._news = False
                if not self._open_checks():
                    return "every check is decided"
            try:
                await self._stream.until(lambda: self._news, within=left)
            except Deadline:
                break
            await asyncio.sleep(min(LOOK_AGAIN, max(0.0, end - self._stream.now)))
        return "observed long enough"

    def _open_checks(self) -> tuple[str, ...]:
        return still_open(self._timeline, self._made.directory.provenance, self._scenario, self._claims)

    # -- afterwards ------------------------------------------------------------------------------------------------

    async def _tidy(self, objects: Objects, interrupt: Interrupt) -> None:
        """Delete what the run created. Failing to is noted, not raised: it must not hide what the run was about."""
        self._settings.progress.step("deleting the guests")
        what = f"pods of the run remain in namespace {self._namespace}"
        with suppress(Interrupted):
            async with interrupt.scope(2):
                try:
                    async with asyncio.timeout(TEARDOWN):
                        for name in self._vms:  # first: a VM makes its VMI anew
                            await objects.delete(VMS, name, namespace=self._namespace)
                        for vmi in self._world.guests:
                            await objects.delete(
                                VMIS, vmi.partition("/")[2], namespace=self._namespace, grace=0
                            )
                        if self._own_namespace:
                            await objects.delete(NAMESPACES, self._namespace)
                        await pods_gone(objects.connection, self._namespace, self._world.guests)
                except (KubeError, TimeoutError) as error:
                    self._stream.note("left-behind", f"{what}: {error}")

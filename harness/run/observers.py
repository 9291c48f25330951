"""Everything that is watched during a run, each in a task of its own, all into the one stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from harness.cluster.base import Cluster, NodeHandle, Reading
from harness.kube import node as kubelet
from harness.kube.connection import Connection
from harness.kube.console import Console, ConsoleLine
from harness.kube.errors import Forbidden, KubeError, NotFound
from harness.kube.objects import Objects
from harness.kube.resources import EVENTS, KUBEVIRTS, NODES, PODS, VMIS, Resource
from harness.kube.watch import Seen, StreamNote, Synced, Watcher
from harness.run.stream import Stream
from harness.run.tasks import Background

STATS_PERIOD = 2.0
"""Seconds between two fetches of stats/summary; a kubelet answers from a cache that is at most that old."""
STATS_HURRY = 0.2
"""The same while a trigger waits for new statistics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One list+watch of a run."""

    resource: Resource
    namespace: str = ""
    fields: str = ""
    optional: bool = False
    """Do without where the API does not serve it or we may not see it."""


def watches(namespace: str) -> tuple[Watched, ...]:
    """What every run watches: its own namespace, nodes and their events, KubeVirt's settings."""
    return (
        Watched(resource=NODES),
        Watched(resource=KUBEVIRTS, optional=True),
        Watched(resource=PODS, namespace=namespace),
        Watched(resource=VMIS, namespace=namespace),
        Watched(resource=EVENTS, namespace=namespace),
        # Events about nodes (NodeHasInsufficientMemory, SystemOOM) live in the namespace `default`.
        Watched(resource=EVENTS, namespace="default", fields="involvedObject.kind=Node", optional=True),
    )


class Observers:
    """Starts observers in the background they are given; they end with it."""

    def __init__(self, stream: Stream, connection: Connection, tasks: Background) -> None:
        self._stream = stream
        self._connection = connection
        self._tasks = tasks
        self._hurried = 0
        self._hurry = asyncio.Event()
        self._synced: set[Watched] = set()

    async def watch_all(self, namespace: str, *, within: float = 60.0) -> None:
        """Start the watches of a run and return when each has listed once."""
        await self.watch(watches(namespace), within=within)

    async def watch(self, wanted: tuple[Watched, ...], *, within: float = 60.0) -> None:
        """Start watches and return when each has listed once."""
        for item in wanted:
            self._start(self._watch(item), f"watch {item.resource.plural}")
        await self._stream.until(
            lambda: self._synced.issuperset(wanted), within=within, what="the first lists were not answered"
        )

    async def _watch(self, item: Watched) -> None:
        watcher = Watcher(self._connection, item.resource, namespace=item.namespace, fields=item.fields)
        try:
            async with aclosing(watcher.events()) as events:
                async for event in events:
                    match event:
                        case Seen():
                            self._stream.watch(event.type, event.object)
                        case StreamNote():
                            self._note(event)
                        case Synced():
                            self._is_synced(item)
        except KubeError as error:
            if not (item.optional and isinstance(error, NotFound | Forbidden)):
                raise
            self._stream.note("not-served", f"{item.resource.plural}: {error}")
            self._is_synced(item)

    def _is_synced(self, item: Watched) -> None:
        self._synced.add(item)
        self._stream.wake()

    def _note(self, note: StreamNote) -> None:
        self._stream.note(note.what, note.text, **note.data)

    # -- consoles --------------------------------------------------------------------------------------------------

    def console(self, vmi: str, log: Path, *, ended: Callable[[], bool]) -> Console:
        """Start reading a guest's console into the stream and a log file; return what writes to it.

        `ended` says whether the guest is over, so that a closed session is its end and not a lost one.
        """
        namespace, _, name = vmi.partition("/")
        console = Console(self._connection, namespace=namespace, name=name, ended=ended)
        self._start(self._read_console(console, vmi, log), f"console {vmi}")
        return console

    async def _read_console(self, console: Console, vmi: str, log: Path) -> None:
        with log.open("a", encoding="utf-8", buffering=1) as file:
            async with aclosing(console.lines()) as lines:
                async for item in lines:
                    if isinstance(item, ConsoleLine):
                        file.write(item.text + "\n")
                        self._stream.guest(vmi, item.text)
                    else:
                        self._note(item)

    # -- nodes -----------------------------------------------------------------------------------------------------

    def probe(self, cluster: Cluster, nodes: tuple[NodeHandle, ...]) -> None:
        """Start the cluster's node probe."""
        self.readings(cluster.probe(nodes))

    def readings(self, probe: AsyncIterator[Reading]) -> None:
        """Start recording what a probe yields."""
        self._start(self._probe(probe), "node probe")

    async def _probe(self, probe: AsyncIterator[Reading]) -> None:
        # A probe is a generator; closing it stops what it started.
        readings = cast("AsyncGenerator[Reading]", probe)
        async with aclosing(readings):
            async for reading in readings:
                fields: Mapping[str, Any] = reading.fields
                match reading.stream:
                    case "sample":
                        self._stream.sample(**fields)
                    case "kernel":
                        self._stream.kernel(**fields)
                    case "action":
                        self._stream.action(str(fields["what"]), str(fields["target"]), **fields["args"])
                    case _:
                        data = dict(fields.get("data") or {})
                        self._stream.note(str(fields["what"]), str(fields.get("text", "")), **data)

    async def configz(self, nodes: tuple[NodeHandle, ...]) -> dict[str, dict[str, Any]]:
        """Fetch and record every node's effective KubeletConfiguration, by kube node name; none that we may not see."""
        objects = Objects(self._connection)
        found: dict[str, dict[str, Any]] = {}
        for handle in nodes:
            try:
                config = await kubelet.configz(objects, handle.kube_name)
            except Forbidden as error:
                self._stream.note("not-served", f"configz of {handle.kube_name}: {error}")
                continue
            found[handle.kube_name] = config
            self._stream.sample(source="configz", node=handle.kube_name, data={"kubeletconfig": config})
        return found

    def stats(self, nodes: tuple[NodeHandle, ...], *, period: float = STATS_PERIOD) -> None:
        """Start fetching stats/summary of each node every `period` seconds."""
        for handle in nodes:
            self._start(self._stats(handle.kube_name, period), f"stats {handle.kube_name}")

    async def _stats(self, node: str, usual: float) -> None:
        objects = Objects(self._connection, patience=0.0)
        clock = asyncio.get_running_loop().time
        failing = False
        while True:
            began = clock()
            try:
                summary = await kubelet.stats_summary(objects, node)
            except Forbidden as error:
                self._stream.note("not-served", f"stats/summary of {node}: {error}")
                return
            except KubeError as error:
                if not failing:
                    self._stream.note("lost-sample", f"stats/summary of {node}: {error}", seconds=usual)
                failing = True
            else:
                failing = False
                self._stream.sample(source="stats/summary", node=node, data=summary)
            period = STATS_HURRY if self._hurried else usual
            try:
                async with asyncio.timeout(max(0.0, began + period - clock())):
                    await self._hurry.wait()
                self._hurry.clear()
            except TimeoutError:
                pass

    @contextmanager
    def hurry_stats(self) -> Iterator[None]:
        """Fetch stats/summary ten times as often meanwhile."""
        self._hurried += 1
        self._hurry.set()
        try:
            yield
        finally:
            self._hurried -= 1

    def _start(self, coroutine: Any, name: str) -> None:
        self._tasks.start(coroutine, name)

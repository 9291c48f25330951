"""The probe of a kind cluster: every node's stream, and a watch of pods that tells whose cgroup is whose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from harness.cluster.base import Reading
from harness.cluster.errors import ClusterError
from harness.cluster.gathering import gather, keep_owners, queue
from harness.cluster.kind.engine import Engine
from harness.cluster.kind.processes import CallError, streaming
from harness.cluster.nodes.kernel_log import Kmsg
from harness.cluster.nodes.looks import Looks, Owner, remote_command
from harness.cluster.probe import note
from harness.kube.connection import connect
from harness.kube.errors import KubeError

PATIENCE = 60.0
"""Seconds in which a node whose stream broke must be readable again; an OOM kill may take a node's shell with it."""
AGAIN = 1.0
_END = 1.0


class Observation:
    """Looks at some nodes. `ids`: container id → node name, of all nodes (a kill may be in any).

    `kmsg`: whether the kernel log can be read in them; root may be refused it in a user namespace.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        nodes: tuple[str, ...],
        ids: Mapping[str, str],
        kubeconfig: Mapping[str, Any],
        kmsg: bool = True,
    ) -> None:
        self._engine = engine
        self._nodes = nodes
        self._ids = ids
        self._kubeconfig = kubeconfig
        self._kmsg = kmsg
        self._owners: dict[str, Owner] = {}
        self._said = ""
        self._queue = queue()

    async def readings(self) -> AsyncGenerator[Reading]:
        """Yield readings until closed. Raises ClusterError when a node can't be read any more."""
        work = {"owners": self._own()}
        work |= {node: self._node(node, host=number == 0) for number, node in enumerate(self._nodes)}
        async with aclosing(gather(self._queue, work)) as readings:
            async for reading in readings:
                yield reading

    async def _own(self) -> None:
        try:
            async with connect(self._kubeconfig) as connection:
                await keep_owners(connection, self._owners)
        except KubeError as error:
            raise ClusterError(f"the probe can't tell pods apart: {error}") from error

    async def _node(self, node: str, *, host: bool) -> None:
        looks = Looks(node, self._owners)
        log = Kmsg(self._ids, self._owners) if host and self._kmsg else None
        clock = asyncio.get_running_loop().time
        failing_since: float | None = None
        while True:
            before = looks.count
            try:
                await self._stream(node, looks, log, host=host)
                why = "its stream ended"
            except CallError as error:
                why = str(error)
            failing_since = clock() if failing_since is None or looks.count > before else failing_since
            if clock() - failing_since > PATIENCE:
                raise ClusterError(f"node {node} can't be read any more: {why}")
            await self._queue.put(note("reconnect", f"{node}: {why}; reading it again"))
            await asyncio.sleep(AGAIN)

    async def _stream(self, node: str, looks: Looks, log: Kmsg | None, *, host: bool) -> None:
        call = self._engine.call(
            "exec",
            "--interactive",
            node,
            *remote_command(host=host, kmsg=log is not None),
            seconds=_END,
            name=f"{self._engine.flavour} exec {node} (probe)",
        )
        async with streaming(call) as process, asyncio.TaskGroup() as group:
            assert process.stdout is not None
            assert process.stderr is not None
            before, self._said = looks.count, ""
            begun = asyncio.Event()
            reading = group.create_task(self._errors(process.stderr, log, begun))
            async for raw in process.stdout:
                line = raw.decode("utf-8", errors="replace").rstrip("\n")
                if line.startswith("K "):
                    if log is not None and log.since is None:  # what came while it was not read is news
                        log.since = int(line[2:])
                    begun.set()
                    continue
                for item in looks.feed(line):
                    await self._queue.put(item)
            # a background reader of the kernel log may hold standard error open
            await asyncio.wait({reading}, timeout=_END)
            reading.cancel()
        if looks.count == before and self._said:
            raise CallError(self._said)

    async def _errors(self, stream: asyncio.StreamReader, log: Kmsg | None, begun: asyncio.Event) -> None:
        async for raw in stream:
            line = raw.decode("utf-8", errors="replace").rstrip("\n")
            if not line[:1].isdigit():  # no kernel record: the engine, or the shell, complains
                self._said = line or self._said
                continue
            await begun.wait()  # two pipes: only then it is known which of them are old
            reading = log.feed(line) if log is not None else None
            if reading is not None:
                await self._queue.put(reading)

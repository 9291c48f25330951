"""Node truth of an existing cluster: the log of each node's reader pod, turned into the readings kind's probe gives.

The program is that of kind nodes (`cluster.nodes.looks`): looks at cgroup files twice a second, and the kernel log. In a pod's
log both come through one pipe, line by line; a record of the kernel log begins with a digit, a line of a look does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from harness.cluster.base import Reading, Undo
from harness.cluster.errors import ClusterError
from harness.cluster.gathering import gather, keep_owners, queue
from harness.cluster.kubeconfig import helpers, node_pods
from harness.cluster.kubeconfig.helpers import Place
from harness.cluster.nodes.kernel_log import Kmsg
from harness.cluster.nodes.looks import Looks, Owner
from harness.cluster.probe import note
from harness.kube import pod_log
from harness.kube.errors import KubeError
from harness.kube.resources import PODS

OP = "node-reader-delete"
PATIENCE = 60.0
"""Seconds in which a node that fell silent must be readable again."""
AGAIN = 1.0
LAG = 0.5
"""Seconds a look may come later than the quickest one did, through the node's log files and two servers, unremarked."""
PODS_OF_A_NODE = "kubepods"
"""What every pod's cgroup has in its path, on a node whose machine is all its own."""


@dataclass(slots=True)
class Stream:
    """Turns one node's log into readings. `owners`: pod uid → owner, kept up to date by the caller."""

    node: str
    owners: Mapping[str, Owner]
    clock: float = 0.0
    """Our own time, in seconds, of the line about to be fed."""
    looks: Looks = field(init=False)
    kmsg: Kmsg = field(init=False)
    _began: float | None = None
    """Uptime of the first look."""
    _held: list[str] = field(default_factory=list)
    """Records of the kernel log that came before it."""
    _up: float = -1.0
    _repeated: bool = False
    _quickest: float | None = None

    def __post_init__(self) -> None:
        self.looks = Looks(self.node, self.owners)
        self.kmsg = Kmsg({PODS_OF_A_NODE: self.node}, self.owners)

    def feed(self, line: str) -> Iterator[Reading]:
        """Take one line. What a log that is read again from a little earlier repeats is left out."""
        if line[:1].isdigit():
            yield from self._kernel(line)
            return
        if line.startswith("K "):
            if self.kmsg.since is None:  # what came while it was not read is news
                self.kmsg.since = int(line[2:])
            return
        if line.startswith("T "):
            up = float(line[2:])
            if self._began is None:
                self._began = up
                held, self._held = self._held, []
                for record in held:
                    yield from self._kernel(record)
            self._repeated = up <= self._up
            if not self._repeated:
                self._up = up
                yield from self._late(up)
        elif line.startswith(" "):  # a continuation of a kernel record
            return
        if not self._repeated:
            for reading in self.looks.feed(line):
                yield self._here(reading)

    def _kernel(self, record: str) -> Iterator[Reading]:
        if self._began is None:
            self._held.append(record)
            return
        if self.kmsg.since in {None, -1}:
            # busybox's dd can't tell the number of the last record before us: its time has to do
            at = [*record.split(",", 3), "", ""][2]
            if at.isdigit() and int(at) < self._began * 1e6:
                return
        reading = self.kmsg.feed(record)
        if reading is not None:
            yield self._here(reading)

    def _late(self, up: float) -> Iterator[Reading]:
        behind = self.clock - up
        if self._quickest is None or behind < self._quickest:
            self._quickest = behind
        lag = behind - self._quickest
        if lag > LAG:
            yield note("late-pass", f"{self.node}: a look came {lag:.2f} s late", seconds=round(lag, 3))

    def _here(self, reading: Reading) -> Reading:
        """Say whose the machine's own rows and kills are: each node has a kernel of its own."""
        if reading.stream != "note" and not reading.fields.get("node"):
            return replace(reading, fields={**reading.fields, "node": self.node})
        return reading


class NodeReader:
    """The DaemonSet of one run, and what it reads. `pods_in`: namespace whose pods are told apart, '' all."""

    def __init__(self, place: Place, *, pods_in: str) -> None:
        self._place = place
        self._pods_in = pods_in
        self._pods: dict[str, str] = {}
        self._owners: dict[str, Owner] = {}
        self._made = False
        self._queue = queue()

    @property
    def name(self) -> str:
        """Of the DaemonSet."""
        return f"{node_pods.READER}-{self._place.run}"

    async def start(self, nodes: frozenset[str], *, undo: Undo, address: Mapping[str, str]) -> None:
        """Make the DaemonSet and wait until its pods run. Raises ClusterError.

        `address`: `kubeconfig` and `context`, by which an undo entry finds it after a crash.
        """
        place = self._place
        undo(
            {
                "op": OP,
                "target": self.name,
                **address,
                "namespace": place.namespace,
                "run": place.run,
            }
        )
        manifest = node_pods.reader(
            image=place.image, namespace=place.namespace, run=place.run, nodes=sorted(nodes)
        )
        try:
            self._made = True
            await place.objects.create(node_pods.DAEMONSETS, manifest, namespace=place.namespace)
        except KubeError as error:
            self._made = False
            raise ClusterError(f"the node reader's DaemonSet was refused: {error}") from error
        self._pods = await helpers.until_running(place, nodes, self.name)

    async def stop(self) -> None:
        """Delete it. Idempotent. Raises ClusterError."""
        if self._made:
            self._made = False
            try:
                await self._place.objects.delete(
                    node_pods.DAEMONSETS, self.name, namespace=self._place.namespace
                )
            except KubeError as error:
                raise ClusterError(f"the node reader {self.name} was not removed: {error}") from error

    async def readings(self, nodes: tuple[str, ...]) -> AsyncGenerator[Reading]:
        """Yield readings of these nodes until closed. Raises ClusterError when one can't be read any more."""
        if len(nodes) > 1:
            yield note("node-truth", f"KSM, swap and meminfo are recorded of {nodes[0]} only")
        work = {"owners": self._own()}
        work |= {node: self._node(node, host=number == 0) for number, node in enumerate(nodes)}
        async with aclosing(gather(self._queue, work)) as readings:
            async for reading in readings:
                yield reading

    async def _own(self) -> None:
        try:
            await keep_owners(self._place.connection, self._owners, namespace=self._pods_in)
        except KubeError as error:
            raise ClusterError(f"the node reader can't tell pods apart: {error}") from error

    async def _node(self, node: str, *, host: bool) -> None:
        stream = Stream(node, self._owners)
        clock = asyncio.get_running_loop().time
        heard = began = clock()
        since: int | None = None
        while True:
            why = "its log ended"
            try:
                log = pod_log.follow(
                    self._place.connection,
                    namespace=self._place.namespace,
                    pod=self._pods[node],
                    since=since,
                )
                async with aclosing(log) as lines:
                    async for line in lines:
                        heard = stream.clock = clock()
                        for reading in stream.feed(line):
                            if host or reading.fields.get("subject") != "host":
                                await self._queue.put(reading)
            except KubeError as error:
                why = str(error)
            if clock() - heard > PATIENCE:
                raise ClusterError(f"node {node} can't be read any more: {why}")
            await self._queue.put(note("reconnect", f"{node}: {why}; reading it again"))
            await asyncio.sleep(AGAIN)
            since = int(clock() - (heard if stream.looks.count else began)) + 2
            await self._find(node)

    async def _find(self, node: str) -> None:
        """Find the node's reader again: a DaemonSet makes another pod in place of one that ended."""
        labels = f"{node_pods.RUN_LABEL}={self._place.run},{node_pods.ROLE_LABEL}=reader"
        try:
            found, _ = await self._place.objects.list_all(
                PODS, namespace=self._place.namespace, labels=labels
            )
        except KubeError:
            return
        for pod in found:
            running = (pod.get("status") or {}).get("phase") == "Running"
            if running and (pod.get("spec") or {}).get("nodeName") == node:
                self._pods[node] = str(pod["metadata"]["name"])

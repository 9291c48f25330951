"""The node probe of embedded clusters: cgroup rows twice a second, processes once, OOM reports as they come.

Due times are a fixed grid; being late for one, or missing it, is told as a note, never smoothed over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from harness.cluster.base import Reading
from harness.embedded.machine.base import DiskRead, Memory, Node, OomKill
from harness.embedded.running import RunningPod

PERIOD = 0.5
"""Seconds between two looks at the cgroups (0.1-0.6 ms each)."""
PROCESS_EVERY = 2
"""Looks per process sample (smaps_rollup costs 1-2 ms a guest)."""
HOST_EVERY = 2
"""Looks per sample of host-wide memory, KSM and swap (1 ms): ksmd's CPU and a peak of swap are told to the second."""
LATE = 0.1
"""Seconds of lateness worth a note: a fifth of the period."""
KSM = Path("/sys/kernel/mm/ksm")
MEMINFO = Path("/proc/meminfo")
MEMINFO_FIELDS = ("MemTotal", "MemFree", "MemAvailable", "SwapTotal", "SwapFree")
KSM_FILES = (
    "run",
    "pages_shared",
    "pages_sharing",
    "pages_unshared",
    "pages_volatile",
    "full_scans",
    "pages_to_scan",
    "sleep_millisecs",
)


HOST_SOURCES = ("meminfo", "ksm", "swap", "psi")
"""What of it becomes records (records/model.py Source)."""


class Sight(Protocol):
    """What there is to look at."""

    def nodes(self) -> Mapping[str, Node]:
        """Kube node name → node."""
        ...

    def pods(self) -> tuple[RunningPod, ...]:
        """Every pod with a sandbox now."""
        ...

    def host(self) -> Mapping[str, Mapping[str, Any]] | None:
        """What the machine says of itself, by `source`; None: read it here."""
        ...

    def oom_kills(self) -> AsyncIterator[OomKill]:
        """Yield kills as they are reported."""
        ...

    def disk_reads(self) -> AsyncIterator[DiskRead] | None:
        """Yield what lay on the disks of guests that ended; None: there are none."""
        ...


class Probe:
    """Looks at one embedded cluster. `told`: notes of the cluster's own that wait to become readings."""

    def __init__(self, sight: Sight, told: deque[Reading]) -> None:
        self._sight = sight
        self._told = told
        self._whose: dict[str, RunningPod] = {}
        """By pod uid; kept after the pod, since the kernel may report its end later."""

    async def readings(self) -> AsyncGenerator[Reading]:
        """Yield readings until closed."""
        clock = asyncio.get_running_loop().time
        disks = self._sight.disk_reads()
        sources: dict[str, AsyncIterator[OomKill | DiskRead]] = {"kill": self._sight.oom_kills()}
        if disks is not None:
            sources["disk"] = disks
        waiting = {name: asyncio.create_task(_next(source)) for name, source in sources.items()}
        start, tick = clock(), 0
        try:
            while True:
                due = start + tick * PERIOD
                if waiting:
                    await asyncio.wait(
                        waiting.values(),
                        timeout=max(0.0, due - clock()),
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                else:
                    await asyncio.sleep(max(0.0, due - clock()))
                done = [name for name, task in waiting.items() if task.done()]
                for name in done:
                    event = waiting.pop(name).result()
                    if event is not None:
                        waiting[name] = asyncio.create_task(_next(sources[name]))
                        yield self._happened(event)
                if done:
                    continue
                late = clock() - due
                if late > LATE:
                    yield note("late-pass", f"the probe was {late:.2f} s late", seconds=round(late, 3))
                while self._told:  # what was done before this look may be what it sees
                    yield self._told.popleft()
                for reading in self.look(tick):
                    yield reading
                missed = int((clock() - due) / PERIOD)
                if missed:
                    text = f"{missed} looks of the probe were missed"
                    yield note("lost-sample", text, seconds=round(missed * PERIOD, 3), count=missed)
                tick += 1 + missed
        finally:
            for task in waiting.values():
                task.cancel()
            await asyncio.gather(*waiting.values(), return_exceptions=True)

    def look(self, tick: int) -> Iterator[Reading]:
        """Read everything that is due at this tick. What vanishes while being read is left out: it ended."""
        for name, node in self._sight.nodes().items():
            with suppress(OSError):
                yield _row(name, "/", node.memory())
            with suppress(OSError):
                yield _row(name, "/kubepods", node.kubepods_memory())
        for pod in self._sight.pods():
            self._whose[pod.uid] = pod
            who = {"pod": f"{pod.namespace}/{pod.name}", "vmi": pod.vmi}
            with suppress(OSError):
                limit = pod.pod.swap_limit("compute")
                bound = {} if limit is None else {"swapLimit": limit}
                yield _row(pod.node, f"pod/{pod.uid}", pod.pod.memory(), **who, **bound)
            if tick % PROCESS_EVERY == 0 and pod.guest is not None:
                with suppress(OSError):
                    memory = pod.guest.process_memory()
                    if memory:
                        data = {**memory, "oomScoreAdj": pod.guest.oom_score_adj}
                        yield sample("process", pod.node, pod.vmi, data)
        if tick % HOST_EVERY == 0:
            told = self._sight.host()
            if told is None:
                yield from host()
            else:
                for source in HOST_SOURCES:
                    if source in told:
                        yield sample(source, "", "host", dict(told[source]))

    def _happened(self, event: OomKill | DiskRead) -> Reading:
        whose = self._whose.get(event.pod_uid)
        if whose is None:  # between its start and our first look
            whose = next((p for p in self._sight.pods() if p.uid == event.pod_uid), None)
        return kill_reading(event, whose) if isinstance(event, OomKill) else disk_reading(event, whose)


async def _next(source: AsyncIterator[OomKill | DiskRead]) -> OomKill | DiskRead | None:
    return await anext(source, None)


def note(what: str, text: str, **data: Any) -> Reading:
    """Return a note of the probe or the cluster about itself."""
    return Reading(stream="note", fields={"what": what, "text": text, "data": data})


def sample(source: str, node: str, subject: str, data: Mapping[str, Any]) -> Reading:
    """Return a measurement."""
    fields = {"source": source, "node": node, "subject": subject, "data": dict(data)}
    return Reading(stream="sample", fields=fields)


def _row(node: str, subject: str, memory: Memory, **extra: str | int) -> Reading:
    data: dict[str, Any] = {
        "usage": memory.usage,
        "workingSet": memory.working_set,
        "inactiveFile": memory.inactive_file,
        "rss": memory.rss,
        "limit": memory.limit,
        "swap": memory.swap,
        "failcnt": memory.failcnt,
        "oomKill": memory.oom_kill,
    }
    known = {key: value for key, value in data.items() if value is not None}
    return sample("cgroup", node, subject, {**known, "mode": memory.accounting, **extra})


def host() -> Iterator[Reading]:
    """Read what belongs to no node: the machine's own memory, KSM and swap. Lacks are left out."""
    meminfo: dict[str, int] = {}
    with suppress(OSError, ValueError, IndexError):
        for line in MEMINFO.read_text(encoding="ascii").splitlines():
            name, _, rest = line.partition(":")
            if name in MEMINFO_FIELDS:
                meminfo[name] = int(rest.split()[0]) * 1024
    if meminfo:
        yield sample("meminfo", "", "host", meminfo)
        if meminfo.get("SwapTotal"):
            swap = {"total": meminfo["SwapTotal"], "free": meminfo.get("SwapFree", 0)}
            yield sample("swap", "", "host", swap)
    ksm: dict[str, int] = {}
    for name in KSM_FILES:
        with suppress(OSError, ValueError):
            ksm[name] = int((KSM / name).read_text(encoding="ascii"))
    if ksm:
        yield sample("ksm", "", "host", ksm)


def kill_reading(kill: OomKill, whose: RunningPod | None) -> Reading:
    """Return an OOM kill as a kernel record; `domain` is the scope the kernel named."""
    return Reading(
        stream="kernel",
        fields={
            "source": kill.source,
            "node": kill.node or (whose.node if whose else ""),
            "scope": kill.domain,
            "vmi": whose.vmi if whose else "",
            "pid": kill.pid,
            "process": kill.process,
            "oomScoreAdj": kill.oom_score_adj,
            "oomMemcg": kill.oom_memcg,
            "taskMemcg": kill.task_memcg,
            "rss": kill.rss,
            "lines": list(kill.lines),
        },
    )


def disk_reading(read: DiskRead, whose: RunningPod | None) -> Reading:
    """Return what lay on an ended guest's disk, as the action that judges of `integrity` look for."""
    vmi = whose.vmi if whose else read.guest.replace("_", "/", 1)
    if read.why:
        return note("disk-unread", f"the disk of {vmi} could not be read: {read.why}", vmi=vmi)
    runs = {str(run): [list(pair) for pair in pairs] for run, pairs in sorted(read.runs.items())}
    args = {"runs": runs, "slots": read.slots, "torn": read.torn}
    return Reading(stream="action", fields={"what": "disk-read", "target": vmi, "args": args})

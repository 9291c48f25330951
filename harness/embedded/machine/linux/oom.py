"""OOM kills as the kernel prints them: records of /dev/kmsg to OomKill, with the domain whose limit was hit.

The two lines that count (mm/oom_kill.c and mm/memcontrol.c, kernel 4.19 to 6.18):
`oom-kill:constraint=CONSTRAINT_MEMCG,…,oom_memcg=<group at its limit>,task_memcg=<victim's group>,task=<comm>,pid=N,uid=U`
(the pod's own group is that of the limit, so the depth of oom_memcg names the domain), then
`Memory cgroup out of memory: Killed process N (<comm>) total-vm:…kB, anon-rss:…kB, file-rss:…kB, shmem-rss:…kB, … oom_score_adj:A`.
The first is rate limited (10 in 5 s) and may be missing; the second always comes. Names are cut to 15 characters.
With memory.oom.group (v2), `Tasks in <group> are going to be killed due to memory.oom.group set` follows, and then a
`Killed process` line for every task of the group, the first victim's a second time.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Literal

from harness.embedded.machine.base import OomKill
from harness.embedded.machine.linux.cgroupfs import SUBTREE
from harness.units import Bytes

Domain = Literal["container", "pod", "kubepods", "node", "global"]

_CHOICE = re.compile(
    r"oom-kill:constraint=(?P<constraint>\w+),.*?"
    r"(?:oom_memcg=(?P<oom>[^,]*),|(?P<global>global_oom),)?task_memcg=(?P<task>[^,]*),task=(?P<comm>.*),pid=(?P<pid>\d+),uid=\d+"
)
_KILLED = re.compile(r"Killed process (?P<pid>\d+) \((?P<comm>.*)\) total-vm:\d+kB, (?P<rest>.*)")
_GROUP = re.compile(r"Tasks in (?P<group>.*) are going to be killed due to memory\.oom\.group set")
_RSS = re.compile(r"(?:anon|file|shmem)-rss:(\d+)kB")
_ADJ = re.compile(r"oom_score_adj:(-?\d+)")
_CONTEXT = ("invoked oom-killer", "memory: usage ", "memory+swap: usage ", "swap: usage ")
_PENDING = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in a run's tree a cgroup path lies. Fields below the depth of the path are ''."""

    domain: Domain
    node: str = ""
    pod_uid: str = ""
    container: str = ""


OUTSIDE = Place(domain="global")


def place(path: str, run: str) -> Place:
    """Find `…/kubevirt-density/<run>/<node>/kubepods[/<qos>]/pod<uid>/<container>` in a path as the kernel prints it.

    The kernel prints paths from the real root, which a container does not see: what precedes our subtree is ignored.
    A path that is not below the run's own group (an ancestor, another run, the root) is `global`.
    """
    _, found, below = f"{path}/".partition(f"/{SUBTREE}/{run}/")
    parts = [part for part in below.split("/") if part]
    if not found or not parts:
        return OUTSIDE
    node, rest = parts[0], parts[1:]
    if not rest or rest[0] != "kubepods":
        return Place(domain="node", node=node)
    rest = rest[1:]
    if rest and rest[0] in {"burstable", "besteffort"}:
        rest = rest[1:]
    if not rest or not rest[0].startswith("pod"):
        return Place(domain="kubepods", node=node)
    uid = rest[0].removeprefix("pod")
    if len(rest) == 1:
        return Place(domain="pod", node=node, pod_uid=uid)
    return Place(domain="container", node=node, pod_uid=uid, container=rest[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One kill, as far as the log tells. `oom_memcg` is None where the first line was not printed."""

    pid: int
    process: str
    oom_memcg: str | None
    task_memcg: str
    oom_score_adj: int | None
    rss: Bytes | None
    lines: tuple[str, ...]

    def kill(self, run: str) -> OomKill:
        """Attribute it to a run's tree: the domain by oom_memcg, the victim by task_memcg."""
        victim = place(self.task_memcg, run)
        domain = place(self.oom_memcg, run).domain if self.oom_memcg is not None else "global"
        return OomKill(
            pid=self.pid,
            process=self.process,
            domain=domain,
            node=victim.node,
            pod_uid=victim.pod_uid,
            container=victim.container,
            oom_score_adj=self.oom_score_adj,
            oom_memcg=self.oom_memcg or "",
            task_memcg=self.task_memcg,
            rss=self.rss,
            source="kmsg",
            lines=self.lines,
        )


def message(record: bytes | str) -> str:
    r"""Return the text of one kmsg record, `<prio>,<seq>,<usec>,<flags>[,…];<text>\n[ KEY=value\n…]` (dev-kmsg ABI)."""
    text = record.decode("utf-8", errors="replace") if isinstance(record, bytes) else record
    _, _, rest = text.partition(";")
    return rest.split("\n", 1)[0]


class Parser:
    """Feeds on messages in order and gives a Report for each `Killed process` line."""

    def __init__(self) -> None:
        self._choices: OrderedDict[int, Report] = OrderedDict()
        self._context: list[str] = []
        self._last: Report | None = None
        self._group: Report | None = None
        """What members of a group that dies together have in common with its first victim."""
        self._group_pids: set[int] = set()

    def feed(self, text: str) -> Report | None:
        """Take one message; return the kill it completes."""
        if "invoked oom-killer" in text:
            self._context = [text]
            return None
        if text.startswith(_CONTEXT):
            self._context = [*self._context[-7:], text]
            return None
        if text.startswith("oom-kill:"):
            self._choose(text)
            return None
        together = _GROUP.match(text)
        if together is not None and self._last is not None:
            self._group = replace(self._last, task_memcg=together["group"], lines=(*self._last.lines, text))
            self._group_pids = {self._last.pid}
            return None
        killed = _KILLED.search(text)
        if killed is None:
            return None
        pid = int(killed["pid"])
        chosen = self._choices.pop(pid, None)
        if chosen is None and self._group is not None:
            if pid in self._group_pids:
                return None
            self._group_pids.add(pid)
            chosen = self._group
        adj = _ADJ.search(killed["rest"])
        rss = [int(kib) * 1024 for kib in _RSS.findall(killed["rest"])]
        base = chosen or Report(
            pid=pid, process="", oom_memcg=None, task_memcg="", oom_score_adj=None, rss=None, lines=()
        )
        self._last = replace(
            base,
            pid=pid,
            process=killed["comm"],
            oom_score_adj=int(adj[1]) if adj else None,
            rss=Bytes(sum(rss)) if rss else None,
            lines=(*base.lines, text),
        )
        return self._last

    def _choose(self, text: str) -> None:
        found = _CHOICE.match(text)
        if found is None:
            return
        pid = int(found["pid"])
        self._group = None
        # an OOM of the machine names no oom_memcg: the root's
        self._choices[pid] = Report(
            pid=pid,
            process=found["comm"],
            oom_memcg=found["oom"] or "/",
            task_memcg=found["task"],
            oom_score_adj=None,
            rss=None,
            lines=(*self._context, text),
        )
        self._context = []
        while len(self._choices) > _PENDING:  # victims that were gone before the kill
            self._choices.popitem(last=False)

"""How each guest ended, if it did: when its QEMU was gone, and what its console said last.

The end is bracketed. It was not yet gone at the last sign of life (a console line, a cgroup or process sample, the
decision to evict it); it was gone at the first sign of death (a final phase, a terminated container, a collapsed
or vanished pod cgroup, the kernel's report). A VMI's phase lags by up to ~40 s for a deaf guest, so it only ever
bounds the end from above.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from harness.judge.cast import Cast, Incarnation
from harness.judge.evictions import Eviction
from harness.judge.interval import Interval
from harness.judge.kmsg import OomKill
from harness.judge.samples import MemorySample
from harness.judge.timeline import Said, Timeline

DELIVERY = 0.1
"""Seconds a console line or a sample may take to reach the recorder on a healthy run; more is in its health notes."""

NO_QEMU = 64 << 20
"""Resident bytes under which a pod holds no QEMU: smallest guest measured 174 MiB, launcher without QEMU 39 MiB."""

_VICTIM_PID = re.compile(r"victim process: .*, pid: (\d+)")
"""pkg/kubelet/oom/oom_watcher_linux.go: `System OOM encountered, victim process: <comm>, pid: <pid>`."""

_SAME_KILL = 5.0
"""Reports of one kill from several sources (kmsg, memory.events, container status) are this close."""


@dataclass(slots=True, kw_only=True)
class Ending:
    """The end of one incarnation, as far as it was seen."""

    incarnation: Incarnation
    stale: bool
    """It was over before the window began: not part of this run."""
    gone: Interval | None
    """When its QEMU (or the pod's processes) was gone; None: not seen to end."""
    lines: tuple[Said, ...]
    """Its console inside the window."""
    proof: tuple[int, ...]
    kills: tuple[OomKill, ...] = ()
    eviction: Eviction | None = None

    def last(self, *words: str) -> Said | None:
        """Return its last console line of those kinds."""
        return next((said for said in reversed(self.lines) if said.parsed.word in words), None)

    def first(self, *words: str, after: float = float("-inf")) -> Said | None:
        """Return its first console line of those kinds that arrived after a time."""
        return next((said for said in self.lines if said.parsed.word in words and said.t >= after), None)

    @property
    def key(self) -> str:
        """`<namespace>/<name>`."""
        return self.incarnation.key

    @property
    def is_victim(self) -> bool:
        """Evicted for memory, or killed for it by the host's kernel."""
        return (self.eviction is not None and self.eviction.may_be_memory) or bool(self.kills)

    @property
    def began_to_end(self) -> float:
        """A time to order victims by."""
        times = [kill.t for kill in self.kills]
        if self.eviction is not None:
            times.append(self.eviction.told.high)
        return min(times, default=float("inf"))


def attributed_kills(timeline: Timeline, cast: Cast) -> list[tuple[Incarnation | None, OomKill]]:
    """Return the kernel's kills inside the window with their victims, one per victim and moment."""
    kills: list[tuple[Incarnation | None, OomKill]] = []
    reported = [k for k in timeline.oom.kills if timeline.window_start <= k.t <= timeline.end]
    victims = {id(v) for v in (_victim(timeline, cast, k) for k in reported) if v is not None}
    # A container ends once: its status repeats what the kernel reported, however long before.
    told = [k for k in _from_statuses(timeline) if id(_victim(timeline, cast, k)) not in victims]
    told += [] if timeline.oom.watched else system_ooms(timeline)
    for kill in sorted([*reported, *told], key=lambda k: (k.t, k.lines)):
        victim = _victim(timeline, cast, kill)
        known = next(
            (n for n, (other, k) in enumerate(kills) if _same(other, k, victim, kill)),
            None,
        )
        if known is None:
            kills.append((victim, kill))
            continue
        other, first = kills[known]
        merged = OomKill(
            t=first.t,
            lines=tuple(dict.fromkeys(first.lines + kill.lines)),
            scope=first.scope or kill.scope,
            pod_uid=first.pod_uid or kill.pod_uid,
            vmi=first.vmi or kill.vmi,
            pid=first.pid or kill.pid,
            node=first.node or kill.node,
            event=first.event and kill.event,
        )
        kills[known] = (other or victim, merged)
    return kills


def _same(victim: Incarnation | None, kill: OomKill, of: Incarnation | None, other: OomKill) -> bool:
    """Whether two reports, the second a little later, are of one kill."""
    if other.t - kill.t > _SAME_KILL:
        return False
    if victim is not None or of is not None:
        if victim is of:
            return True
        # A SystemOOM event names a process, a container status a container: the same node and moment join them.
        unnamed = kill if victim is None else other
        return (victim is None or of is None) and unnamed.event and kill.node == other.node != ""
    return False


def system_ooms(timeline: Timeline) -> list[OomKill]:
    """Return kills that a node's SystemOOM events tell of, which speak of the whole node's memory alone.

    pkg/kubelet/oom/oom_watcher_linux.go (1.36): only where no memory cgroup's limit was hit.
    """
    found = []
    for event in timeline.events:
        if event.reason != "SystemOOM" or event.kind != "Node":
            continue
        if event.when.high <= timeline.window_start or event.when.low > timeline.end:
            continue
        pid = _VICTIM_PID.search(event.message)
        found.append(
            OomKill(
                t=event.when.high,
                lines=(event.line,),
                scope="node",
                pid=int(pid[1]) if pid else None,
                node=event.name,
                event=True,
            )
        )
    return found


def _from_statuses(timeline: Timeline) -> list[OomKill]:
    """Return kills that only a container status tells of (`OOMKilled`): of unknown scope."""
    found = []
    for pod in timeline.pods.values():
        for termination in pod.terminations.values():
            if termination.reason != "OOMKilled":
                continue
            when = termination.finished
            if pod.born_final and (when is None or when.high <= timeline.window_start):
                continue
            t = termination.t if when is None else min(when.high, termination.t)
            found.append(OomKill(t=t, lines=(termination.line,), scope="", pod_uid=pod.uid, node=pod.node))
    return found


def _victim(timeline: Timeline, cast: Cast, kill: OomKill) -> Incarnation | None:
    if kill.pod_uid in cast.by_pod:
        return cast.by_pod[kill.pod_uid]
    key = kill.vmi
    if not key and kill.pid is not None:
        key = next(
            (vmi for vmi, seen in timeline.processes.items() if any(pid == kill.pid for _, _, pid in seen)),
            "",
        )
    if not key:
        return None
    living = [i for i in cast.incarnations if i.key == key and i.begin <= kill.t < i.until]
    return living[-1] if living else None


def endings(timeline: Timeline, cast: Cast, evicted: Iterable[Eviction]) -> list[Ending]:
    """Return the ending of every incarnation, in the cast's order."""
    by_incarnation = {id(e.incarnation): e for e in reversed(list(evicted)) if e.incarnation is not None}
    kills: dict[int, list[OomKill]] = {}
    for victim, kill in attributed_kills(timeline, cast):
        if victim is not None:
            kills.setdefault(id(victim), []).append(kill)
    return [
        _ending(
            timeline,
            incarnation,
            eviction=by_incarnation.get(id(incarnation)),
            kills=tuple(kills.get(id(incarnation), ())),
        )
        for incarnation in cast.incarnations
    ]


def _ending(
    timeline: Timeline, incarnation: Incarnation, *, eviction: Eviction | None, kills: tuple[OomKill, ...]
) -> Ending:
    lines = _console(timeline, incarnation)
    stale = eviction is None and not kills and _stale(timeline, incarnation)
    deaths: list[tuple[float, int]] = []
    for pod in incarnation.pods[-1:]:
        if pod.final is not None:
            deaths.append((pod.final.t, pod.final.line))
        if pod.termination is not None:
            ended = pod.termination
            deaths.append((min(ended.finished.high, ended.t) if ended.finished else ended.t, ended.line))
        if pod.deleted is not None:
            deaths.append((pod.deleted.t, pod.deleted.line))
    vmi = incarnation.vmi
    if vmi is not None:
        deaths += [(m.t, m.line) for m in (vmi.final, vmi.deleted) if m is not None]
        deaths += [
            (e.t, e.line)
            for e in timeline.events
            if e.reason == "Stopped" and e.uid == vmi.uid and e.when.high > timeline.window_start
        ]
    deaths += [(kill.t, kill.lines[-1]) for kill in kills]
    off = next((s for s in reversed(lines) if s.parsed.word == "power-down"), None)
    if off is not None:
        deaths.append((off.t, off.line))
    samples = sorted(
        (s for pod in incarnation.pods for s in timeline.pod_cgroup.get(pod.uid, ())), key=lambda s: s.t
    )
    # Memory alone never proves a death (guests give pages back); beside another sign it sharpens the bracket.
    if deaths and incarnation.is_vmi:
        deaths += _collapsed(samples, timeline.node_cgroup.get(incarnation.node, []))
    deaths = [d for d in deaths if d[0] <= timeline.end]
    if not deaths:
        return Ending(
            incarnation=incarnation,
            stale=stale,
            gone=None,
            lines=lines,
            proof=(),
            kills=kills,
            eviction=eviction,
        )
    death = min(deaths)
    life = [said.t - DELIVERY for said in lines if said.parsed.word not in {"bye", "power-down"}]
    life += [s.t for s in samples if (s.rss if s.rss is not None else s.usage) >= NO_QEMU and s.t < death[0]]
    life += [
        t for t, _, _ in timeline.processes.get(incarnation.key, ()) if incarnation.begin <= t < death[0]
    ]
    if eviction is not None and eviction.told.low <= death[0]:
        life.append(eviction.told.low)
    low = max((t for t in life if t <= death[0]), default=incarnation.begin)
    return Ending(
        incarnation=incarnation,
        stale=stale,
        gone=Interval(min(low, death[0]), death[0]),
        lines=lines,
        proof=(death[1],),
        kills=kills,
        eviction=eviction,
    )


def _console(timeline: Timeline, incarnation: Incarnation) -> tuple[Said, ...]:
    if not incarnation.is_vmi:
        return ()
    said = timeline.console.get(incarnation.key) or timeline.console.get(
        incarnation.key.partition("/")[2], []
    )
    return tuple(s for s in said if incarnation.begin - 1.0 <= s.t < incarnation.until)


def _stale(timeline: Timeline, incarnation: Incarnation) -> bool:
    """Whether it was over when the window began: served final at first, and nothing of its own lies inside."""
    start = timeline.window_start
    tracks = [t for t in (incarnation.vmi, *incarnation.pods) if t is not None]
    if not tracks:
        return False
    for pod in incarnation.pods:
        own = [t.finished for t in pod.terminations.values() if t.finished is not None]
        if any(when.high > start for when in own):
            return False
    if all(track.born_final for track in tracks):
        return True
    final = [t.final.t if t.final else t.deleted.t if t.deleted else None for t in tracks]
    return all(t is not None and t < start for t in final)


def _collapsed(samples: list[MemorySample], node: list[MemorySample]) -> list[tuple[float, int]]:
    """Return the first sample without a QEMU in the pod, or the first sweep of the node without the pod."""
    held = [(s.rss if s.rss is not None else s.usage) >= NO_QEMU for s in samples]
    if True not in held:
        return []
    if not held[-1]:
        after = samples[len(held) - held[::-1].index(True)]
        return [(after.t, after.line)]
    last = samples[-1]
    later = next((s for s in node if s.t > last.t + DELIVERY / 2), None)
    return [] if later is None else [(later.t + DELIVERY, later.line)]

"""Evictions whose pod and VMI are gone: only events still speak of them.

A VM-owned VMI that ended is deleted by its VM, and its pods with it, within seconds (pkg/virt-controller/watch/vm/vm.go,
vmi/lifecycle.go); events are served for an hour. Whoever looks later sees a young VMI and the events of a dead one.
"""

from __future__ import annotations

from harness.judge.cast import Incarnation
from harness.judge.endings import Ending
from harness.judge.interval import Interval
from harness.judge.seen import Run
from harness.judge.tracks import Happening, vmi_of_launcher

_AFTER = 90.0
"""Seconds after an eviction in which its VMI's last events come: 39.5 s seen for a deaf guest, twice that."""


def orphans(run: Run) -> list[Ending]:
    """Return an ending for each eviction whose pod was never served."""
    found = []
    for eviction in run.evictions:
        if eviction.incarnation is not None:
            continue
        namespace, _, pod = eviction.key.partition("/")
        vmi = vmi_of_launcher(pod)
        key = f"{namespace}/{vmi or pod}"
        last = _last_events(run, namespace, vmi, eviction.told) if vmi else []
        stopped = next((e for e in last if e.reason == "Stopped"), None)
        incarnation = Incarnation(
            key=key,
            uid=last[0].uid if last else eviction.pod_uid,
            vmi=None,
            pods=[],
            begin=eviction.told.low,
            until=float("inf"),
            is_vmi=bool(vmi),
        )
        found.append(
            Ending(
                incarnation=incarnation,
                stale=False,
                gone=Interval(eviction.told.low, stopped.when.high) if stopped is not None else None,
                lines=(),
                proof=(stopped.line,) if stopped is not None else (),
                eviction=eviction,
            )
        )
    return found


def _last_events(run: Run, namespace: str, vmi: str, told: Interval) -> list[Happening]:
    known = {track.uid for track in run.timeline.vmis.values()}
    return [
        e
        for e in run.timeline.events
        if e.kind == "VirtualMachineInstance"
        and (e.namespace, e.name) == (namespace, vmi)
        and e.uid not in known
        and told.low - 1.0 <= e.when.high <= told.high + _AFTER
    ]

"""The kubelet's ranking at an eviction, with the figures it had: pod rows of stats/summary that are up to 30 s old.

The eviction manager ranks on cached pod statistics (cAdvisor housekeeping 10-20 s) while the signal itself is fresh
(Kubernetes 1.36, eviction_manager.go `synchronize`). What our cgroup samples say of the same moment stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.explain.why_index import Index
from harness.explain.why_model import Ranking, RankRow
from harness.explain.why_words import several, signed, size
from harness.judge.interval import Interval
from harness.judge.seen import Run
from harness.judge.tracks import PodTrack
from harness.records import served
from harness.rules.pods import is_critical
from harness.rules.ranking import PodUsage, rank
from harness.units import Bytes


def ranking(run: Run, index: Index, *, node: str, moment: Interval, victim: str) -> Ranking | None:
    """Rank the pods that were on a node at a moment; `victim`: a pod UID, or ''. None where nothing was measured."""
    pods = [pod for pod in run.timeline.pods.values() if pod.node == node and _there(run, pod, moment)]
    lagged = any(index.row_at(pod.uid, moment.high) for pod in pods)
    rows = [_row(run, index, pod, moment=moment, victim=victim, lagged=lagged) for pod in pods]
    if not any(row.usage.working_set is not None for row in rows):
        return None
    order = {id(usage): n for n, usage in enumerate(rank([row.usage for row in rows]))}
    rows.sort(key=lambda row: order[id(row.usage)])
    evictable = [row for row in rows if not row.usage.critical]
    mine = next((row for row in rows if row.victim), None)
    return Ranking(
        node=node,
        source="stats/summary" if lagged else "cgroup",
        rows=tuple(rows),
        decisive=_decisive(evictable, mine) if mine is not None else "",
        first=None if mine is None else bool(evictable) and evictable[0].victim,
        truth_order=_truth_order(evictable),
    )


def _there(run: Run, pod: PodTrack, moment: Interval) -> bool:
    """Whether a pod was on the node then, by its own times where we saw it late."""
    if pod.rejected:
        return False
    created = run.timeline.own(
        served.maybe_instant(served.dig(pod.object, "metadata", "creationTimestamp")), pod.first.t
    )
    if min(pod.first.t, created.low if created is not None else pod.first.t) > moment.high:
        return False
    own = [t.finished.high for t in pod.terminations.values() if t.finished is not None]
    own += [pod.disruption.when.high] if pod.disruption is not None else []
    if pod.born_final:
        return bool(own) and max(own) >= moment.low
    ended = [mark.t for mark in (pod.final, pod.deleted) if mark is not None]
    return not ended or min(ended) >= moment.low


def _row(run: Run, index: Index, pod: PodTrack, *, moment: Interval, victim: str, lagged: bool) -> RankRow:
    seen = index.row_at(pod.uid, moment.high)
    samples = [s for s in run.timeline.pod_cgroup.get(pod.uid, ()) if s.t <= moment.high]
    truth = Bytes(samples[-1].working_set) if samples and moment.high - samples[-1].t < 5.0 else None
    figure = (Bytes(seen.working_set) if seen else None) if lagged else truth
    incarnation = run.cast.by_pod.get(pod.uid)
    priority = served.dig(pod.object, "spec", "priority")
    spec = served.dig(pod.object, "spec") or {}
    annotations = served.dig(pod.object, "metadata", "annotations") or {}
    return RankRow(
        pod=pod.key,
        subject=incarnation.key.partition("/")[2] if incarnation is not None else pod.name,
        qos=pod.qos[0] if pod.qos else "",
        usage=PodUsage(
            name=pod.key,
            request=served.pod_memory_request(pod.object),
            working_set=figure,
            priority=priority if isinstance(priority, int) else 0,
            critical=is_critical(spec, annotations=annotations),
        ),
        measured=seen.when if seen else None,
        age=moment.minus(seen.when).floor(0.0) if seen else None,
        truth=truth,
        victim=pod.uid == victim,
    )


def _truth_order(rows: Sequence[RankRow]) -> tuple[str, ...]:
    if any(row.truth is None for row in rows):
        return ()
    usages = {id(row): _with(row, row.truth) for row in rows}
    by_usage = {id(usage): row for row in rows for usage in [usages[id(row)]]}
    return tuple(by_usage[id(usage)].subject for usage in rank(list(usages.values())))


def _with(row: RankRow, working_set: Bytes | None) -> PodUsage:
    usage = row.usage
    return PodUsage(
        name=usage.name,
        request=usage.request,
        working_set=working_set,
        priority=usage.priority,
        critical=usage.critical,
    )


def _decisive(rows: Sequence[RankRow], mine: RankRow) -> str:
    """Name the key that put the victim before the next one, or what stands against it."""
    place = rows.index(mine) if mine in rows else None
    if place is None:
        return f"{mine.subject} is critical: the kubelet doesn't evict such pods"
    if place > 0:
        return f"{_against(mine, rows[0])}"
    if len(rows) == 1:
        return f"{mine.subject} was the only pod that could be evicted"
    other = rows[1]
    me, next_ = mine.usage, other.usage
    if me.working_set is None:
        return f"the kubelet had no figure of {mine.subject}: such pods go first"
    if next_.working_set is None:
        return ""
    over = f"{mine.subject} used {size(me.excess)} more than its request of {size(me.request)}"
    if me.exceeds and not next_.exceeds:
        return f"{over}, and no other pod that may be evicted used more than its own"
    if me.priority != next_.priority:
        both = "both used more than they requested" if me.exceeds else "neither used more than it requested"
        return f"{both}; {mine.subject} has the lower priority ({me.priority} against {other.subject}'s {next_.priority})"
    if me.exceeds:
        return f"{over}, {other.subject} only {size(next_.excess)} more than its own"
    return (
        f"no pod used more than it requested; then the largest usage minus request decides, whatever the QoS class: "
        f"{mine.subject} {signed(me.excess)} ({mine.qos}), {other.subject} {signed(next_.excess)} ({other.qos})"
    )


def _against(mine: RankRow, first: RankRow) -> str:
    tied = first.usage.exceeds == mine.usage.exceeds and first.usage.priority == mine.usage.priority
    if tied and first.usage.working_set is not None and mine.usage.working_set is not None:
        gap = first.usage.excess - mine.usage.excess
        return (
            f"by the figures recorded {first.subject} stood {size(gap)} before {mine.subject}; the kubelet's own may be older or "
            "newer than those served, so either was admissible"
        )
    return (
        f"by the figures recorded {several([first.subject])} would have been first, not {mine.subject}: the kubelet had others, "
        "or a pod here was not recorded as it was"
    )


def counterfactual(found: Ranking, *, request: Bytes | None = None, priority: int | None = None) -> str:
    """Return who would have been first had the victim's request or priority been another one."""
    rows = [row for row in found.rows if not row.usage.critical]
    usages = []
    for row in rows:
        usage = row.usage
        if row.victim:
            usage = PodUsage(
                name=usage.name,
                request=usage.request if request is None else request,
                working_set=usage.working_set,
                priority=usage.priority if priority is None else priority,
            )
        usages.append(usage)
    first = rank(usages)[0]
    return next(row.subject for row, usage in zip(rows, usages, strict=True) if usage is first)


def request_enough(found: Ranking) -> tuple[Bytes, str] | None:
    """Return the smallest request with which the victim would not have been first, and who then would have been.

    None where no request helps: nobody else to take, or others of a higher priority only.
    """
    mine = next((row for row in found.rows if row.victim), None)
    others = [row for row in found.rows if not row.victim and not row.usage.critical]
    if mine is None or mine.usage.working_set is None or not others:
        return None
    used = mine.usage.working_set
    candidates = {used} | {
        Bytes(used - row.usage.excess + 1) for row in others if row.usage.working_set is not None
    }
    for candidate in sorted(c for c in candidates if c > mine.usage.request):
        first = counterfactual(found, request=candidate)
        if first != mine.subject:
            return candidate, first
    return None

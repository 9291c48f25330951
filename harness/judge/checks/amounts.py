"""`holds-bytes`, `oom-score-adj`: how much each guest holds or is charged, and what its process is marked with."""

from __future__ import annotations

from harness.judge.checks.bounded import all_of, amount, bounded, scaled, share
from harness.judge.checks.evicted import settling
from harness.judge.endings import Ending
from harness.judge.interval import Interval
from harness.judge.seen import Run, Seen, undecided, unobservable
from harness.judge.series import GUEST_SAYS, Value, change, guest_size, series, value_at
from harness.spec.expectations import HoldsBytes, OomScoreAdj

_WHERE = {
    **dict.fromkeys(GUEST_SAYS, "its console said nothing of it"),
    **dict.fromkeys(("usage", "working-set"), "its pod's cgroup was not recorded"),
    **dict.fromkeys(("pss", "rss"), "its QEMU's memory was not recorded"),
    "swap": "its pod's swap was not recorded",
}

LESSER_GUEST = 64 << 20
"""Bytes by which a distribution's own services and page cache may move a guest's memory beside what its agent holds. A
hypothesis: no stock image has been measured. Runs on them say `lesser` in the qualifier `guest`."""


def look_holds_bytes(run: Run, wanted: HoldsBytes) -> Seen:
    """Judge a value at a moment, or its growth or drop between two, of each member for itself."""

    def one(ending: Ending) -> Seen:
        points = series(run, ending, wanted.measure)
        waiting = not run.timeline.closed
        if not points:
            return unobservable(_WHERE[wanted.measure], open_=waiting)
        value = value_at(run, points, wanted.at, ending)
        if wanted.how != "value":
            earlier = value_at(run, points, wanted.since, ending)
            value = change(earlier, value) if wanted.how == "growth" else change(value, earlier)
        if value.interval is None:
            return undecided(value.why, open_=waiting)
        if waiting and wanted.at == "end" and ending.gone is None:
            return undecided(f"{_told(wanted, value.interval)} so far", open_=settling(run))
        interval = value.interval
        if wanted.measure not in GUEST_SAYS and run.provenance.qualifiers.get("guest", "").startswith(
            "lesser"
        ):
            interval = Interval(max(0.0, interval.low - LESSER_GUEST), interval.high + LESSER_GUEST)
        parts: list[Seen] = []
        if wanted.min is not None or wanted.max is not None:
            text = _told(wanted, interval)
            parts.append(bounded(interval, wanted.min, wanted.max, text=text, value=value))
        if wanted.min_share is not None or wanted.max_share is not None:
            parts.append(_share(wanted, ending, value, interval))
        return all_of(parts)

    return run.each(wanted.of, one)


def _told(wanted: HoldsBytes, interval: Interval) -> str:
    how = {"value": "", "growth": " grew by", "drop": " fell by"}[wanted.how]
    return f"{wanted.measure}{how} {amount(interval)}"


def _share(wanted: HoldsBytes, ending: Ending, value: Value, interval: Interval) -> Seen:
    size = guest_size(ending)
    if not size:
        return unobservable("the guest's memory was not served")
    part = scaled(interval, float(size))
    text = f"{_told(wanted, interval)}, {share(part)} of the guest's memory"
    return bounded(part, wanted.min_share, wanted.max_share, text=text, value=value)


def look_oom_score_adj(run: Run, wanted: OomScoreAdj) -> Seen:
    """Judge the score last read back from each QEMU."""

    def one(ending: Ending) -> Seen:
        mine = ending.incarnation
        rows = [r for r in run.timeline.process_rows.get(ending.key, ()) if mine.begin <= r.t < mine.until]
        known = [(r.line, v) for r in rows if isinstance(v := r.data.get("oomScoreAdj"), int)]
        waiting = not run.timeline.closed
        if not rows:
            return unobservable("its QEMU was not recorded", open_=waiting)
        if not known:
            return unobservable("this machine does not let its oom_score_adj be written", open_=waiting)
        line, last = known[-1]
        score = Interval(float(last), float(last))
        value = Value(interval=score, proof=(line,))
        return bounded(score, wanted.min, wanted.max, text=f"oom_score_adj {last}", value=value)

    return run.each(wanted.of, one)

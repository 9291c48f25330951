"""The numbers of a run: how many VMIs fit and lived, what was sold, who was taken, how long everything took.

Built from the judge's index, so that a report can't count otherwise than the judge did. Every number carries its
interval, how many observations it rests on, how many were censored, and the records that prove it. Units: VMIs, bytes,
seconds, nanoseconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from harness.judge.availability import capacity, crossing, kubelet_config, series, threshold
from harness.judge.cast import Incarnation
from harness.judge.endings import Ending
from harness.judge.evictions import Eviction
from harness.judge.interval import Interval
from harness.judge.seen import Run
from harness.judge.tracks import Track
from harness.records import served
from harness.report.proof import percentile_command
from harness.report.reading import Observed
from harness.report.text import finite, number, spread
from harness.report.touch import nearest_rank
from harness.units import GIB, MIB

SUBJECTS = 200
"""Guests up to which each gets a command of its own that re-derives its percentiles."""
PROOF = 8
"""Records cited of one number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """One number of a run."""

    key: str
    """Stable name for machines: `fit`, `detection`, …"""
    group: str
    """`counts`, `latency` or `touch`."""
    name: str
    subject: str = ""
    """VMI it is about; '' for the whole run."""
    text: str
    value: float | None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    n: int = 1
    """Observations it rests on."""
    censored: int = 0
    """Of these, how many were only seen not to have happened."""
    note: str = ""
    proof: tuple[int, ...] = ()
    derive: str = ""
    """Command that re-derives it, where records of proof alone do not."""


def measure(observed: Observed, records: str) -> tuple[Number, ...]:
    """Return every number of a run. `records`: name of the record file in commands."""
    run = observed.run
    endings = _of_interest(run)
    numbers = [*_counts(run, endings), *_start(run, endings), *_latencies(run, endings)]
    numbers += _touch(observed, records)
    numbers += _ksm(observed)
    return tuple(numbers)


def _of_interest(run: Run) -> list[Ending]:
    """Return the endings of the fleets' members inside the window; of every VMI where the scenario names no fleet."""
    fleets = bool(run.cast.members)
    return [
        e for e in run.endings if not e.stale and (e.incarnation.fleet if fleets else e.incarnation.is_vmi)
    ]


# -- counts ------------------------------------------------------------------------------------------------------------


def ran(incarnation: Incarnation) -> tuple[float, int] | None:
    """Return time and line at which a VMI (or plain pod) was first seen Running."""
    tracks: Sequence[Track] = [incarnation.vmi] if incarnation.vmi is not None else incarnation.pods
    marks = [(p.t, p.line) for track in tracks for p in track.phases if p.phase == "Running"]
    return min(marks, default=None)


def _counts(run: Run, endings: Sequence[Ending]) -> Iterator[Number]:
    names = {e.key for e in endings}
    unseen = [m.name for m in run.cast.members if not m.incarnations]
    asked = len(names) + len(unseen)
    if not asked:
        return
    started = {e.key: mark for e in endings if (mark := ran(e.incarnation)) is not None}
    born = {e.key for e in endings if ran(e.incarnation) is None and _was_alive(e)}
    fit = len(started) + len(born)
    yield _count("asked", "VMIs asked for", asked, proof=())
    yield _count(
        "fit",
        "VMIs that fit (were seen Running)",
        fit,
        proof=(line for _, line in started.values()),
        note=f"{asked - fit} of {asked} never ran" if asked > fit else "",
        censored=asked - fit,
    )
    last = {e.key: e for e in endings}
    alive = [k for k, e in last.items() if (k in started or k in born) and e.gone is None and not e.is_victim]
    yield _count(
        "survive",
        "VMIs alive at the end of the window",
        len(alive),
        proof=(
            e.incarnation.vmi.last.line for e in (last[k] for k in alive) if e.incarnation.vmi is not None
        ),
        note="" if run.timeline.closed else "the records end before the window does",
    )
    yield from _sold(run, endings, {*started, *born})
    yield _count(
        "evictions",
        "evictions by the kubelet",
        len(run.evictions),
        proof=_lines(e.proof for e in run.evictions),
    )
    yield from _ooms(run, endings)


def _was_alive(ending: Ending) -> bool:
    """Whether it lived though no Running phase was recorded: its console spoke, or it was evicted."""
    return bool(ending.lines) or ending.eviction is not None


def _sold(run: Run, endings: Sequence[Ending], fit: set[str]) -> Iterator[Number]:
    sold: dict[str, tuple[int, int]] = {}
    nodes: set[str] = set()
    for ending in endings:
        vmi = ending.incarnation.vmi
        if ending.key not in fit or vmi is None:
            continue
        size = guest_memory(vmi.object)
        if size is not None:
            sold[ending.key] = (size, vmi.first.line)
        if ending.incarnation.node:
            nodes.add(ending.incarnation.node)
    if not sold:
        return
    total = sum(size for size, _ in sold.values())
    proof = _first(line for _, line in sold.values())
    yield Number(
        key="sold",
        group="counts",
        name="guest memory sold (of the VMIs that fit)",
        text=f"{number(total / MIB)} MiB",
        value=float(total),
        unit="B",
        n=len(sold),
        proof=proof,
    )
    sizes = [capacity(run.timeline, run.provenance, node) for node in sorted(nodes)]
    known = [s for s in sizes if s and s > 0]
    if known and len(known) == len(sizes):
        per = total / sum(known)
        yield Number(
            key="sold-per-gib",
            group="counts",
            name="guest memory sold per GiB of node",
            text=f"{number(per * GIB / MIB)} MiB",
            value=per * GIB,
            unit="B",
            n=len(sold),
            note=f"{len(known)} node{'' if len(known) == 1 else 's'} of {number(sum(known) / MIB)} MiB in all",
            proof=proof,
        )


def guest_memory(vmi: object) -> int | None:
    """Return what the guest is told it has, in bytes: `memory.guest`, else hugepages' or the request."""
    for path in (("memory", "guest"), ("resources", "requests", "memory"), ("resources", "limits", "memory")):
        found = served.maybe_quantity(served.dig(vmi, "spec", "domain", *path))
        if found is not None:
            return int(found)
    return None


def _ooms(run: Run, endings: Sequence[Ending]) -> Iterator[Number]:
    names = {
        "container": "of a container's limit",
        "pod": "of a pod's limit",
        "node": "of the node",
        "": "of unknown scope",
    }
    watched = run.timeline.oom.watched or run.provenance.capabilities.get("kmsg") == "yes"
    for scope, words in names.items():
        kills = [kill for _, kill in run.kills if kill.scope == scope]
        if not kills and not scope:
            continue
        found = _count(
            f"oom-{scope or 'unknown'}",
            f"OOM kills {words}",
            len(kills),
            proof=_lines(k.lines for k in kills),
        )
        if not kills and not watched:
            # Nobody looked: a zero would be a promise.
            note = "no kernel log was kept: only container statuses tell"
            found = replace(found, text="none seen", value=None, note=note)
        yield found
    said = [(e, s) for e in endings if (s := e.first("oom")) is not None]
    yield _count(
        "oom-guest", "guests whose own kernel killed for memory", len(said), proof=(s.line for _, s in said)
    )


# -- latencies ---------------------------------------------------------------------------------------------------------


def _start(run: Run, endings: Sequence[Ending]) -> Iterator[Number]:
    """Creation to Running, with quantiles that count VMIs that never ran as longer than everything."""
    created = {a.target: (a.t, line) for line, a in run.timeline.actions if a.what == "create"}
    times: list[float] = []
    lines: list[int] = []
    censored = 0
    for ending in endings:
        begun = created.pop(ending.key, None)
        if begun is None:
            continue
        mark = ran(ending.incarnation)
        if mark is None:
            censored += not _was_alive(ending)
            continue
        times.append(mark[0] - begun[0])
        lines += [begun[1], mark[1]]
    censored += len(created)
    if not times and not censored:
        return
    for percent, word in ((50, "median"), (95, "95th percentile"), (100, "slowest")):
        value = censored_quantile(times, censored, percent)
        yield Number(
            key=f"start-p{percent}",
            group="latency",
            name=f"created to Running, {word}",
            text="longer than the run" if value is None else f"{number(round(value, 3))} s",
            value=value,
            unit="s",
            n=len(times) + censored,
            censored=censored,
            note=f"{censored} never ran, counted as longer" if censored else "",
            proof=_first(lines),
        )


def censored_quantile(times: Sequence[float], censored: int, percent: int) -> float | None:
    """Return the nearest-rank quantile of what happened and what never did; None where it lies among the latter."""
    rank = max(1, math.ceil((len(times) + censored) * percent / 100))
    return sorted(times)[rank - 1] if rank <= len(times) else None


def _latencies(run: Run, endings: Sequence[Ending]) -> Iterator[Number]:
    detection = [(e, found) for e in run.evictions if (found := detected(run, e)) is not None]
    yield from _each(
        "detection",
        "threshold crossed to told to go",
        [(e.key, when, (*lines, *e.proof)) for e, (when, lines) in detection],
        missing=len(run.evictions) - len(detection),
        why="no availability, or the threshold was crossed before the first sample",
    )
    gone = [
        (e.key, e.gone.minus(e.eviction.told).floor(0.0), (*e.eviction.proof, *e.proof))
        for e in endings
        if e.eviction is not None and e.gone is not None
    ]
    yield from _each(
        "eviction",
        "told to go to gone",
        gone,
        missing=sum(e.eviction is not None and e.gone is None for e in endings),
        why="still there when the records end",
    )
    lagging = []
    waiting = 0
    for ending in endings:
        vmi = ending.incarnation.vmi
        if vmi is None or ending.gone is None:
            continue
        if vmi.final is None:
            waiting += 1
            continue
        arrived = Interval(vmi.final.t, vmi.final.t)
        lagging.append((ending.key, arrived.minus(ending.gone).floor(0.0), (*ending.proof, vmi.final.line)))
    yield from _each(
        "phase-lag",
        "gone to a final phase of the VMI",
        lagging,
        missing=waiting,
        why="no final phase was seen",
    )


def detected(run: Run, eviction: Eviction) -> tuple[Interval, tuple[int, ...]] | None:
    """Return how long after the crossing of its threshold an eviction came, and what shows the crossing."""
    values = series(run.timeline, run.provenance, eviction.node)
    bound = eviction.threshold
    if bound is None:
        size = capacity(run.timeline, run.provenance, eviction.node) or 0
        bound = threshold(kubelet_config(run.timeline, run.provenance, run.scenario, eviction.node), size)
    if not values or bound is None:
        return None
    found = crossing(values, bound, before=eviction.told.high)
    if found is None or math.isinf(found.when.low):
        return None
    return eviction.told.minus(found.when).floor(0.0), found.proof


def _each(
    key: str, name: str, rows: list[tuple[str, Interval, tuple[int, ...]]], *, missing: int, why: str
) -> Iterator[Number]:
    if not rows and not missing:
        return
    for subject, when, lines in rows:
        yield Number(
            key=key,
            group="latency",
            name=name,
            subject=subject,
            text=spread(when, "s"),
            value=finite((when.low + when.high) / 2),
            low=finite(when.low),
            high=finite(when.high),
            unit="s",
            proof=_first(sorted(set(lines))),
        )
    middles = sorted(
        (w.low + w.high) / 2 for _, w, _ in rows if math.isfinite(w.low) and math.isfinite(w.high)
    )
    if len(rows) > 1 or missing:
        half = censored_quantile(middles, missing, 50)
        yield Number(
            key=f"{key}-median",
            group="latency",
            name=f"{name}, median",
            text=("not measured" if key == "detection" else "not seen")
            if half is None
            else f"{number(round(half, 3))} s",
            value=None if half is None else finite(half),
            unit="s",
            n=len(rows) + missing,
            censored=missing,
            note=f"{missing} not measured: {why}" if missing else "",
            proof=_first(line for _, _, lines in rows for line in lines[:1]),
        )


# -- touch latency and KSM ----------------------------------------------------------------------------------------------


def _touch(observed: Observed, records: str) -> Iterator[Number]:
    guests = observed.touch.guests
    until = observed.run.timeline.end
    for vmi in sorted(guests):
        touch = guests[vmi]
        for key, values, percent in (("touch-p50", touch.p50, 50), ("touch-p99", touch.p99, 99)):
            value = nearest_rank(values, percent)
            yield Number(
                key=key,
                group="touch",
                name=f"touch latency, p{percent}",
                subject=vmi,
                text=microseconds(value),
                value=float(value),
                unit="ns",
                n=touch.seconds,
                note=f"longest {microseconds(touch.longest)}, {touch.stalls} touches over 1 ms"
                if percent == 99
                else "",
                proof=(touch.first,),
                derive=percentile_command(vmi, f"p{percent}", percent, until, records)
                if len(guests) <= SUBJECTS
                else "",
            )
    if not guests:
        return
    for key, percent in (("touch-p50-run", 50), ("touch-p99-run", 99)):
        values = next(iter(guests.values())).p50[:0]
        for touch in guests.values():
            values.extend(touch.p50 if percent == 50 else touch.p99)
        value = nearest_rank(values, percent)
        yield Number(
            key=key,
            group="touch",
            name=f"touch latency of all guests, p{percent}",
            text=microseconds(value),
            value=float(value),
            unit="ns",
            n=len(values),
            note=f"{len(guests)} guests, one value a guest and second",
            derive=percentile_command("", f"p{percent}", percent, until, records),
        )


def microseconds(nanoseconds: float) -> str:
    """Nanoseconds as people read them."""
    if nanoseconds >= 1e6:
        return f"{number(nanoseconds / 1e6)} ms"
    return f"{number(nanoseconds / 1e3)} µs"


def _ksm(observed: Observed) -> Iterator[Number]:
    ksm = observed.ksm
    if not ksm.ran:
        return
    yield Number(
        key="ksm-saved",
        group="counts",
        name="memory merged away by KSM, at most",
        text=f"{number(ksm.sharing * 4096 / MIB)} MiB",
        value=float(ksm.sharing * 4096),
        unit="B",
        n=ksm.samples,
        note="pages_sharing × 4096 of the whole host",
        proof=(ksm.line,) if ksm.line else (),
    )
    seconds = ksm.span[1] - ksm.span[0]
    if ksm.cpu_first is not None and ksm.cpu_last is not None and seconds > 0:
        share = (ksm.cpu_last - ksm.cpu_first) / seconds
        yield Number(
            key="ksm-cpu",
            group="counts",
            name="CPU of ksmd",
            text=f"{number(share * 100)} % of one CPU",
            value=share,
            unit="CPU",
            n=ksm.samples,
        )


def _count(
    key: str, name: str, value: int, *, proof: Iterable[int], note: str = "", censored: int = 0
) -> Number:
    return Number(
        key=key, group="counts", name=name, text=str(value), value=float(value), note=note, censored=censored,
        proof=_first(proof),
    )  # fmt: skip


def _lines(proofs: Iterable[tuple[int, ...]]) -> Iterator[int]:
    return (line for proof in proofs for line in proof)


def _first(lines: Iterable[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(sorted(lines)))[:PROOF]

"""The numbers of a run: how many VMIs fit and lived, what was sold, who was taken, how long everything took.

Built from the judge's index, so that a report can't count otherwise than the judge did. Every number carries its
interval, how many observations it rests on, how many were censored, and the records that prove it. Units: VMIs, bytes,
seconds, nanoseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from statistics import median

from harness.judge.availability import capacity
from harness.judge.endings import Ending
from harness.judge.seen import Run
from harness.records import served
from harness.report import derive
from harness.report.derive import counted, how_many, picked
from harness.report.felt import ksm_numbers, swap_numbers, touch_latencies
from harness.report.latencies import latencies, start
from harness.report.number import Number, first_lines, ran, was_alive
from harness.report.reading import Observed
from harness.report.text import clean, number
from harness.units import GIB, MIB

_GUEST_OOM = '(.line | test("[Oo]ut of memory: Killed process"))'


def measure(observed: Observed, records: str) -> tuple[Number, ...]:
    """Return every number of a run. `records`: name of the record file in commands."""
    run = observed.run
    endings = _of_interest(run)
    numbers = [*_counts(run, endings, records), *_unplaced(observed, records)]
    numbers += [*start(run, endings, records), *latencies(run, endings)]
    numbers += touch_latencies(observed, records)
    numbers += ksm_numbers(observed, records)
    numbers += swap_numbers(observed, records)
    return tuple(numbers)


def _of_interest(run: Run) -> list[Ending]:
    """Return the endings of the fleets' members inside the window; of every VMI where the scenario names no fleet."""
    fleets = bool(run.cast.members)
    return [
        e for e in run.endings if not e.stale and (e.incarnation.fleet if fleets else e.incarnation.is_vmi)
    ]


def _counts(run: Run, endings: Sequence[Ending], records: str) -> Iterator[Number]:
    names = {e.key for e in endings}
    unseen = [m.name for m in run.cast.members if not m.incarnations]
    asked = len(names) + len(unseen)
    if not asked:
        return
    started = {e.key: mark for e in endings if (mark := ran(e.incarnation)) is not None}
    born = {e.key for e in endings if ran(e.incarnation) is None and was_alive(e)}
    fit = len(started) + len(born)
    made = list(_asked(run, names))
    yield _count("asked", "VMIs asked for", asked, proof=made, derive=_all(made, asked, records))
    filled, proof = _filled(run)
    never = f"{asked - fit} of {asked} never ran" if asked > fit else ""
    yield _count(
        "fit",
        "VMIs that fit (were seen Running)",
        fit,
        proof=(*proof, *(line for _, line in started.values())),
        derive=_all([line for _, line in started.values()], fit, records),
        note="; ".join(filter(None, (never, filled))),
        censored=asked - fit,
    )
    last = {e.key: e for e in endings}
    alive = [k for k, e in last.items() if (k in started or k in born) and e.gone is None and not e.is_victim]
    lives = [e.incarnation.vmi.last.line for k in alive if (e := last[k]).incarnation.vmi is not None]
    yield _count(
        "survive",
        "VMIs alive at the end of the window",
        len(alive),
        proof=lives,
        derive=_all(lives, len(alive), records),
        note="" if run.timeline.closed else "the records end before the window does",
    )
    yield from _sold(run, endings, {*started, *born}, records)
    yield from _requested(endings, {*started, *born}, records)
    yield _count(
        "evictions",
        "evictions by the kubelet",
        len(run.evictions),
        proof=_lines(e.proof for e in run.evictions),
        derive=_evicted(run, records),
    )
    yield from _ooms(run, endings, records)


def _asked(run: Run, names: set[str]) -> Iterator[int]:
    """Lines that show who was asked for: the harness's own creation, else the first record of its object."""
    mine = names | {m.name for m in run.cast.members if not m.incarnations}
    created = {
        a.target: line
        for line, a in run.timeline.actions
        if a.what == "create" and (a.target in mine or a.target.partition("/")[2] in mine)
    }
    yield from created.values()
    for incarnation in run.cast.incarnations:
        if incarnation.key in names - set(created):
            track = incarnation.vmi or incarnation.pod
            if track is not None:
                yield track.first.line


def _all(lines: Sequence[int], value: int, records: str) -> str:
    """The command that counts what those lines are about; '' where that can't be the number."""
    return counted(lines, records) if len(set(lines)) >= value > 0 else ""


def _evicted(run: Run, records: str) -> str:
    if run.evictions:
        return counted(_lines(e.proof[:1] for e in run.evictions), records)
    if any(event.reason == "Evicted" for event in run.timeline.events):
        return ""  # of another time than the window's
    return how_many('.object.kind=="Event" and .object.reason=="Evicted"', records)


def _filled(run: Run) -> tuple[str, tuple[int, ...]]:
    """Return what ended the filling of fleets that fill, and the lines that say so; '' where none does."""
    found = [(line, a) for line, a in run.timeline.actions if a.what == "fill-over"]
    said = [
        "as many as its fleet may have: the node may take more"
        if a.args.get("why") == "count"
        else f"then the scheduler said: {clean(str(a.args.get('why', '')), most=200)}"
        for _, a in found
    ]
    return "; ".join(said), tuple(line for line, _ in found)


def _unplaced(observed: Observed, records: str) -> Iterator[Number]:
    """VMIs that no node had room for, those a fleet that fills gave up on among them."""
    found = observed.timeline.unplaced
    if not found:
        return
    whys: dict[str, list[str]] = {}
    for item in found:
        whys.setdefault(clean(item.why, most=120), []).append(clean(item.name.rpartition("/")[2], most=80))
    said = [
        f"{', '.join(names[:6])}{' …' if len(names) > 6 else ''}: {why}"
        for why, names in list(whys.items())[:6]
    ]
    yield _count(
        "unplaced",
        "VMIs that found no node",
        len(found),
        proof=(item.line for item in found),
        derive=_all([item.line for item in found], len(found), records),
        note="; ".join(said),
    )


def _sold(run: Run, endings: Sequence[Ending], fit: set[str], records: str) -> Iterator[Number]:
    sold: dict[str, tuple[int, int]] = {}
    vmis: dict[str, object] = {}
    nodes: set[str] = set()
    for ending in endings:
        vmi = ending.incarnation.vmi
        if ending.key not in fit or vmi is None:
            continue
        size = guest_memory(vmi.object)
        if size is not None:
            sold[ending.key] = (size, vmi.first.line)
            vmis[ending.key] = vmi.object
        if ending.incarnation.node:
            nodes.add(ending.incarnation.node)
    if not sold:
        return
    total = sum(size for size, _ in sold.values())
    lines = [line for _, line in sold.values()]
    proof = first_lines(lines)
    yield Number(
        key="sold",
        group="counts",
        name="guest memory sold (of the VMIs that fit)",
        text=f"{number(total / MIB)} MiB",
        value=float(total),
        unit="B",
        n=len(sold),
        proof=proof,
        derive=derive.sold(lines, records, vmis=vmis.values()),
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
            derive=derive.sold(lines, records, vmis=vmis.values(), per=sum(known)),
        )


def _requested(endings: Sequence[Ending], fit: set[str], records: str) -> Iterator[Number]:
    """What Kubernetes reserves for one VMI: the request of its pod, all containers that run beside each other."""
    found = [
        (size, e.incarnation.pod.first.line, e.incarnation.pod.object)
        for e in endings
        if e.key in fit and e.incarnation.pod is not None and (size := pod_request(e.incarnation.pod.object))
    ]
    if not found:
        return
    half = float(median(size for size, _, _ in found))
    lines = [line for _, line, _ in found]
    yield Number(
        key="requested",
        group="counts",
        name="memory requested for one VMI (its pod), median",
        text=f"{number(half / MIB)} MiB",
        value=half,
        unit="B",
        n=len(found),
        proof=first_lines(lines),
        derive=derive.requested(lines, records, pods=[pod for _, _, pod in found]),
    )


def pod_request(pod: object) -> int | None:
    """Return the memory a pod requests, in bytes: its containers and the sidecars that stay (init containers go)."""
    spec = served.dig(pod, "spec")
    sidecars = [c for c in served.mappings(spec, "initContainers") if c.get("restartPolicy") == "Always"]
    amounts = [
        served.maybe_quantity(served.dig(c, "resources", "requests", "memory"))
        for c in (*served.mappings(spec, "containers"), *sidecars)
    ]
    known = [a for a in amounts if a is not None]
    return int(sum(known)) if known else None


def guest_memory(vmi: object) -> int | None:
    """Return what the guest is told it has, in bytes: `memory.guest`, else hugepages' or the request."""
    for path in (("memory", "guest"), ("resources", "requests", "memory"), ("resources", "limits", "memory")):
        found = served.maybe_quantity(served.dig(vmi, "spec", "domain", *path))
        if found is not None:
            return int(found)
    return None


def _ooms(run: Run, endings: Sequence[Ending], records: str) -> Iterator[Number]:
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
            derive=_killed(run, scope, [k.lines[0] for k in kills], records),
        )
        if not kills and not watched:
            # Nobody looked: a zero would be a promise.
            note = "no kernel log was kept: only container statuses tell"
            found = replace(found, text="none seen", value=None, note=note, derive="")
        yield found
    said = [(e, s) for e in endings if (s := e.first("oom")) is not None]
    yield _count(
        "oom-guest",
        "guests whose own kernel killed for memory",
        len(said),
        proof=(s.line for _, s in said),
        derive=_all([s.line for _, s in said], len(said), records)
        or (
            ""
            if said
            else how_many(f'.stream=="guest" and .t<={run.timeline.end:.6f} and {_GUEST_OOM}', records)
        ),
    )


def _killed(run: Run, scope: str, lines: Sequence[int], records: str) -> str:
    """The command that counts kills of one scope; of none, the one that finds no kernel record of it."""
    if lines:
        pick = picked(lines, records) if len(set(lines)) == len(lines) else ""
        return f"{pick} | wc -l" if pick else ""
    seen = {kill.scope for kill in run.timeline.oom.kills}
    if not seen:
        return how_many('.stream=="kernel"', records)
    if {scope, ""} & seen:
        return ""  # of another time than the window's, or of a scope that is not known
    words = (
        '.scope=="node" or .scope=="kubepods" or .scope=="global"'
        if scope == "node"
        else f'.scope=="{scope}"'
    )
    return how_many(f'.stream=="kernel" and ({words})', records)


def _count(
    key: str,
    name: str,
    value: int,
    *,
    proof: Iterable[int],
    note: str = "",
    censored: int = 0,
    derive: str = "",
) -> Number:
    return Number(
        key=key, group="counts", name=name, text=str(value), value=float(value), note=note, censored=censored,
        proof=first_lines(proof), derive=derive,
    )  # fmt: skip


def _lines(proofs: Iterable[tuple[int, ...]]) -> Iterator[int]:
    return (line for proof in proofs for line in proof)

"""What guests felt, and what KSM did: touch latencies of each and of all, memory merged away, CPU of ksmd."""

from __future__ import annotations

from collections.abc import Iterator

from harness.report.derive import ksm_cpu, ksm_saved, swapped
from harness.report.number import Number
from harness.report.proof import percentile_command
from harness.report.reading import Observed
from harness.report.text import number
from harness.report.touch import nearest_rank
from harness.units import MIB

SUBJECTS = 200
"""Guests up to which each gets a command of its own that re-derives its percentiles."""


def touch_latencies(observed: Observed, records: str) -> Iterator[Number]:
    """Touch latency p50 and p99 of each guest, and of all together."""
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


def swap_numbers(observed: Observed, records: str) -> Iterator[Number]:
    """The most that was in swap, of the nodes' cgroups; nothing where none was and none was asked for."""
    run = observed.run
    peaks = [
        max(found, key=lambda s: (s.swap or 0, -s.line))
        for samples in run.timeline.node_cgroup.values()
        if (found := [s for s in samples if s.swap is not None])
    ]
    most = sum(s.swap or 0 for s in peaks)
    if not peaks or (not most and run.scenario.host.swap is None):
        return
    yield Number(
        key="swap-peak",
        group="counts",
        name="memory in swap, at most",
        text=f"{number(most / MIB)} MiB",
        value=float(most),
        unit="B",
        n=len(peaks),
        note="sum of the nodes' greatest" if len(peaks) > 1 else "",
        proof=tuple(sorted(s.line for s in peaks)),
        derive=swapped([s.line for s in peaks], records),
    )


def ksm_numbers(observed: Observed, records: str) -> Iterator[Number]:
    """What KSM merged away and cost; nothing where it did not run."""
    ksm = observed.ksm
    if not ksm.ran:
        return
    until = observed.run.timeline.end
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
        derive=ksm_saved(until, records),
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
            derive=ksm_cpu(until, records),
        )

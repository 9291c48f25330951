"""`ratio`, `stall`: one fleet against another or against the control run; how long touching memory takes."""

from __future__ import annotations

import math

from harness.judge.checks.bounded import all_of, amount, bounded, plain
from harness.judge.checks.evicted import settling
from harness.judge.interval import Interval, seconds
from harness.judge.measures import fleet_quantile, from_control, measure
from harness.judge.seen import Run, Seen, undecided, unobservable
from harness.judge.series import Value
from harness.spec.expectations import Ratio, Stall
from harness.spec.measures import BYTES, SECONDS

CONTROL = "control"


def quotient(of: Interval, to: Interval) -> Interval | None:
    """Return of / to of amounts that are not negative; None where the divisor may be nothing."""
    if to.low <= 0:
        return None
    return Interval(of.low / to.high, of.high / to.low)


def _both(of: Value, to: Value) -> tuple[int, ...]:
    return tuple(sorted({*of.proof, *to.proof}))


def _shown(name: str, interval: Interval) -> str:
    if name in BYTES:
        return amount(interval)
    return seconds(interval) if name in SECONDS else plain(interval)


def look_ratio(run: Run, wanted: Ratio) -> Seen:
    """Judge the quotient, or the difference, of a measure of two fleets."""
    mine = measure(run, wanted.of, wanted.measure)
    if wanted.to == CONTROL:
        other = from_control(run, f"{wanted.measure}/{wanted.of}")
    elif wanted.to == "guest":
        other = measure(run, wanted.of, "guest")
    else:
        other = measure(run, wanted.to, wanted.measure)
    waiting = not run.timeline.closed
    if mine.interval is None or other.interval is None:
        why = mine.why if mine.interval is None else other.why
        # The control comes after the run: watching on does not bring it.
        return unobservable(why, open_=waiting and mine.interval is None)
    beside = f"{_shown(wanted.measure, mine.interval)} against {_shown(wanted.measure, other.interval)} of {wanted.to}"
    if wanted.how == "saving":
        result: Interval | None = other.interval.minus(mine.interval)
        assert result is not None
        text = f"{wanted.measure} less by {_shown(wanted.measure, result)}: {beside}"
    else:
        result = quotient(mine.interval, other.interval)
        if result is None:
            return unobservable(f"{wanted.measure} of {wanted.to} is nothing to divide by: {beside}")
        text = f"{wanted.measure} x {plain(result)}: {beside}"
    if waiting and settling(run):
        return undecided(f"{text}, so far", open_=True)
    value = Value(interval=result, proof=_both(mine, other))
    return bounded(result, wanted.min, wanted.max, text=text, value=value)


def look_stall(run: Run, wanted: Stall) -> Seen:
    """Judge the worst second of a fleet's guests, by their own clocks."""
    mine = fleet_quantile(run, wanted.of, wanted.quantile, wanted.during)
    waiting = not run.timeline.closed
    if mine.interval is None:
        return unobservable(mine.why, open_=waiting)
    text = f"{wanted.quantile} of touching memory {_short(mine.interval)} in the worst second"
    if waiting and settling(run):
        return undecided(f"{text}, so far", proof=mine.proof, open_=True)
    parts: list[Seen] = []
    if wanted.min is not None or wanted.max is not None:
        parts.append(bounded(mine.interval, wanted.min, wanted.max, text=text, value=mine))
    if wanted.min_factor is not None or wanted.max_factor is not None:
        parts.append(_factor(run, wanted, mine, mine.interval))
    return all_of(parts)


def _factor(run: Run, wanted: Stall, mine: Value, interval: Interval) -> Seen:
    if wanted.to == CONTROL:
        during = f"/{wanted.during}" if wanted.during else ""
        other = from_control(run, f"worst-{wanted.quantile}/{wanted.of}{during}")
    else:
        other = fleet_quantile(run, wanted.to, wanted.quantile, wanted.during)
    if other.interval is None:
        return unobservable(other.why)
    factor = quotient(interval, other.interval) or Interval(0.0, math.inf)
    text = f"{wanted.quantile} x {plain(factor)}: {_short(interval)} against {_short(other.interval)} of {wanted.to}"
    value = Value(interval=factor, proof=_both(mine, other))
    return bounded(factor, wanted.min_factor, wanted.max_factor, text=text, value=value)


def _short(interval: Interval) -> str:
    """Return a latency for people: seconds, milliseconds or microseconds."""
    value = interval.high
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e6:.3g} µs"

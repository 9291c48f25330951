"""Expectations in one line for people, the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping

from harness.judge.checks.bounded import MIB
from harness.spec.expectations import (
    Admission,
    Allocatable,
    Condition,
    Configz,
    Evicted,
    Grace,
    GuestMemory,
    HoldsBytes,
    Integrity,
    Ksm,
    Oom,
    OomScoreAdj,
    PerColumn,
    Phase,
    Qos,
    Ratio,
    Request,
    Shutdown,
    Stall,
    Successor,
    Survives,
    Swap,
    Vnc,
)
from harness.spec.measures import BYTES, SECONDS
from harness.spec.subjects import ENDLESS


def describe(expectation: object) -> str:
    """Return one line of the literals: `grace of victim, at most 0 s`."""
    match expectation:
        case Request():
            parts = [*_amounts("requests", expectation.requests), *_amounts("limits", expectation.limits)]
            return f"request of {expectation.of}: {', '.join(parts)}"
        case Qos():
            vmi = f", VMI {expectation.vmi}" if expectation.vmi else ""
            return f"qos of {expectation.of}: pod {expectation.pod}{vmi}"
        case GuestMemory():
            return f"guest-memory of {expectation.of}: {expectation.min} … {expectation.max} bytes"
        case Evicted():
            after = f", after {expectation.after:g} s" if expectation.after is not None else ""
            within = f", within {expectation.within:g} s" if expectation.within is not None else ""
            since = f" of {expectation.since}" if after or within else ""
            order = f", in the order {', '.join(expectation.order)}" if expectation.order else ""
            count = _count(expectation.min_count, expectation.max_count)
            return f"evicted from {_fleets(expectation.fleets)}: {count}{after}{within}{since}{order}"
        case Survives():
            return f"survives: {expectation.of}"
        case Grace():
            low = f", at least {expectation.min:g} s" if expectation.min is not None else ""
            high = f", at most {expectation.max:g} s" if expectation.max is not None else ""
            return f"grace of {expectation.of}{low}{high}"
        case Shutdown():
            return f"shutdown of {expectation.of}: {'clean' if expectation.clean else 'cut'}"
        case Oom():
            scope = f", scope {expectation.scope}" if expectation.scope else ""
            before = {None: "", True: ", before any eviction", False: ", after an eviction"}
            count = _count(expectation.min_count, expectation.max_count)
            return (
                f"oom of {_fleets(expectation.fleets)}: {count}{scope}{before[expectation.before_eviction]}"
            )
        case Phase():
            parts = [f"VMI {' or '.join(expectation.vmi)}"] if expectation.vmi else []
            parts += [f"pod {' or '.join(expectation.pod)}"] if expectation.pod else []
            return f"phase of {expectation.of}: {', '.join(parts)}"
        case Admission():
            said = [f"HTTP {expectation.code}"] if expectation.code is not None else []
            said += [f"saying {text!r}" for text in (expectation.message,) if text is not None]
            said += [f"warning of {text!r}" for text in (expectation.warning,) if text is not None]
            said += _span("warnings", expectation.min_warnings, expectation.max_warnings)
            return ", ".join(
                [f"admission of {expectation.of}: {'allowed' if expectation.allowed else 'refused'}", *said]
            )
        case OomScoreAdj():
            return f"oom-score-adj of {expectation.of}: {expectation.min} … {expectation.max}"
        case Allocatable():
            parts = [
                f"{what} {value} bytes"
                for what, value in (("memory", expectation.memory), ("capacity", expectation.capacity))
                if value is not None
            ]
            give = f", give or take {expectation.tolerance} bytes" if expectation.tolerance else ""
            return f"allocatable of {expectation.of}: {', '.join(parts)}{give}"
        case Configz():
            parts = [f"{'.'.join(path)} {value or 'none'}" for path, value in expectation.values.items()]
            parts += [f"knows {field}" for field in expectation.knows]
            return f"configz of {expectation.of}: {', '.join(parts)}"
        case Vnc():
            said = [f"saying {text!r}" for text in (expectation.message,) if text is not None]
            return ", ".join([f"vnc of {expectation.of}: HTTP {expectation.status}", *said])
        case Condition():
            why = f" ({expectation.reason})" if expectation.reason else ""
            when = "at some time" if expectation.ever else "at the end"
            return (
                f"condition of {expectation.of}: {expectation.object} {expectation.type} "
                f"{expectation.status}{why} {when}"
            )
        case Successor():
            count = _count(expectation.min_count, expectation.max_count)
            where = {"any": "", "same": " on the same node", "other": " on another node"}[expectation.node]
            times = _span("", expectation.after, expectation.within, "s")
            usage = expectation.max_usage
            more = [f"{expectation.until} {times[0].strip()} after the end"] if times else []
            more += [f"using at most {usage:.0%} of what it did"] if usage is not None else []
            return ", ".join([f"successor of {expectation.of}: {count}{where}", *more])
        case Ratio():
            scale, unit = _unit(expectation.measure) if expectation.how == "saving" else (1.0, "")
            how = "less than" if expectation.how == "saving" else "divided by"
            return ", ".join(
                [
                    f"ratio: {expectation.measure} of {expectation.of} {how} that of {expectation.to}",
                    *_span("", _scaled(expectation.min, scale), _scaled(expectation.max, scale), unit),
                ]
            )
        case Stall():
            during = f" during {expectation.during}" if expectation.during else ""
            factors = _span(f"x that of {expectation.to}", expectation.min_factor, expectation.max_factor)
            return ", ".join(
                [
                    f"stall of {expectation.of}: {expectation.quantile} of the worst second{during}",
                    *_span("", expectation.min, expectation.max, "s"),
                    *factors,
                ]
            )
        case HoldsBytes():
            parts = _mebibytes("", expectation.min, expectation.max)
            parts += _shares("of its memory", expectation.min_share, expectation.max_share)
            what, at = _MEMORY[expectation.measure].format(expectation.of), _moment(expectation.at)
            if expectation.how == "value":
                return ", ".join([f"{what} at {at}", *parts])
            how = "grows" if expectation.how == "growth" else "falls"
            return ", ".join([f"{what} {how} from {_moment(expectation.since)} to {at}", *parts])
        case Ksm():
            parts = [f"run {expectation.run}"] if expectation.run is not None else []
            parts += _mebibytes("merged", expectation.min, expectation.max)
            parts += _shares("of what could be", expectation.min_share, expectation.max_share)
            parts += _span("CPU of ksmd", expectation.min_cpu, expectation.max_cpu)
            parts += _span("x the control's CPU", expectation.min_cpu_factor, None)
            parts += [f"knobs set by {expectation.knobs}"] if expectation.knobs else []
            return f"ksm of {expectation.of}: {', '.join(parts)}"
        case Swap():
            parts = _mebibytes("in use at the end", expectation.min, expectation.max)
            parts += _mebibytes("in use at most", expectation.min_peak, expectation.max_peak)
            parts += _shares("of it given back", expectation.min_fall, None)
            if expectation.pressure is not None:
                parts.append(f"{'with' if expectation.pressure else 'without'} MemoryPressure")
            parts += _mebibytes("allowed", expectation.min_limit, expectation.max_limit)
            return f"swap of {expectation.of}: {', '.join(parts)}"
        case Integrity():
            parts = _span("fsynced records lost", expectation.min_lost_synced, expectation.max_lost_synced)
            parts += _span("others lost", expectation.min_lost_unsynced, expectation.max_lost_unsynced)
            return f"integrity of {expectation.of}: {', '.join(parts)}"
    return type(expectation).__name__


def beyond(reason: str, said: str) -> str:
    """Return what of a reason (parts joined by `; `) does not stand in what was said already, '' for nothing."""
    parts = dict.fromkeys(part for part in reason.split("; ") if part and part not in said)
    return "; ".join(parts)


def _unit(measure: str) -> tuple[float, str]:
    if measure in BYTES:
        return float(MIB), "MiB"
    return (1.0, "s") if measure in SECONDS else (1.0, "")


def _scaled(value: float | None, by: float) -> float | None:
    return None if value is None else value / by


def _span(what: str, low: float | None, high: float | None, unit: str = "") -> list[str]:
    """Return `at least 1 s of it` and the like; nothing where nothing is asked."""
    unit = f" {unit}" if unit else ""
    tail = f" {what}" if what else ""
    if low is not None and low == high:
        return [f"{low:g}{unit}{tail}"]
    found = [f"at least {low:g}{unit}"] if low is not None else []
    found += [f"at most {high:g}{unit}"] if high is not None else []
    return [f"{' and '.join(found)}{tail}"] if found else []


_MEMORY = {
    "held": "memory held by {}",
    "memtotal": "MemTotal of {}",
    "usage": "memory charged to {}'s pod",
    "working-set": "working set of {}'s pod",
    "swap": "swap used by {}'s pod",
    "pss": "PSS of {}'s QEMU",
    "rss": "RSS of {}'s QEMU",
}


def _moment(name: str) -> str:
    kind, colon, step = name.partition(":")
    return f"the end of step {step}" if colon and kind == "step" else f"the {kind}"


_FEW = MIB / 100
"""Bytes below which nobody reads MiB: "at least 1 B merged" is any at all."""


def _mebibytes(what: str, low: float | None, high: float | None) -> list[str]:
    few = any(bound is not None and 0 < abs(bound) < _FEW for bound in (low, high))
    return _span(what, low, high, "B") if few else _span(what, _scaled(low, MIB), _scaled(high, MIB), "MiB")


def _shares(what: str, low: float | None, high: float | None) -> list[str]:
    return _span(what, _scaled(low, 0.01), _scaled(high, 0.01), "%")


def _fleets(fleets: tuple[str, ...]) -> str:
    return ", ".join(fleets) or "all"


def _count(low: int, high: int) -> str:
    if high >= ENDLESS:
        return f"{low} or more"
    return "none" if high == 0 else str(low) if low == high else f"{low} … {high}"


def _amounts(what: str, containers: Mapping[str, PerColumn]) -> list[str]:
    return [f"{name} {what} {_columns(literal)}" for name, literal in sorted(containers.items())]


def _columns(literal: PerColumn) -> str:
    shown = {column: "not set" if value is None else str(value) for column, value in literal.items()}
    if len(set(shown.values())) == 1:
        return next(iter(shown.values()))
    return "{" + ", ".join(f"{column}: {value}" for column, value in sorted(shown.items())) + "}"

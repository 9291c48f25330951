"""Expectations in one line for people, the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping

from harness.spec.expectations import (
    Evicted,
    Expectation,
    Grace,
    GuestMemory,
    Oom,
    PerColumn,
    Phase,
    Qos,
    Request,
    Shutdown,
    Survives,
)


def describe(expectation: Expectation) -> str:
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


def _fleets(fleets: tuple[str, ...]) -> str:
    return ", ".join(fleets) or "all"


def _count(low: int, high: int) -> str:
    return "none" if high == 0 else str(low) if low == high else f"{low} … {high}"


def _amounts(what: str, containers: Mapping[str, PerColumn]) -> list[str]:
    return [f"{name} {what} {_columns(literal)}" for name, literal in sorted(containers.items())]


def _columns(literal: PerColumn) -> str:
    shown = {column: "not set" if value is None else str(value) for column, value in literal.items()}
    if len(set(shown.values())) == 1:
        return next(iter(shown.values()))
    return "{" + ", ".join(f"{column}: {value}" for column, value in sorted(shown.items())) + "}"

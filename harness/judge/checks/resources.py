"""`request`, `qos`, `guest-memory`: what was served of a VMI and its pod, and what its guest says it has."""

from __future__ import annotations

from collections.abc import Mapping

from harness.judge.endings import Ending
from harness.judge.interval import Interval, Truth, every
from harness.judge.seen import Run, Seen, undecided, unobservable
from harness.records import served
from harness.spec.expectations import GuestMemory, PerColumn, Qos, Request
from harness.units import Bytes


def _expected(literal: PerColumn, column: str) -> tuple[bool, Bytes | None]:
    """Return whether there is a literal for the column, and it."""
    if column in literal:
        return True, literal[column]
    return ("*" in literal), literal.get("*")


def _shown(value: int | None) -> str:
    return "not set" if value is None else str(value)


def look_request(run: Run, wanted: Request) -> Seen:
    """Compare requests and limits of the named containers, byte by byte, for the run's KubeVirt column."""
    column = run.column

    def one(ending: Ending) -> Seen:
        pod = ending.incarnation.pod
        if pod is None:
            return unobservable("its pod was never served", open_=not run.timeline.closed)
        parts: list[Truth] = []
        seen: list[str] = []
        wrong: list[str] = []
        actual: tuple[tuple[str, Mapping[str, PerColumn], dict[str, Bytes | None]], ...] = (
            ("request", wanted.requests, served.container_requests(pod.object)),
            ("limit", wanted.limits, served.container_limits(pod.object)),
        )
        for what, literals, values in actual:
            for container, literal in literals.items():
                known, expected = _expected(literal, column)
                if not known:
                    return unobservable(
                        f"no {what} of {container} is given for KubeVirt {column or '(unknown version)'}"
                    )
                value = values.get(container)
                right = container in values and value == expected
                if container not in values:
                    # A container that is not there requests nothing: right only where nothing was expected.
                    right = expected is None
                parts.append(Truth.of(right))
                seen.append(
                    f"{container} {what} {_shown(value) if container in values else 'no such container'}"
                )
                if not right:
                    wrong.append(f"{container} {what} should be {_shown(expected)}")
        return Seen(
            truth=every(parts),
            text=", ".join(seen),
            proof=(pod.first.line,),
            reason="; ".join(wrong),
            span=None,
        )

    return run.each(wanted.of, one)


def look_qos(run: Run, wanted: Qos) -> Seen:
    """Compare the class in the pod's status and, where asked, in the VMI's."""

    def one(ending: Ending) -> Seen:
        pod, vmi = ending.incarnation.pod, ending.incarnation.vmi
        if pod is None or pod.qos is None:
            return unobservable("no pod with a QoS class was served", open_=not run.timeline.closed)
        parts = [Truth.of(pod.qos[0] == wanted.pod)]
        proof = [pod.qos[1]]
        text = f"pod {pod.qos[0]}"
        if wanted.vmi is not None:
            if vmi is None or vmi.qos is None:
                if parts[0] is Truth.TRUE:
                    return unobservable(f"{text}, but no VMI with a QoS class was served")
            else:
                parts.append(Truth.of(vmi.qos[0] == wanted.vmi))
                proof.append(vmi.qos[1])
                text += f", VMI {vmi.qos[0]}"
        truth = every(parts)
        return Seen(
            truth=truth,
            text=text,
            proof=tuple(sorted(proof)),
            reason=""
            if truth is Truth.TRUE
            else f"{text} instead of pod {wanted.pod}, VMI {wanted.vmi or 'any'}",
        )

    return run.each(wanted.of, one)


def look_guest_memory(run: Run, wanted: GuestMemory) -> Seen:
    """Compare the MemTotal the guest itself reported: the exact number it printed."""

    def one(ending: Ending) -> Seen:
        reports = [s for s in ending.lines if s.parsed.memtotal is not None]
        if not reports:
            why = (
                "the guest never said its MemTotal"
                if ending.lines
                else "the guest's console was not recorded"
            )
            return unobservable(why, open_=not run.timeline.closed)
        values = [s.parsed.memtotal for s in reports if s.parsed.memtotal is not None]
        interval = Interval(float(min(values)), float(max(values)))
        truth = interval.within(float(wanted.min), float(wanted.max))
        text = (
            f"MemTotal {values[0]} bytes"
            if len(set(values)) == 1
            else f"MemTotal {min(values)} … {max(values)} bytes"
        )
        if truth is Truth.STRADDLES:
            return undecided(f"{text}: it changed across a bound", proof=(reports[0].line,))
        return Seen(
            truth=truth,
            text=text,
            interval=interval,
            margin=interval.margin(float(wanted.min), float(wanted.max)),
            proof=(reports[0].line,),
            reason="" if truth is Truth.TRUE else f"outside {wanted.min} … {wanted.max}",
            span=Interval(reports[0].t, reports[-1].t),
        )

    return run.each(wanted.of, one)

"""Holding a value that is known as an interval against its bounds: what most expectations of amounts come to."""

from __future__ import annotations

from harness.judge.interval import Interval, Truth, every
from harness.judge.seen import Seen
from harness.judge.series import Value

MIB = 1 << 20


def amount(interval: Interval) -> str:
    """Return `123.4 MiB`, `100.0 … 123.4 MiB`, for people."""
    low, high = interval.low / MIB, interval.high / MIB
    return f"{low:.1f} MiB" if high - low < 0.05 else f"{low:.1f} … {high:.1f} MiB"


def plain(interval: Interval) -> str:
    """Return a number, or two."""
    low, high = interval.low, interval.high
    return f"{low:.4g}" if high - low <= abs(low) * 5e-5 else f"{low:.4g} … {high:.4g}"


def share(interval: Interval) -> str:
    """Return a percentage, or two."""
    low, high = interval.low * 100, interval.high * 100
    return f"{low:.1f} %" if high - low < 0.05 else f"{low:.1f} … {high:.1f} %"


def scaled(interval: Interval, by: float) -> Interval:
    """Return the interval divided by a positive number."""
    return Interval(interval.low / by, interval.high / by)


def bounded(
    interval: Interval,
    low: float | None,
    high: float | None,
    *,
    text: str,
    value: Value | None = None,
    timed: bool = False,
    open_: bool = False,
) -> Seen:
    """Return what an interval between bounds shows. `timed`: it is a time by our own clock."""
    truth = interval.within(low, high)
    reason = ""
    if truth is Truth.STRADDLES:
        reason = f"{text}: the uncertainty straddles a bound"
    elif truth is Truth.FALSE:
        reason = f"{text} is outside {_range(low, high)}"
    return Seen(
        truth=truth,
        text=text,
        interval=interval,
        margin=interval.margin(low, high),
        proof=value.proof if value is not None else (),
        reason=reason,
        span=value.span if value is not None else None,
        timed=timed,
        open=open_,
    )


def _range(low: float | None, high: float | None) -> str:
    parts = [] if low is None else [f"at least {low:g}"]
    return ", ".join(parts if high is None else [*parts, f"at most {high:g}"])


def all_of(parts: list[Seen]) -> Seen:
    """Join several questions about one subject: all must hold; the first measure stands for the finding's interval."""
    if len(parts) == 1:
        return parts[0]
    blind = [p for p in parts if p.truth is None]
    truths = [p.truth for p in parts if p.truth is not None]
    truth: Truth | None = every(truths)
    if blind and truth is not Truth.FALSE:
        truth = None if truth is Truth.TRUE else truth
    decisive = [p for p in parts if p.truth is truth]
    measured = next((p for p in decisive if p.interval is not None), None)
    return Seen(
        truth=truth,
        text=", ".join(dict.fromkeys(p.text for p in parts)),
        interval=measured.interval if measured is not None else None,
        margin=measured.margin if measured is not None else None,
        proof=tuple(sorted({line for p in parts for line in p.proof})),
        reason="; ".join(dict.fromkeys(p.reason for p in decisive if p.reason)),
        span=measured.span if measured is not None else None,
        timed=any(p.timed for p in parts),
        open=any(p.open for p in parts),
    )

"""Load profiles: shapes of memory use over time, as moves of the guest agent.

Pure: a profile is expanded into moves before anything starts. A move begins `wait` seconds after the one before it is
done, so that a guest that is slower than it was asked to be is not overtaken. Amounts are whatever the caller counts
in (bytes, or shares of a guest); only `timeline` needs bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

A = TypeVar("A")
Verb = Literal["grow", "shrink", "touch", "hold", "cache"]
MOST_MOVES: Final = 500
"""Moves one profile may have; more is a mistake in `times` or `every`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move(Generic[A]):
    """One command to a guest. `wait`: seconds after the move before it is done. `to`: None where the verb takes none."""

    verb: Verb
    to: A | None = None
    rate: int | None = None
    """Bytes per second; None: as fast as the guest can."""
    wait: float = 0.0
    write: bool = False
    """`cache` only: overwrite the file's pages instead of reading them."""


def ramp(*, to: A, rate: int | None = None) -> tuple[Move[A], ...]:
    """Grow to an amount at a rate, and stay there."""
    return (Move(verb="grow", to=to, rate=rate),)


def plateau(*, to: A, hold: float, rate: int | None = None) -> tuple[Move[A], ...]:
    """Grow to an amount and be done only when it was held for `hold` seconds."""
    return (Move(verb="grow", to=to, rate=rate), Move(verb="hold", wait=hold))


def pulse(
    *, to: A, low: A, times: int, hold: float, gap: float, rate: int | None = None
) -> tuple[Move[A], ...]:
    """Go up to `to`, stay `hold` seconds, down to `low`, stay `gap` seconds; `times` over."""
    moves: list[Move[A]] = []
    for turn in range(times):
        moves.append(Move(verb="grow", to=to, rate=rate, wait=gap if turn else 0.0))
        moves.append(Move(verb="shrink", to=low, wait=hold))
    return tuple(moves)


def sawtooth(*, to: A, low: A, times: int, rate: int | None = None) -> tuple[Move[A], ...]:
    """Climb to `to` at a rate and drop to `low` at once; `times` over."""
    return pulse(to=to, low=low, times=times, hold=0.0, gap=0.0, rate=rate)


def working_set(*, to: A, touch: A, every: float, times: int, rate: int | None = None) -> tuple[Move[A], ...]:
    """Hold `to` and go through `touch` of it every so many seconds, `times` over."""
    loop = (Move(verb="touch", to=touch, wait=every if turn else 0.0) for turn in range(times))
    return (Move(verb="grow", to=to, rate=rate), *loop)


def churn(
    *, to: A, times: int, gap: float = 0.0, rate: int | None = None, write: bool = False
) -> tuple[Move[A], ...]:
    """Read (or write) `to` bytes of the guest's disk through its page cache, `times` over."""
    return tuple(
        Move(verb="cache", to=to, rate=rate, wait=gap if turn else 0.0, write=write) for turn in range(times)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a move nominally begins and ends, in seconds of the profile, and what is held after it."""

    begin: float
    end: float
    verb: Verb
    held: int


def timeline(moves: Sequence[Move[int]], *, held: int = 0, fastest: int | None = None) -> tuple[Moment, ...]:
    """Return when each move of amounts in bytes happens, if the guest keeps up.

    `held`: what it holds before. `fastest`: bytes a second of a move without a rate; None: it takes no time.
    """
    found: list[Moment] = []
    now = 0.0
    for move in moves:
        begin = now + move.wait
        rate = move.rate or fastest
        amount = move.to or 0
        after, work = held, 0
        match move.verb:
            case "grow":
                after = max(held, amount)
                work = after - held
            case "shrink":
                after = min(held, amount)
            case "touch" | "cache":
                work = amount
            case "hold":
                pass
        now = begin + (work / rate if rate else 0.0)
        held = after
        found.append(Moment(begin=begin, end=now, verb=move.verb, held=held))
    return tuple(found)

"""Profiles are the moves they are named for, at the times they say."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads.profiles import Moment, churn, plateau, pulse, ramp, sawtooth, timeline, working_set

MI = 1 << 20


def told(moves: tuple[Moment, ...]) -> list[tuple[float, float, str, int]]:
    return [(m.begin, m.end, m.verb, m.held // MI) for m in moves]


def test_a_ramp_takes_as_long_as_its_rate_says() -> None:
    assert told(timeline(ramp(to=100 * MI, rate=25 * MI), held=50 * MI)) == [(0, 2, "grow", 100)]


def test_a_ramp_never_gives_back() -> None:
    assert told(timeline(ramp(to=10 * MI, rate=MI), held=50 * MI)) == [(0, 0, "grow", 50)]


def test_a_plateau_is_over_when_it_was_held() -> None:
    assert told(timeline(plateau(to=100 * MI, hold=20, rate=50 * MI))) == [
        (0, 2, "grow", 100),
        (22, 22, "hold", 100),
    ]


def test_pulses() -> None:
    moves = pulse(to=100 * MI, low=20 * MI, times=2, hold=5, gap=3, rate=20 * MI)
    assert told(timeline(moves)) == [
        (0, 5, "grow", 100),
        (10, 10, "shrink", 20),
        (13, 17, "grow", 100),
        (22, 22, "shrink", 20),
    ]


def test_a_sawtooth_climbs_and_drops() -> None:
    moves = sawtooth(to=100 * MI, low=0, times=2, rate=50 * MI)
    assert told(timeline(moves)) == [
        (0, 2, "grow", 100),
        (2, 2, "shrink", 0),
        (2, 4, "grow", 100),
        (4, 4, "shrink", 0),
    ]


def test_a_working_set_is_gone_through_again_and_again() -> None:
    moves = working_set(to=100 * MI, touch=30 * MI, every=2, times=3, rate=100 * MI)
    assert told(timeline(moves, fastest=None)) == [
        (0, 1, "grow", 100),
        (1, 1, "touch", 100),
        (3, 3, "touch", 100),
        (5, 5, "touch", 100),
    ]


def test_churn_holds_nothing() -> None:
    moves = churn(to=64 * MI, times=2, gap=1, rate=32 * MI, write=True)
    assert told(timeline(moves)) == [(0, 2, "cache", 0), (3, 5, "cache", 0)]
    assert all(move.write for move in moves)


@pytest.mark.parametrize(("fastest", "end"), [(None, 0.0), (50 * MI, 2.0)])
def test_without_a_rate_a_move_takes_what_the_fastest_takes(fastest: int | None, end: float) -> None:
    assert timeline(ramp(to=100 * MI), fastest=fastest)[0].end == end


@given(
    times=st.integers(1, 9),
    hold=st.floats(0, 50),
    gap=st.floats(0, 50),
    low=st.integers(0, 99),
    rate=st.integers(1, 50),
)
def test_a_pulse_lasts_as_long_as_its_parts(times: int, hold: float, gap: float, low: int, rate: int) -> None:
    moments = timeline(pulse(to=100, low=low, times=times, hold=hold, gap=gap, rate=rate))
    climbs = (100 + (times - 1) * (100 - low)) / rate
    assert moments[-1].end == pytest.approx(climbs + times * hold + (times - 1) * gap)
    assert [m.held for m in moments] == [100, low] * times
    assert all(a.end <= b.begin for a, b in itertools.pairwise(moments))

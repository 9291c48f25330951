"""Words, markup and sums: the small parts that everything else leans on."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.judge.interval import Interval
from harness.report.crowd import chosen_few, sums
from harness.report.html import marked
from harness.report.text import clean, finite, gathered, margin, number, spread
from harness.report.timeline import GuestLane, Mark, Series


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (2.0, "2"),
        (0.012346, "0.01235"),
        (2.24, "2.24"),
        (12345.6, "12346"),
        (-1.5, "−1.5"),
        (math.inf, "∞"),
    ],
)
def test_numbers_have_four_significant_digits(value: float, shown: str) -> None:
    assert number(value) == shown


def test_an_interval_is_said_with_its_open_ends() -> None:
    assert spread(Interval(2.1, 2.3), "s") == "2.2 s (2.1 … 2.3)"
    assert spread(Interval(2.0, 2.0), "s") == "2 s"
    assert spread(Interval(2.0, math.inf), "s") == "at least 2 s"
    assert spread(Interval(-math.inf, 2.0), "s") == "at most 2 s"
    assert finite(math.inf) is None


@given(st.text(max_size=200))
def test_cleaned_text_is_printable_and_one_line(text: str) -> None:
    shown = clean(text, most=50)
    assert shown.isprintable()
    assert len(shown) <= 50


def test_long_text_is_cut_and_says_so() -> None:
    assert clean("a" * 100, most=10) == "a" * 9 + "…"


def test_code_is_marked_links_lose_their_address_and_nothing_else_is_markup() -> None:
    assert str(marked("set `a<b` in [the docs](https://x.y/z) & <go>")) == (
        "set <code>a&lt;b</code> in the docs &amp; &lt;go&gt;"
    )


def lane(name: str, points: list[tuple[float, float]], *, taken: float | None = None) -> GuestLane:
    held = Series(6.5)
    for t, value in points:
        held.add(t, value)
    marks = [] if taken is None else [Mark(taken, "evicted", "Evicted", 1)]
    return GuestLane(name, held, Series(2.5), request=100.0, marks=marks)


def test_sums_are_over_those_that_were_sampled() -> None:
    a = lane("a", [(0.0, 10.0), (5.0, 20.0), (10.0, 20.0)], taken=12.0)
    b = lane("b", [(0.0, 1.0), (5.0, 1.0)])
    total = sums([a, b], 30.0)
    values = dict(point for segment in total.held.segments for point in segment)
    at = {round(t): v for t, v in values.items()}
    assert at[3] == 11.0
    assert at[8] == 21.0, "b still counts within its gap of 6.5 s"
    assert at[14] == 20.0, "b was not sampled any more"
    assert max(values) == pytest.approx(16.5, abs=0.1), "and nobody after a's last sample and its gap"
    assert total.request == 200.0
    assert total.deaths == (("evicted", (12.0,)),)


def test_those_who_were_taken_are_drawn_first() -> None:
    lanes = [lane("c", []), lane("a", []), lane("z", [], taken=9.0), lane("y", [], taken=3.0)]
    assert [found.name for found in chosen_few(lanes, 3)] == ["y", "z", "a"]


def test_what_was_seen_of_many_vmis_alike_is_said_once() -> None:
    many = "; ".join(f"ns/guest-{n}: MemTotal 228999168 bytes" for n in range(1, 12))
    assert gathered(many) == "11 VMIs, guest-1 … guest-11: MemTotal 228999168 bytes"
    mixed = f"{many}; ns/other: MemTotal 1 bytes"
    assert (
        gathered(mixed) == "11 VMIs, guest-1 … guest-11: MemTotal 228999168 bytes; ns/other: MemTotal 1 bytes"
    )
    for few in (
        "ns/a: x; ns/b: x; ns/c: x",
        "evicted: ns/a at t = 3 s; nobody else",
        "",
        "ns/a: x; and more",
    ):
        assert gathered(few) == few


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (10.53, "+10.5"),
        (-0.0393, "-0.0393"),
        (-17600000.0, "-16.8 MiB"),
        (14284800.0, "+13.6 MiB"),
    ],
)
def test_a_margin_is_in_seconds_or_mib(value: float | None, shown: str) -> None:
    assert margin(value) == shown

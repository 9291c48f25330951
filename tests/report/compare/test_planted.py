"""Planted truths come out as what they are: n = 15 runs a group, coefficient of variation 8 %, seeds stated."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from harness.report.compare.statistics import compare, summarize
from harness.report.compare.table import Comparison, tabulate_runs
from tests.report.compare.planted import runs

SEEDS = range(200)


def found(effect: float, seed: int, *, n: int = 15, cv: float = 0.08) -> str:
    random = np.random.default_rng(seed)
    reference = list(random.normal(100, 100 * cv, n))
    return compare(reference, list(random.normal(100 * (1 + effect), 100 * cv, n))).verdict


@pytest.mark.parametrize(
    ("effect", "admissible"),
    [(0.0, {"none"}), (0.05, {"none", "uncertain"}), (0.20, {"significant"}), (-0.20, {"significant"})],
)
def test_an_effect_comes_out_as_what_it_is(effect: float, admissible: set[str]) -> None:
    assert found(effect, seed=7) in admissible


def test_false_positives_are_at_most_5_percent_over_200_seeds() -> None:
    seen = Counter(found(0.0, seed) for seed in SEEDS)
    assert seen["significant"] <= 10
    assert seen["none"] >= 180, "and what is absent is called absent"


def test_a_fifth_is_found_and_a_twentieth_mostly_not() -> None:
    assert Counter(found(0.20, seed) for seed in range(40))["significant"] >= 39
    assert Counter(found(0.05, seed) for seed in range(40))["significant"] <= 12


def compared(effect: float) -> Comparison:
    base = runs("baseline", seed=7, means={"touch-p99": 4000.0})
    other = runs("ksm", seed=8, means={"touch-p99": 4000.0 * (1 + effect)})
    return tabulate_runs([*base, *other], "technique")


@pytest.mark.parametrize(
    ("effect", "words"),
    [(0.0, "no detectable difference"), (0.20, "p = ")],
)
def test_the_table_says_it_in_words(effect: float, words: str) -> None:
    (cell,) = compared(effect).groups[1].cells
    assert words in cell.said


def test_worse_and_better_are_told_apart() -> None:
    assert compared(0.2).groups[1].cells[0].better is False
    assert compared(-0.2).groups[1].cells[0].better is True


def test_three_runs_are_never_significant_however_far_apart() -> None:
    told = compare([4.0, 4.0, 4.0], [7.0, 7.0, 7.0])
    assert told.verdict == "uncertain"
    assert told.delta == 1.0
    assert "too few runs (3 and 3" in told.why
    assert "every run lies above" in told.why


def test_the_same_everywhere_is_no_difference() -> None:
    told = compare([2.0] * 6, [2.0] * 6)
    assert (told.verdict, told.why, told.absolute) == ("none", "the same in every run", 0.0)


def test_a_difference_smaller_than_one_measurement_can_tell_is_uncertain() -> None:
    reference, values = [4.0, 4.1, 4.2, 4.05, 4.15, 4.1], [4.5, 4.6, 4.7, 4.55, 4.65, 4.6]
    assert compare(reference, values).verdict == "significant"
    assert compare(reference, values, blur=1.0).verdict == "uncertain"


def test_a_count_that_was_zero_has_no_percentage() -> None:
    told = compare([0.0] * 6, [2.0, 3.0, 2.0, 2.0, 3.0, 2.0])
    assert told.verdict == "significant"
    assert told.relative is None
    assert told.absolute == pytest.approx(2.333, abs=1e-3)


def test_a_mean_comes_with_its_interval_and_what_was_not_measured() -> None:
    summary = summarize([1.0, 2.0, 3.0, 4.0, 5.0], missing=2)
    assert summary is not None
    assert (summary.n, summary.missing, summary.mean) == (5, 2, 3.0)
    assert summary.low is not None
    assert summary.high is not None
    assert 1.0 <= summary.low < 3.0 < summary.high <= 5.0
    assert summarize([]) is None
    for few in ([3.0], [1.0, 2.0, 3.0, 4.0]):
        told = summarize(few)
        assert told is not None
        assert (told.low, told.high) == (None, None), "a bootstrap of so few says nothing"


def test_two_or_three_runs_are_shown_as_what_they_are() -> None:
    base = runs("baseline", n=2, cv=0.0, means={"survive": 5.0})
    other = [
        replace(run, values={"survive": value})
        for run, value in zip(runs("swap", n=3, means={"survive": 5.0}), (4.0, 6.0, 5.0), strict=True)
    ]
    (cell,) = tabulate_runs([*base, *other], "technique").groups[1].cells
    assert cell.text == "5 (runs: 4 … 6), n = 3"
    assert cell.said == "+0 %, uncertain: too few runs (2 and 3; 5 each are needed), and they overlap: δ = 0"
    same = tabulate_runs([*base, *runs("ksm", n=1, cv=0.0, means={"survive": 5.0})], "technique")
    assert same.groups[1].cells[0].said == "the same in every run (2 and 1): too few to rule a difference out"


def test_the_same_values_give_the_same_words() -> None:
    assert compared(0.05) == compared(0.05)

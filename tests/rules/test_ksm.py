"""Overrides of KubeVirt's KSM handler as its boundCheck takes them, and what it writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.rules.ksm import KsmTuning, KsmValues, next_values, tuning

PREFIX = "kubevirt.io/ksm-"


def overrides(**named: str) -> KsmTuning:
    return tuning({f"{PREFIX}{name.replace('_', '-')}-override": text for name, text in named.items()})


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({}, KsmTuning()),
        ({"pages_boost": "+5", "pages_decay": "-5"}, KsmTuning(pages_boost=5, pages_decay=-5)),
        ({"pages_boost": "-1", "pages_decay": "1"}, KsmTuning()),
        ({"pages_boost": "1_000"}, KsmTuning()),
        ({"pages_boost": " 7"}, KsmTuning()),
        ({"pages_boost": "9223372036854775808"}, KsmTuning()),
        ({"sleep_ms_baseline": "0"}, KsmTuning()),
        ({"free_percent": "1.1"}, KsmTuning()),
        ({"free_percent": "lots"}, KsmTuning()),
        ({"free_percent": "0"}, KsmTuning(free_percent=0.0)),
        # out of bounds, and the default of 100 is not above the least: the least
        ({"pages_min": "200", "pages_init": "50"}, KsmTuning(pages_min=200, pages_init=200)),
        ({"pages_min": "100", "pages_init": "2000"}, KsmTuning(pages_min=100, pages_init=100)),
        ({"pages_min": "2000", "pages_max": "1000"}, KsmTuning(pages_min=2000, pages_max=2000)),
        # not overridden, and not looked at
        ({"pages_min": "2000"}, KsmTuning(pages_min=2000)),
    ],
)
def test_overrides_out_of_bounds(named: dict[str, str], expected: KsmTuning) -> None:
    assert overrides(**named) == expected


def test_what_is_written() -> None:
    assert KsmValues(False, 64, 100).files == {"run": "0"}
    assert list(KsmValues(True, 400, 111).files.items()) == [
        ("sleep_millisecs", "111"),
        ("pages_to_scan", "400"),
        ("run", "1"),
    ]


@given(st.integers(1 << 20, 1 << 30), st.integers(0, 99), st.integers(0, 5000), st.booleans())
def test_bounds_of_what_is_written(total: int, percent: int, pages: int, running: bool) -> None:
    available = total * percent // 100
    seen = next_values(KsmValues(running, pages, 20), total_kb=total, available_kb=available)
    if seen.running:
        assert seen.sleep_ms >= 10
        assert seen.pages >= (64 if percent > 21 else 100)
        # what was higher before only comes down
        assert seen.pages <= max(1250, pages)
    if percent > 21 and not running:
        assert not seen.running


# -- as KubeVirt's own tests: pkg/virt-handler/ksm/ksm_test.go of main ------------------------------------------------

TOTAL, SHORT, PLENTY = 65680332, 5183928, 39207804


class Spins:
    """The handler on one node, look after look; at first KSM is off with 100 pages."""

    def __init__(self, tuned: KsmTuning | None = None) -> None:
        self.now, self.tuned = KsmValues(False, 100, 20), tuned

    def spin(self, available: int, times: int = 1) -> KsmValues:
        for _ in range(times):
            seen = next_values(self.now, total_kb=TOTAL, available_kb=available, tuning=self.tuned)
            # while it is stopped only run is written
            self.now = seen if seen.running else KsmValues(False, self.now.pages, self.now.sleep_ms)
        return self.now


def test_it_adapts_to_pressure_as_upstream_s() -> None:
    of = Spins()
    assert not of.spin(PLENTY, 2).running
    assert of.spin(SHORT) == KsmValues(True, 100, 27)
    assert of.spin(SHORT) == KsmValues(True, 400, 27)
    assert of.spin(SHORT, 3) == KsmValues(True, 1250, 27)
    assert of.spin(PLENTY) == KsmValues(True, 1200, 63)
    assert of.spin(PLENTY, 15) == KsmValues(True, 450, 63)
    assert not of.spin(PLENTY, 30).running


def test_it_takes_overrides_as_upstream_s() -> None:
    named = {
        "pages_boost": "123",
        "pages_decay": "45",
        "pages_min": "166",
        "pages_max": "789",
        "pages_init": "1011",
        "sleep_ms_baseline": "1213",
    }
    of = Spins(overrides(**named, free_percent="1.0"))
    assert of.spin(PLENTY) == KsmValues(True, 166, 768)
    assert of.spin(PLENTY) == KsmValues(True, 289, 768)
    assert of.spin(PLENTY, 5) == KsmValues(True, 789, 768)
    of.tuned = overrides(**named, free_percent="0.1")
    assert of.spin(PLENTY) == KsmValues(True, 739, 768)
    assert not of.spin(PLENTY, 16).running

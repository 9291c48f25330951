"""The sliding histogram of touch latencies, called directly."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads.image.agent import SOURCE

SECOND = 1_000_000_000


class Summary(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("p50", "p99", "max", "stalls", "total"))


class Histogram:
    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._state = ctypes.create_string_buffer(1 << 20)

    def record(self, now: int, took: int) -> None:
        self._library.latency_record(self._state, ctypes.c_uint64(now), ctypes.c_uint64(took))

    def summary(self, now: int) -> Summary:
        found = self._library.latency_summarise(self._state, ctypes.c_uint64(now))
        assert isinstance(found, Summary)
        return found


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, agent: Path) -> ctypes.CDLL:
    assert agent.exists()  # skipped where nothing can be compiled
    out = tmp_path_factory.mktemp("latency") / "latency.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", out, SOURCE / "latency.c"], check=True)
    loaded = ctypes.CDLL(str(out))
    loaded.latency_record.restype = None
    loaded.latency_summarise.restype = Summary
    return loaded


@given(took=st.lists(st.integers(0, 2**63), min_size=1, max_size=300))
def test_quantiles_are_never_low_and_at_most_a_thirty_second_high(
    library: ctypes.CDLL, took: list[int]
) -> None:
    histogram = Histogram(library)
    for value in took:
        histogram.record(5 * SECOND, value)
    found = histogram.summary(5 * SECOND)
    ordered = sorted(took)
    for quantile, exact in (
        (found.p50, ordered[(len(took) + 1) // 2 - 1]),
        (found.p99, ordered[-(len(took) // 100) - 1]),
    ):
        assert exact <= quantile <= exact + exact // 32
    assert found.max == max(took)
    assert found.stalls == sum(value > 1_000_000 for value in took)
    assert found.total == len(took)


@pytest.mark.parametrize(
    ("age_ms", "counted"),
    [(0, 1), (999, 1), (1200, 0), (1201, 0), (60_000, 0)],
)
def test_a_touch_counts_for_a_second(library: ctypes.CDLL, age_ms: int, counted: int) -> None:
    histogram = Histogram(library)
    began = 1000 * SECOND + 199_000_000  # at the end of a slot
    histogram.record(began, 7)
    assert histogram.summary(began + age_ms * 1_000_000).total == counted


def test_old_slots_are_reused(library: ctypes.CDLL) -> None:
    histogram = Histogram(library)
    for slot in range(100):
        histogram.record(slot * SECOND // 5, 100 + slot)
    found = histogram.summary(99 * SECOND // 5)
    assert (found.total, found.max) == (6, 199)

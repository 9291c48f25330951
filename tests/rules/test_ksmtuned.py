"""What ksmtuned does with its file, against values worked out by hand from its script."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.rules.ksmtuned import (
    KsmtunedSettings,
    KsmtunedValues,
    adjust,
    settings,
    sleep_ms,
    threshold_kb,
)

GIB = 1 << 20
"""In kB."""
MIB = 1 << 10
STOCK = KsmtunedSettings()


def test_a_file_says_what_differs_from_ksmtuned_s_own() -> None:
    assert settings({}) == STOCK
    told = settings({"KSM_NPAGES_MAX": 4000, "KSM_MONITOR_INTERVAL": 2, "KSM_THRES_COEF": 40})
    assert (told.npages_max, told.monitor_interval, told.thres_coef) == (4000, 2, 40)
    assert (told.npages_boost, told.npages_decay, told.npages_min) == (300, -50, 64)
    assert (told.sleep_msec, told.thres_const) == (10, 2048)
    assert told.interval == 2.0


@pytest.mark.parametrize(
    ("total", "pause", "threshold"),
    [
        (16 * GIB, 10, 3355443),
        (64 * GIB, 10, 13421772),  # 2 ms, and not less than 10
        (8 * GIB, 20, 1677721),
        (1 * GIB, 160, 209715),
        (768 * MIB, 213, 157286),
        (8 * MIB, 20480, 2048),  # 1638 kB, and not less than KSM_THRES_CONST
    ],
)
def test_small_machines_sleep_longer(total: int, pause: int, threshold: int) -> None:
    assert sleep_ms(STOCK, total_kb=total) == pause
    assert threshold_kb(STOCK, total_kb=total) == threshold


def look(npages: int, *, free: int, committed: int, tuned: KsmtunedSettings = STOCK) -> KsmtunedValues:
    """One look on a machine of 1000 MiB, where 200 are the threshold. In MiB."""
    return adjust(npages, tuned=tuned, total_kb=1000 * MIB, free_kb=free * MIB, committed_kb=committed * MIB)


@pytest.mark.parametrize(
    ("npages", "free", "committed", "running", "pages"),
    [
        (0, 500, 500, False, 0),  # both fit
        (0, 500, 799, False, 0),
        (
            0,
            500,
            800,
            True,
            64,
        ),  # committed and threshold are all there is: it starts, and with time to spare at the least
        (0, 201, 799, False, 0),
        (0, 200, 500, True, 64),  # no more than the threshold is free, and no less
        (0, 199, 500, True, 300),
        (300, 199, 900, True, 600),
        (1200, 199, 900, True, 1250),
        (1250, 300, 900, True, 1200),
        (100, 300, 900, True, 64),
        (1200, 500, 500, False, 1200),  # kept while it is stopped
    ],
)
def test_one_look(npages: int, free: int, committed: int, running: bool, pages: int) -> None:
    seen = look(npages, free=free, committed=committed)
    assert (seen.running, seen.npages, seen.sleep_ms) == (running, pages, 163)


def test_what_is_written_and_why() -> None:
    stopped, boosted = look(0, free=500, committed=500), look(0, free=100, committed=900)
    assert stopped.files == {"run": "0"}
    assert stopped.why == "committed 500 + threshold 200 < 1000 MiB, free 500 >= 200: stop"
    assert list(boosted.files.items()) == [("pages_to_scan", "300"), ("sleep_millisecs", "163"), ("run", "1")]
    assert boosted.why == "committed 900 + threshold 200 >= 1000 MiB, free 100 < 200: boost"
    assert look(300, free=300, committed=900).why.endswith("free 300 >= 200: decay")


def test_the_stock_file_is_at_its_top_after_five_looks() -> None:
    pages, seen = 0, []
    for _ in range(6):
        pages = look(pages, free=10, committed=900).npages
        seen.append(pages)
    assert seen == [300, 600, 900, 1200, 1250, 1250]


def test_a_least_above_the_most_is_the_least_as_long_as_it_is_not_reached() -> None:
    """As the script's if and elif have it."""
    odd = KsmtunedSettings(npages_min=500, npages_max=400)
    assert look(0, free=10, committed=900, tuned=odd).npages == 500
    assert look(500, free=10, committed=900, tuned=odd).npages == 400


amounts = st.integers(0, 4000)


@given(npages=st.integers(0, 5000), free=amounts, committed=amounts, more=st.integers(0, 1000))
def test_it_never_lets_up_as_memory_gets_scarcer(npages: int, free: int, committed: int, more: int) -> None:
    now = look(npages, free=free, committed=committed)
    scarcer = look(npages, free=max(0, free - more), committed=committed + more)
    assert scarcer.running >= now.running
    if now.running:
        assert scarcer.npages >= now.npages
        assert 64 <= now.npages <= 1250

"""The suites of KSM, swap and both on a machine without: told, excused by the baseline."""

from __future__ import annotations

import pytest

from tests.e2e import seen
from tests.e2e.driver import ROOT, Place
from tests.e2e.test_lacks import HIDDEN_KSM, NO_SWAP, changed, needs_root

pytestmark = [pytest.mark.guest, pytest.mark.timeout(200), pytest.mark.usefixtures("guests"), needs_root]

SUITES = ROOT / "suites"


@pytest.mark.parametrize(
    ("scenario", "script", "lack", "claims"),
    [
        pytest.param("ksm/merge", HIDDEN_KSM, "ksm", {"KSM-1", "KSM-4"}, marks=pytest.mark.soak),
        ("ksm/knobs", HIDDEN_KSM, "ksm", {"KSM-2"}),
        pytest.param("ksm/tuned", HIDDEN_KSM, "ksm", {"KSM-3b"}, marks=pytest.mark.soak),
        pytest.param("swap/thrash", NO_SWAP, "swap", {"SWAP-3", "SWAP-4"}, marks=pytest.mark.soak),
        ("swap/threshold", NO_SWAP, "swap", {"SWAP-1"}),
        pytest.param("ksm-swap/fit", HIDDEN_KSM, "ksm", {"SWAP-5a", "SWAP-5b"}, marks=pytest.mark.soak),
        ("ksm-swap/fit", NO_SWAP, "swap", {"SWAP-5a", "SWAP-5b"}),
    ],
)
def test_a_suite_without_what_it_needs_is_told_and_excused(
    here: Place, scenario: str, script: str, lack: str, claims: set[str]
) -> None:
    here.prefix = changed(script)
    # a place in memory takes no swap file
    memory = {"TMPDIR": "/dev/shm"} if lack == "swap" else {}
    done = here.density("run", SUITES / f"{scenario}.yaml", within=120, **memory)
    assert done.code == 0, done
    assert f"this cluster lacks {lack} (" in done.out, done
    found = seen.findings(here.run_directories()[0])
    assert claims <= set(found)
    assert set(found.values()) == {"not-observable"}
    assert here.left() == []

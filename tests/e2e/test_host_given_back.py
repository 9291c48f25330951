"""KSM, swap and zram belong to the whole machine: a scenario that sets them leaves them as they were, killed or not.

Strict about the machine's settings, so no other harness may change them meanwhile.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.e2e.driver import ROOT, Place

pytestmark = [
    pytest.mark.guest,
    pytest.mark.soak,
    pytest.mark.timeout(400),
    pytest.mark.usefixtures("limits"),
]

SUITES = ROOT / "suites"
KSM = Path("/sys/kernel/mm/ksm")
KNOBS = (
    "run",
    "pages_to_scan",
    "sleep_millisecs",
    "smart_scan",
    "advisor_mode",
    "use_zero_pages",
    "pages_shared",
)


def settings() -> dict[str, str]:
    """KSM's knobs and what is merged, swap areas, zram devices, huge pages."""
    found = {name: (KSM / name).read_text() for name in KNOBS if (KSM / name).exists()}
    areas = Path("/proc/swaps").read_text().splitlines()[1:]
    return {
        **found,
        "areas": "\n".join(line.split()[0] for line in areas),
        "zram": " ".join(sorted(path.name for path in Path("/sys/block").glob("zram*"))),
        "thp": Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text(),
        "lock": str(Path("/run/kubevirt-density/host.lock").exists()),
    }


@pytest.fixture
def before() -> dict[str, str]:
    """The machine's settings; skips while another harness has changed them."""
    found = settings()
    if not KSM.is_dir():
        pytest.skip("no KSM here")
    if found["lock"] == "True":
        pytest.skip("another harness has set them")
    return found


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if after[name] != before[name]}


@pytest.mark.parametrize(
    ("scenario", "moment", "then", "set_meanwhile"),
    [
        ("ksm-swap/fit", "step use-1: grow", 3.0, {"run", "pages_to_scan", "areas", "lock"}),
        ("swap/thrash", "step fill: grow", 4.0, {"areas", "lock"}),
        ("ksm/charge", "step-done merge", 4.0, {"run", "pages_to_scan", "lock"}),
    ],
)
def test_after_kill_9_clean_gives_the_machines_settings_back(
    here: Place, before: dict[str, str], scenario: str, moment: str, then: float, set_meanwhile: set[str]
) -> None:
    running = here.start("run", SUITES / f"{scenario}.yaml", "--no-control")
    running.until(moment, within=120)
    time.sleep(then)
    assert set_meanwhile <= changed(before, settings())
    running.send(signal.SIGKILL)
    running.wait(within=10)
    cleaned = here.density("clean", within=120)
    assert cleaned.code == 0, cleaned
    assert changed(before, settings()) == set(), cleaned
    assert here.left() == []

"""Ctrl-C, and kill -9 in the middle: what is known is kept, nothing is left on the machine."""

from __future__ import annotations

import json
import random
import signal
import time

import pytest

from tests.e2e import seen
from tests.e2e.driver import ROAD, Place, leftovers

pytestmark = [pytest.mark.guest, pytest.mark.timeout(400), pytest.mark.usefixtures("guests")]

SUITES = ROAD.parent
BOOT = "waiting for the guests' hello"
FILL = "step fill: grow"
CROSS = "step cross: grow"
WATCH = "watching what comes of it"
CONTROL = "control run"
SOAK = pytest.mark.soak


@pytest.mark.parametrize(
    ("scenario", "moment", "then"),
    [
        ("hard-eviction", BOOT, 2.0),
        ("hard-eviction", FILL, 2.0),
        pytest.param("hard-eviction", CROSS, 4.0, marks=SOAK),
        pytest.param("hard-eviction", WATCH, 2.0, marks=SOAK),
        pytest.param("soft-eviction", WATCH, 3.0, marks=SOAK),
    ],
)
def test_ctrl_c_ends_in_good_order_and_tells_what_is_known(
    here: Place, scenario: str, moment: str, then: float
) -> None:
    running = here.start("run", ROAD / f"{scenario}.yaml")
    running.until(moment, within=120)
    time.sleep(then)
    running.send(signal.SIGINT)
    done = running.wait(within=30)
    assert done.code == 130, done
    assert here.left() == []
    (run,) = here.run_directories()
    assert seen.provenance(run)["outcome"] == "interrupted"
    assert "interrupted: the run was interrupted" in done.out
    assert f"report: {run}/report.html" in done.out
    for name in ("findings.json", "report.html", "report.md", "junit.xml"):
        assert (run / name).is_file(), name
    assert json.loads((run / "findings.json").read_bytes())["complete"] is False
    # Nothing that only the end of the run could show is decided.
    assert seen.findings(run)["requires/1"] == "undecided"
    assert "Traceback" not in done.err


@pytest.mark.soak
def test_ctrl_c_in_the_control_keeps_the_main_run(here: Place) -> None:
    running = here.start("run", ROAD / "hard-eviction.yaml")
    running.until(CONTROL, within=180)
    running.until("-control-local-", within=30)
    time.sleep(8)
    running.send(signal.SIGINT)
    done = running.wait(within=30)
    assert done.code == 130, done
    assert here.left() == []
    outcomes = {("control" in run.name): seen.provenance(run)["outcome"] for run in here.run_directories()}
    assert outcomes == {False: "complete", True: "interrupted"}
    main = next(run for run in here.run_directories() if "control" not in run.name)
    assert (main / "findings.json").is_file()
    assert f"report: {main}/report.html" in done.out


def test_ctrl_c_before_there_is_a_run(here: Place) -> None:
    running = here.start("run", ROAD / "hard-eviction.yaml")
    running.until("starting cluster local", within=30)
    running.send(signal.SIGINT)
    done = running.wait(within=30)
    assert done.code == 130, done
    assert here.left() == []
    assert "Traceback" not in done.err


@pytest.mark.parametrize("pause", [0.0, pytest.param(0.05, marks=SOAK), pytest.param(0.5, marks=SOAK)])
def test_a_second_ctrl_c_is_in_haste_and_clean_finds_the_rest(here: Place, pause: float) -> None:
    running = here.start("run", ROAD / "hard-eviction.yaml")
    running.until(BOOT, within=60)
    time.sleep(2)
    running.send(signal.SIGINT)
    time.sleep(pause)
    if running.process.poll() is None:
        running.send(signal.SIGINT)
    done = running.wait(within=20)
    assert done.code == 130, done
    assert here.density("clean").code == 0
    assert here.left() == []


def kill_at(here: Place, scenario: str, moment: str, then: float) -> None:
    file = SUITES / f"{scenario}.yaml" if "/" in scenario else ROAD / f"{scenario}.yaml"
    running = here.start("run", file, "--no-control")
    running.until(moment, within=120)
    time.sleep(then)
    running.send(signal.SIGKILL)
    running.wait(within=5)
    cleaned = here.density("clean")
    assert cleaned.code == 0, cleaned
    assert here.left() == [], f"{moment} + {then:.3f} s: {cleaned}"
    again = here.density("clean")
    assert (again.code, again.out) == (0, "nothing to clean\n")


@pytest.mark.parametrize(
    ("scenario", "moment", "then"),
    [
        ("container-oom-at-limit", "creating 2 guests", 0.2),
        ("container-oom-at-limit", BOOT, 2.0),
        ("container-oom-at-limit", FILL, 5.0),
    ],
)
def test_after_kill_9_clean_leaves_nothing(here: Place, scenario: str, moment: str, then: float) -> None:
    kill_at(here, scenario, moment, then)
    (run,) = here.run_directories()
    replayed = here.density("replay", run)
    assert replayed.code == 1, replayed
    assert "incomplete" in replayed.out


@pytest.mark.soak
@pytest.mark.parametrize("number", range(20))
def test_after_kill_9_anywhere_clean_leaves_nothing(here: Place, number: int) -> None:
    lots = random.Random(f"{number} {time.time_ns()}")  # other moments every time; a failure names its own
    # Beside guests: disks of theirs, processes of the nodes' own, VMs that come back.
    scenario, first, last = lots.choice(
        [
            ("hard-eviction", FILL, CROSS),
            ("hard-eviction/power-loss", FILL, CROSS),
            ("reserved/daemon", FILL, "step grow-within: grow"),
            ("successor/evict-restart", "step press: grow", CROSS),
        ]
    )
    moment, longest = lots.choice(
        [("starting cluster", 1.5), ("preparing nodes", 3.0), (BOOT, 8.0), (first, 6.0), (last, 15.0)]
    )
    kill_at(here, scenario, moment, lots.uniform(0.0, longest))


@pytest.mark.soak
def test_the_whole_machine_is_as_it_was(here: Place) -> None:
    """Strict: no other harness may run meanwhile."""
    look = leftovers()
    machine = look.Machine()
    before = machine.snapshot()
    kill_at(here, "hard-eviction", FILL, 3.0)
    done = here.density("run", ROAD / "container-oom-at-limit.yaml", within=120)
    assert done.code == 0, done
    assert look.differences(before, machine.snapshot()) == []

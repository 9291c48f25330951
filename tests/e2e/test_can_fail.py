"""Each scenario can come out otherwise: with its cause changed, what it requires is not seen, and the exit code says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import seen
from tests.e2e.driver import ROAD, Done, Place, Ran

pytestmark = [pytest.mark.guest, pytest.mark.timeout(400)]


def spoilt(here: Place, scenario: str, *changes: str) -> tuple[Done, Path]:
    """Run a scenario of the road with changes, whatever preflight says of them; nothing is left of it."""
    sets: Iterator[str] = (word for change in changes for word in ("--set", change))
    done = here.density("run", ROAD / f"{scenario}.yaml", "--no-control", "--no-preflight", *sets, within=300)
    assert here.run_directories(), done
    (run,) = here.run_directories()
    assert seen.provenance(run)["outcome"] == "complete", done
    assert here.left() == []
    return done, run


def test_a_threshold_of_1Mi_evicts_nobody_and_the_kernel_kills(no_threshold: Ran) -> None:  # noqa: N802
    assert no_threshold.done.code == 1, no_threshold.done
    assert seen.oom_killed(no_threshold.directory, scope="node")
    assert seen.evicted(no_threshold.directory) == set()
    found = seen.findings(no_threshold.directory)
    assert found["requires/0"] == "refuted"
    assert found["HARD-5"] == "refuted"
    assert "FAIL requires/0" in no_threshold.done.out
    assert no_threshold.left == []


def test_what_can_not_come_out_as_required_is_refused_before_anything_starts(here: Place) -> None:
    no_threshold = [
        f"nodes.{n}.kubelet.evictionSoft{k}=null"
        for n in ("for-listening", "for-deaf")
        for k in ("", "GracePeriod")
    ]
    sets = (word for change in no_threshold for word in ("--set", change))
    done = here.density("run", ROAD / "soft-eviction.yaml", *sets)
    assert done.code == 2, done
    assert "preflight: " in done.err
    assert "nothing is evicted" in done.err
    assert here.run_directories() == []


@pytest.mark.soak
@pytest.mark.usefixtures("limits")
def test_a_ramp_ten_times_as_fast_is_ended_by_the_kernel_and_nobody_is_evicted(here: Place) -> None:
    done, run = spoilt(here, "hard-eviction", "workload.cross.grow.rate=50Mi/s")
    assert done.code == 1, done
    assert seen.evicted(run) == set()
    assert seen.oom_killed(run, scope="node")
    assert seen.findings(run)["requires/0"] == "refuted"


@pytest.mark.soak
@pytest.mark.usefixtures("guests")
def test_with_the_requests_exchanged_the_other_one_is_the_victim(here: Place) -> None:
    request = "set.spec.domain.resources.requests.memory"
    done, run = spoilt(
        here, "hard-eviction", f"fleet.small-request.{request}=384Mi", f"fleet.large-request.{request}=64Mi"
    )
    assert done.code == 1, done
    assert seen.evicted(run) == {"large-request"}
    found = seen.findings(run)
    assert found["requires/0"] == "refuted"
    assert found["requires/1"] == "holds"  # the bystander's survival has nothing to do with it


@pytest.mark.soak
@pytest.mark.usefixtures("limits")
def test_below_a_higher_limit_nobody_is_killed(here: Place) -> None:
    done, run = spoilt(
        here, "container-oom-at-limit", "fleet.hog.set.spec.domain.resources.limits.memory=512Mi"
    )
    assert done.code == 1, done
    assert seen.oom_killed(run, scope="container") == set()
    found = seen.findings(run)
    assert found["requires/0"] == "refuted"
    assert found["PRESS-1"] == "refuted"


@pytest.mark.soak
@pytest.mark.usefixtures("guests")
def test_without_a_soft_threshold_nobody_is_evicted(here: Place) -> None:
    done, run = spoilt(
        here,
        "soft-eviction",
        *(
            f"nodes.{node}.kubelet.{key}=null"
            for node in ("for-listening", "for-deaf")
            for key in ("evictionSoft", "evictionSoftGracePeriod", "evictionMaxPodGracePeriod")
        ),
    )
    assert done.code == 1, done
    assert seen.evicted(run) == set()
    found = seen.findings(run)
    assert found["requires/0"] == "refuted"
    assert found["SOFT-3a"] == "refuted"


@pytest.mark.soak
@pytest.mark.usefixtures("guests")
def test_one_byte_more_than_is_requested_is_not_seen(here: Place) -> None:
    # 570949633 and 549978113 are right (suites/road/qos-matrix.yaml).
    done, run = spoilt(
        here,
        "qos-matrix",
        "requires[2].request.compute.requests.main=570949634",
        "requires[2].request.compute.requests.v1\\.6-v1\\.9=549978114",
    )
    assert done.code == 1, done
    found = seen.findings(run)
    assert found["requires/2"] == "refuted"
    assert {found[f"requires/{n}"] for n in (0, 1, 3, 4, 5, 6)} == {"holds"}


@pytest.mark.soak
@pytest.mark.usefixtures("limits")
def test_a_slow_guest_loses_no_race_it_is_evicted(here: Place) -> None:
    # From the threshold to the limit 12 s: the kubelet looks at least once in between.
    done, run = spoilt(here, "oom-race", "workload.race.grow.rate=8Mi/s")
    assert done.code == 1, done
    assert seen.evicted(run) == {"hog"}
    assert seen.oom_killed(run, scope="node") == set()
    assert seen.findings(run)["requires/0"] == "refuted"

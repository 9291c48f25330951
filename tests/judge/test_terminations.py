"""Only what the kubelet ends for memory is an eviction of ours; a node's own word stands in for the kernel's."""

from __future__ import annotations

from typing import Any

import pytest

from harness.judge.evictions import resource_in
from harness.spec.expectations import Evicted, Grace, Oom, Survives
from harness.units import Seconds
from tests.judge.test_expectations import hard_eviction
from tests.judge.world import EVICTED, World, finding

SHUTDOWN = "Pod was terminated in response to imminent node shutdown."
DISK = (
    "The node was low on resource: ephemeral-storage. Threshold quantity: 10Gi, available: 9Gi. "
    "Container compute was using 2Gi, request is 0, has larger consumption of ephemeral-storage. "
)
NONE = Evicted(fleets=("hog",), min_count=0, max_count=0)
ONE = Evicted(fleets=("hog",), min_count=1, max_count=1)


def terminated(message: str) -> World:
    """A pod with the condition of a kubelet's termination, for the reason a message gives."""
    world = World().node().vmi("hog").at(25)
    condition: dict[str, Any] = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "TerminationByKubelet",
        "message": message,
        "lastTransitionTime": "2026-11-28T12:00:25Z",
    }
    return world.pod("hog", phase="Failed", conditions=[condition])


@pytest.mark.parametrize(
    ("message", "told"),
    [(SHUTDOWN, "Pod was terminated in response to imminent node shutdown"), (DISK, "ephemeral-storage")],
)
def test_a_termination_for_another_reason_is_no_eviction_and_is_named(message: str, told: str) -> None:
    seen = finding(terminated(message), "hog", kind="evicted", expectation=ONE)
    assert seen.outcome == "refuted"
    assert "nobody was evicted (not for memory: d/hog at " in seen.seen
    assert f"): {told})" in seen.seen
    assert finding(terminated(message), "hog", kind="evicted", expectation=NONE).outcome == "holds"


def test_a_termination_for_another_reason_is_no_victim_and_no_survivor() -> None:
    grace = finding(terminated(DISK), "hog", kind="grace", expectation=Grace(of="victim", max=Seconds(60.0)))
    assert (grace.outcome, grace.reason) == ("undecided", "nobody was evicted or OOM-killed in this run")
    lives = finding(terminated(DISK), "hog", kind="survives", expectation=Survives(of="hog"))
    assert (lives.outcome, lives.reason) == ("refuted", "terminated by the kubelet (ephemeral-storage)")


def test_the_same_condition_with_memory_in_its_message_is_an_eviction() -> None:
    assert finding(terminated(EVICTED), "hog", kind="evicted", expectation=ONE).outcome == "holds"


def test_what_no_message_explains_may_be_an_eviction() -> None:
    seen = finding(terminated(""), "hog", kind="evicted", expectation=ONE)
    assert (seen.outcome, seen.reason) == (
        "undecided",
        "the kubelet's message does not say for which resource",
    )


def test_the_events_annotation_names_the_resource_where_its_message_does_not() -> None:
    world = hard_eviction()
    event = next(r for r in world.records if getattr(r, "object", {}).get("reason") == "Evicted")
    event.object["message"] = "Evicted"  # type: ignore[union-attr]
    event.object["metadata"]["annotations"] = {"starved_resource": "pids"}  # type: ignore[union-attr]
    seen = finding(world, "hog", "calm", kind="evicted", expectation=NONE)
    assert (seen.outcome, "pids" in seen.seen) == ("holds", True)


@pytest.mark.parametrize(
    ("message", "resource"),
    [
        (EVICTED, "memory"),
        (DISK, "ephemeral-storage"),
        ("The node was low on resource: inodes. ", "inodes"),
        ("Preempted in order to admit critical pod", "Preempted in order to admit critical pod"),
        ("", ""),
    ],
)
def test_the_resource_in_a_message(message: str, resource: str) -> None:
    assert resource_in(message) == resource


# -- SystemOOM ------------------------------------------------------------------------------------------------------


def system_oom(world: World, *, pid: int = 4711) -> World:
    """The node's event of a kill that no memory cgroup's limit caused."""
    node = {"kind": "Node", "metadata": {"name": "node", "uid": "node"}}
    return world.event(
        "SystemOOM",
        of=node,
        message=f"System OOM encountered, victim process: qemu-system-x86, pid: {pid}",
    )


def killed() -> World:
    """A VMI whose container's status says OOMKilled, and nothing else."""
    world = World().node().vmi("hog").at(25)
    status = {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-11-28T12:00:25Z"}
    return world.pod(
        "hog", phase="Failed", containerStatuses=[{"name": "compute", "state": {"terminated": status}}]
    )


NODE_OOM = Oom(fleets=("hog",), scope="node", min_count=1, max_count=1)


def test_without_any_record_of_the_node_the_scope_of_a_kill_is_open() -> None:
    assert finding(killed(), "hog", kind="oom", expectation=NODE_OOM).outcome == "undecided"


def test_a_system_oom_event_beside_a_container_status_says_node() -> None:
    seen = finding(system_oom(killed()), "hog", kind="oom", expectation=NODE_OOM)
    assert seen.outcome == "holds"
    assert len(seen.proof) == 2


def test_a_system_oom_event_with_a_known_pid_says_node() -> None:
    world = World().node().vmi("hog").at(20).process("hog", pid=4711).at(25)
    assert finding(system_oom(world), "hog", kind="oom", expectation=NODE_OOM).outcome == "holds"


def test_a_system_oom_event_of_somebody_else_is_none_of_the_fleet() -> None:
    world = World().node().vmi("hog").at(20).process("hog", pid=4711).at(25)
    seen = finding(system_oom(world, pid=1), "hog", kind="oom", expectation=NODE_OOM)
    assert seen.outcome == "refuted"


def test_the_kernels_own_record_wins_over_the_event() -> None:
    world = World().node().vmi("hog").at(25).oom("hog", "container")
    assert finding(system_oom(world), "hog", kind="oom", expectation=NODE_OOM).outcome == "refuted"

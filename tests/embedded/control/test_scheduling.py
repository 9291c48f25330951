"""Which node a VMI goes to, and what it is told where there is none."""

import asyncio
from typing import Any

import pytest

from harness.embedded.api.resources import NODES
from harness.embedded.control.selectors import matches
from tests.embedded.scene import Scene, manifest, mi, scene
from tests.embedded.virtual import run

NONE = {"evictionHard": {"memory.available": "50Mi"}}


def unschedulable(s: Scene, name: str) -> str:
    condition = next(c for c in s.pod(name)["status"]["conditions"] if c["type"] == "PodScheduled")
    assert condition["reason"] == "Unschedulable"
    return str(condition["message"])


def node_of(s: Scene, name: str) -> str:
    return str(s.pod(name)["spec"].get("nodeName", ""))


def test_the_emptier_node_takes_the_pod() -> None:
    async def main() -> None:
        async with scene() as s:
            await s.cluster.add_node("small", mi(1024), NONE)
            await s.cluster.add_node("large", mi(4096), NONE)
            s.create(manifest("vm", request="512Mi"))
            await asyncio.sleep(1)
            assert node_of(s, "vm") == "large"
            assert s.vmi("vm")["status"]["nodeName"] == "large"
            assert s.vmi("vm")["metadata"]["labels"] == {"kubevirt.io/nodeName": "large"}

    run(main)


def test_the_refusal_is_worded_as_recorded_and_ends_when_room_appears() -> None:
    async def main() -> None:
        async with scene() as s:
            await s.cluster.add_node("small", mi(512), NONE)
            await s.cluster.add_node("other", mi(512), NONE)
            s.create(
                manifest("big", request="1Gi", spec={"nodeSelector": {"kubernetes.io/hostname": "small"}})
            )
            await asyncio.sleep(1)
            # Insufficient even when empty: preemption can't help there either (fit.go:716).
            assert unschedulable(s, "big") == (
                "0/2 nodes are available: 1 Insufficient memory, 1 node(s) didn't match Pod's node "
                "affinity/selector. no new claims to deallocate, preemption: 0/2 nodes are available: "
                "2 Preemption is not helpful for scheduling."
            )
            status = s.vmi("big")["status"]
            assert [c["type"] for c in status["conditions"]] == ["Ready", "PodScheduled"]
            assert status["phase"] == "Scheduling"
            assert [e["reason"] for e in s.events() if "big" in e["involvedObject"]["name"]] == [
                "SuccessfulCreate",
                "FailedScheduling",
            ]

    run(main)


def test_a_pod_that_would_fit_an_empty_node_waits_for_victims() -> None:
    async def main() -> None:
        async with scene() as s:
            await s.cluster.add_node("n", mi(1024), NONE)
            s.create(manifest("first", request="600Mi"))
            await asyncio.sleep(1)
            s.create(manifest("second", request="600Mi"))
            await asyncio.sleep(1)
            assert unschedulable(s, "second").endswith("1 No preemption victims found for incoming pod.")
            s.guest("first").power_off()
            await asyncio.sleep(12)
            assert node_of(s, "second") == "n"
            assert s.vmi("second")["status"]["phase"] == "Running"

    run(main)


def test_a_cordoned_node_takes_nothing_until_it_is_uncordoned() -> None:
    async def main() -> None:
        async with scene() as s:
            await s.cluster.add_node("n", mi(1024), NONE)
            s.store.mutate(NODES, "", "n", lambda node: node["spec"].update(unschedulable=True))
            s.create(manifest("vm"))
            await asyncio.sleep(1)
            assert "1 node(s) were unschedulable" in unschedulable(s, "vm")
            assert (
                s.store.get(NODES, "", "n")["spec"]["taints"][0]["key"] == "node.kubernetes.io/unschedulable"
            )
            s.store.mutate(NODES, "", "n", lambda node: node["spec"].update(unschedulable=False))
            await asyncio.sleep(1)
            assert s.vmi("vm")["status"]["phase"] == "Running"
            assert "taints" not in s.store.get(NODES, "", "n")["spec"]

    run(main)


def test_a_vmi_waits_for_its_node_to_come() -> None:
    async def main() -> None:
        async with scene() as s:
            s.create(manifest("vm"))
            await asyncio.sleep(1)
            assert unschedulable(s, "vm") == "no nodes available to schedule pods"
            await s.cluster.add_node("n", mi(1024), NONE)
            await asyncio.sleep(1)
            assert s.vmi("vm")["status"]["phase"] == "Running"

    run(main)


def test_an_unknown_priority_class_makes_no_pod() -> None:
    async def main() -> None:
        async with scene() as s:
            await s.cluster.add_node("n", mi(1024), NONE)
            s.create(manifest("vm", spec={"priorityClassName": "nobody"}))
            await asyncio.sleep(5)
            (event,) = [e for e in s.events() if e["reason"] == "FailedCreate"]
            assert event["message"] == (
                "Error creating pod: pods is forbidden: no PriorityClass with name nobody was found"
            )
            assert s.vmi("vm")["status"]["phase"] == "Pending"

    run(main)


LABELS = {"zone": "a", "disks": "3"}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ({"key": "zone", "operator": "In", "values": ["a", "b"]}, True),
        ({"key": "zone", "operator": "NotIn", "values": ["a"]}, False),
        ({"key": "gone", "operator": "NotIn", "values": ["a"]}, True),
        ({"key": "zone", "operator": "Exists"}, True),
        ({"key": "zone", "operator": "DoesNotExist"}, False),
        ({"key": "disks", "operator": "Gt", "values": ["2"]}, True),
        ({"key": "disks", "operator": "Lt", "values": ["3"]}, False),
        ({"key": "zone", "operator": "Gt", "values": ["2"]}, False),
    ],
)
def test_required_node_affinity(expression: dict[str, Any], expected: bool) -> None:
    node = {"metadata": {"name": "n", "labels": LABELS}}
    term = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    spec = {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}}}
    assert matches(spec, node) is expected
    assert not matches(spec | {"nodeSelector": {"zone": "b"}}, node)


def test_affinity_may_name_the_node() -> None:
    node = {"metadata": {"name": "n", "labels": {}}}
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    assert matches({"affinity": {"nodeAffinity": required}}, node)

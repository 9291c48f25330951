"""Every virt-launcher pod and every eviction of the recorded clusters, held against the rules."""

from __future__ import annotations

import functools
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.rules import messages
from harness.rules.eviction import Observation
from harness.rules.grace import pod_grace_seconds
from harness.rules.messages import ContainerUsage
from harness.rules.oom import oom_score_adj
from harness.rules.qos import qos_class
from harness.rules.quantities import Quantity
from harness.rules.resources import render_resources
from harness.rules.thresholds import Amount, Threshold
from harness.units import Bytes, Seconds

_NAMES = sorted(path.name for path in (Path(__file__).parents[1] / "recordings").glob("kind-*.ndjson.gz"))
_EMULATION = {"developerConfiguration": {"useEmulation": True}}
_LIMIT_RANGED = {"kind-1.36-kubevirt-container-oom.ndjson.gz"}


@functools.cache
def _objects(name: str) -> tuple[dict[str, Any], ...]:
    path = Path(__file__).parents[1] / "recordings" / name
    found: list[dict[str, Any]] = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            if '"object"' in line and (
                '"Pod"' in line or '"VirtualMachineInstance"' in line or '"Evicted"' in line
            ):
                served = json.loads(line).get("object")
                if served:
                    found.append(served)
    return tuple(found)


def _pods() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for name in _NAMES:
        vmis = {o["metadata"]["uid"]: o for o in _objects(name) if o.get("kind") == "VirtualMachineInstance"}
        seen: set[str] = set()
        for pod in _objects(name):
            uid = pod["metadata"].get("uid", "")
            vmi = vmis.get(pod["metadata"].get("labels", {}).get("kubevirt.io/created-by", ""))
            if pod.get("kind") == "Pod" and vmi is not None and uid not in seen:
                seen.add(uid)
                yield name, pod, vmi


_LAUNCHERS = list(_pods())


def test_there_are_launchers_to_hold_against() -> None:
    assert len(_LAUNCHERS) >= 20


@pytest.mark.parametrize(
    ("pod", "vmi"),
    [row[1:] for row in _LAUNCHERS],
    ids=[f"{n[10:-10]}/{p['metadata']['name']}" for n, p, _ in _LAUNCHERS],
)
def test_launchers_are_rendered_as_served(pod: dict[str, Any], vmi: dict[str, Any]) -> None:
    rendered = render_resources(vmi, column="main", configuration=_EMULATION)
    for group, ours in (
        ("containers", rendered.containers),
        ("initContainers", rendered.init_containers),
    ):
        theirs = pod["spec"].get(group, [])
        assert [c["name"] for c in ours] == [c["name"] for c in theirs]
        for mine, served in zip(ours, theirs, strict=True):
            assert mine["resources"] == served["resources"]
    assert qos_class(pod["spec"]) == pod["status"]["qosClass"]
    assert qos_class(rendered.pod_spec()) == pod["status"]["qosClass"]
    assert pod["spec"]["terminationGracePeriodSeconds"] == pod_grace_seconds(vmi)


@pytest.mark.parametrize("name", _NAMES)
def test_classes_of_all_pods(name: str) -> None:
    for pod in _objects(name):
        if pod.get("kind") == "Pod" and "qosClass" in pod.get("status", {}):
            assert qos_class(pod["spec"]) == pod["status"]["qosClass"]


_GRAMMAR = re.compile(
    r"The node was low on resource: memory\. Threshold quantity: (?P<limit>\S+), available: (?P<left>\S+)\. "
    r"(?:Container (?P<name>\S+) was using (?P<used>\S+), request is (?P<asked>\S+), has larger consumption of memory\. )?"
)


def _messages() -> list[str]:
    found: set[str] = set()
    for name in _NAMES:
        for served in _objects(name):
            if served.get("kind") == "Event" and served.get("reason") == "Evicted":
                found.add(served["message"])
    return sorted(found)


@pytest.mark.parametrize("message", _messages())
def test_evicted_messages_are_reproduced(message: str) -> None:
    match = _GRAMMAR.fullmatch(message)
    assert match is not None
    threshold = Threshold(
        signal="memory.available", value=Amount(quantity=Quantity.parse(match["limit"])), grace=Seconds(0.0)
    )
    left = Quantity.parse(match["left"]).value()
    observation = Observation(available=left, capacity=Bytes(4 << 30), time=Seconds(0.0))
    containers = [ContainerUsage(name="calm", working_set=Bytes(1), request=Quantity.parse("1Mi"))]
    if match["name"]:
        usage = Quantity.parse(match["used"]).value()
        containers.append(
            ContainerUsage(name=match["name"], working_set=usage, request=Quantity.parse(match["asked"]))
        )
    assert messages.evicted(threshold, observation, containers) == message
    annotations = messages.evicted_annotations(containers)
    assert annotations["starved_resource"] == "memory"
    assert annotations.get("offending_containers") == match["name"]
    assert annotations.get("offending_containers_usage") == match["used"]


def test_there_are_evictions_of_both_grammars() -> None:
    found = _messages()
    assert sum("Container" in message for message in found) >= 3
    assert sum("Container" not in message for message in found) >= 2


def test_the_recorded_oom_score_adj() -> None:
    """kmsg of the container OOM: `CPU 0/TCG invoked oom-killer … oom_score_adj=844` on a node of 2Gi."""
    pod = next(p for n, p, _ in _LAUNCHERS if n in _LIMIT_RANGED and "oom" in p["metadata"]["name"])
    assert oom_score_adj(pod["spec"], "compute", capacity=Bytes(2 << 30), qos="Burstable") == 844


def test_failed_scheduling_as_recorded() -> None:
    text = messages.failed_scheduling({"node(s) had untolerated taint(s)": 2}, nodes=2)
    assert text == (
        "0/2 nodes are available: 2 node(s) had untolerated taint(s). no new claims to deallocate, "
        "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    )
    mixed = messages.failed_scheduling(
        {"node(s) had untolerated taint(s)": 1, "Insufficient memory": 2}, nodes=3, helpless=1
    )
    assert mixed == (
        "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient memory. "
        "no new claims to deallocate, preemption: 0/3 nodes are available: "
        "1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod."
    )


def test_other_words() -> None:
    assert messages.memory_pressure(pressure=True) == (
        "True",
        "KubeletHasInsufficientMemory",
        "kubelet has insufficient memory available",
    )
    assert messages.memory_pressure_event("real-worker", pressure=False) == (
        "Normal",
        "NodeHasSufficientMemory",
        "Node real-worker status is now: NodeHasSufficientMemory",
    )
    assert (
        messages.not_admitted(["MemoryPressure"])
        == "Pod was rejected: The node had condition: [MemoryPressure]. "
    )
    assert messages.out_of_memory(requested=Bytes(3), used=Bytes(2), capacity=Bytes(4)) == (
        "OutOfmemory",
        "Node didn't have enough resource: memory, requested: 3, used: 2, capacity: 4",
    )
    assert messages.system_oom("qemu-kvm", 7)[2] == "System OOM encountered, victim process: qemu-kvm, pid: 7"

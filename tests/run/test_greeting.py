"""Guests that will not say hello are known by what the API says of them, before the time for it is over."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from harness.run import greeting
from harness.run.errors import RunError
from harness.run.fleet import Planned
from harness.run.stream import Stream
from harness.run.world import World
from tests.run.scenarios import load
from tests.run.test_workload import Sink

BODY = "requires: [{survives: {fleet: calm}}]\n"
UNSCHEDULED = {
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/3 nodes are available",
        }
    ]
}
OWNER = {"kind": "VirtualMachineInstance", "name": "hog", "uid": "v1", "controller": True}


def planned(spec: dict[str, Any] | None) -> tuple[Planned, ...]:
    return (Planned(fleet="hog", name="hog", vmi="ns/hog", nonce="a", manifest={"spec": spec or {}}),)


def pod(status: dict[str, Any]) -> dict[str, Any]:
    meta = {"name": "virt-launcher-hog", "namespace": "ns", "uid": "p1", "ownerReferences": [OWNER]}
    return {"kind": "Pod", "metadata": meta, "status": status}


def waiting(reason: str) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": 'Back-off pulling image "r/guest:1"'}}
    return {
        "phase": "Pending",
        "initContainerStatuses": [{"name": "c", "image": "r/guest:1", "state": state}],
    }


async def greet(
    tmp_path: Path, *seen: dict[str, Any], patience: float = 0.2, spec: dict[str, Any] | None = None
) -> float:
    """How long it took until the guest was given up; the last record comes after a while."""
    world, stream = World(), Stream(Sink())
    stream.listen(world.apply)
    world.expect_guest("ns/hog", "a")
    loop = asyncio.get_running_loop()
    for number, status in enumerate(seen):
        item = status if "kind" in status else pod(status)
        loop.call_later(0.1 * number, stream.watch, "MODIFIED", item)
    began = loop.time()
    with pytest.raises(RunError) as caught:
        await greeting.greeted(
            load(tmp_path, BODY), planned(spec), stream=stream, world=world, patience=patience
        )
    took = loop.time() - began
    tmp_path.joinpath("reason").write_text(str(caught.value))
    return took


async def test_a_guest_without_a_node_is_given_up_though_nothing_more_is_recorded(tmp_path: Path) -> None:
    took = await greet(tmp_path, UNSCHEDULED)
    assert tmp_path.joinpath("reason").read_text() == "ns/hog is not scheduled: 0/3 nodes are available"
    assert 0.2 <= took < 5.0


async def test_one_that_finds_a_node_after_all_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(greeting, "READY_BASE", 0.6)
    monkeypatch.setattr(greeting, "READY_PER_GUEST", 0.0)
    took = await greet(tmp_path, UNSCHEDULED, {"phase": "Pending"})
    assert "said no hello within 0.6 s" in tmp_path.joinpath("reason").read_text()
    assert took >= 0.6


async def test_a_guest_whose_pod_may_not_be_made_is_given_up(tmp_path: Path) -> None:
    message = (
        "failed to create virtual machine pod: pods is forbidden: exceeded quota: small, requested: pods=1"
    )
    condition = {"type": "Synchronized", "status": "False", "reason": "FailedCreate", "message": message}
    seen = {
        "kind": "VirtualMachineInstance",
        "metadata": {"name": "hog", "namespace": "ns", "uid": "v1"},
        "status": {"phase": "Pending", "conditions": [condition]},
    }
    took = await greet(tmp_path, seen)
    assert tmp_path.joinpath("reason").read_text() == f"ns/hog has no pod: {message}"
    assert took < 5.0


async def test_an_image_that_is_not_to_be_had_is_named(tmp_path: Path) -> None:
    took = await greet(tmp_path, waiting("ErrImagePull"), waiting("ImagePullBackOff"))
    assert tmp_path.joinpath("reason").read_text() == (
        'ns/hog: image r/guest:1 is not to be had: ImagePullBackOff Back-off pulling image "r/guest:1"'
    )
    assert 0.1 <= took < 5.0, "the first failure may be a passing one"


async def test_a_distribution_is_given_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(greeting, "READY_BASE", 0.1)
    monkeypatch.setattr(greeting, "READY_PER_GUEST", 0.0)
    monkeypatch.setattr(greeting, "DISTRIBUTION", 0.5)
    disk: dict[str, Any] = {"volumes": [{"name": "d", "cloudInitNoCloud": {}}]}
    assert await greet(tmp_path, spec=disk) >= 0.6
    boot: dict[str, Any] = {"domain": {"firmware": {"kernelBoot": {"container": {}}}}}
    assert await greet(tmp_path, spec={**disk, **boot}) < 0.6

"""What a kubelet makes of a node with swap: containers' shares, what it tells, and when it refuses to start."""

import asyncio
from typing import Any

import pytest

from harness.embedded.api.resources import NODES
from harness.embedded.kubelet.shapes import pod_shape
from harness.rules.errors import ThresholdError
from harness.units import Bytes
from tests.embedded.fakes import FakeMachine
from tests.embedded.scene import Scene, manifest, mi, scene
from tests.embedded.virtual import run

LIMITED = {"failSwapOn": False, "memorySwap": {"swapBehavior": "LimitedSwap"}}
GI = 1 << 30


def pod(**resources: Any) -> dict[str, Any]:
    containers = [{"name": "compute", "resources": resources}]
    return {"metadata": {"name": "p", "uid": "u"}, "spec": {"containers": containers}}


@pytest.mark.parametrize(
    ("resources", "behavior", "swap"),
    [
        # 256Mi of 1Gi, of 2Gi of swap
        ({"requests": {"memory": "256Mi"}}, "LimitedSwap", 512 << 20),
        ({"requests": {"memory": "256Mi"}, "limits": {"memory": "300Mi"}}, "LimitedSwap", 512 << 20),
        ({"requests": {"memory": "256Mi"}}, "NoSwap", 0),
        ({"requests": {"memory": "256Mi"}, "limits": {"memory": "256Mi"}}, "LimitedSwap", 0),
        ({}, "LimitedSwap", 0),
    ],
)
def test_a_containers_share(resources: dict[str, Any], behavior: str, swap: int) -> None:
    shape = pod_shape(pod(**resources), capacity=Bytes(GI), swap=Bytes(2 * GI), behavior=behavior)
    assert shape.containers["compute"].swap == swap


def test_without_swap_on_the_node_nothing_is_set() -> None:
    shape = pod_shape(
        pod(requests={"memory": "256Mi"}), capacity=Bytes(GI), swap=Bytes(0), behavior="LimitedSwap"
    )
    assert shape.containers["compute"].swap is None


async def _ready(kubelet: dict[str, Any], s: Scene) -> None:
    s.machine.swap = mi(512)
    await s.cluster.add_node("n", mi(1024), kubelet)
    s.create(manifest("hog", request="64Mi"))
    await s.until_phase("hog", "Running")
    await asyncio.sleep(1)


def test_a_vmis_pod_gets_its_share_and_the_kubelet_tells_of_swap() -> None:
    async def main() -> None:
        async with scene(FakeMachine(accounting="v2")) as s:
            await _ready(LIMITED, s)
            shape = s.guest("hog").pod.shape
            compute = next(c for c in s.pod("hog")["spec"]["containers"] if c["name"] == "compute")
            assert compute["resources"]["requests"]["memory"] == "64Mi"
            # 64Mi of 1Gi, of 512Mi of swap
            assert shape.containers["compute"].swap == 32 << 20
            node = s.store.get(NODES, "", "n")
            assert node["status"]["nodeInfo"]["swap"] == {"capacity": 512 << 20}
            summary = s.cluster.running.stats_summary("n")
            assert (
                summary["node"]["swap"].items()
                >= {
                    "swapAvailableBytes": 512 << 20,
                    "swapUsageBytes": 0,
                }.items()
            )
            (stats,) = summary["pods"]
            assert stats["swap"].keys() == {"time", "swapUsageBytes"}
            (container,) = stats["containers"]
            assert container["swap"]["swapAvailableBytes"] == 32 << 20

    run(main)


def test_on_v1_a_containers_swap_limit_is_told_as_the_kernel_has_it_with_memory() -> None:
    async def main() -> None:
        async with scene(FakeMachine(accounting="v1")) as s:
            s.machine.swap = mi(512)
            await s.cluster.add_node("n", mi(1024), LIMITED)
            vmi = manifest("hog")
            vmi["spec"]["domain"]["resources"]["limits"] = {"memory": "128Mi"}
            s.create(vmi)
            await s.until_phase("hog", "Running")
            await asyncio.sleep(1)
            (stats,) = s.cluster.running.stats_summary("n")["pods"]
            limit = s.guest("hog").pod.shape.containers["compute"].limit
            assert limit is not None
            assert stats["containers"][0]["swap"]["swapAvailableBytes"] == limit + (32 << 20)

    run(main)


def test_without_limited_swap_no_container_may_swap() -> None:
    async def main() -> None:
        async with scene() as s:
            await _ready({"failSwapOn": False}, s)
            assert s.guest("hog").pod.shape.containers["compute"].swap == 0

    run(main)


def test_a_kubelet_that_fails_on_swap_does_not_start_and_leaves_no_node() -> None:
    async def main() -> None:
        async with scene() as s:
            s.machine.swap = mi(512)
            with pytest.raises(ThresholdError, match="running with swap on is not supported"):
                await s.cluster.add_node("n", mi(1024), {"memorySwap": {"swapBehavior": "LimitedSwap"}})
            assert s.machine.nodes["n"].removed
            assert s.store.list(NODES)[0] == []
            s.machine.swap = mi(0)
            await s.cluster.add_node("n", mi(1024), {})
            node = s.store.get(NODES, "", "n")
            assert "swap" not in node["status"]["nodeInfo"]

    run(main)

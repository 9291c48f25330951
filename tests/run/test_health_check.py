from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from harness.embedded.api.resources import NAMESPACES, NODES, PODS
from harness.embedded.api.server import ApiServer
from harness.embedded.api.store import Store
from harness.kube.connection import connect
from harness.kube.objects import Objects
from harness.run.health_check import prove_healthy, why_unhealthy
from tests.embedded.api.fakes import FakeAdmission, FakeHooks


def node(
    name: str, *, pressure: str = "False", ready: str = "True", taints: tuple[str, ...] = ()
) -> dict[str, Any]:
    conditions = [{"type": "MemoryPressure", "status": pressure}, {"type": "Ready", "status": ready}]
    return {
        "metadata": {"name": name},
        "spec": {"taints": [{"key": key, "effect": "NoSchedule"} for key in taints]},
        "status": {"conditions": conditions},
    }


@asynccontextmanager
async def api(
    *nodes: dict[str, Any], verdict: dict[str, Any] | None = None
) -> AsyncIterator[tuple[Store, Objects]]:
    """A server, and a kubelet that says the same of every pod."""
    store = Store(seed=1)
    store.create(NAMESPACES, {"metadata": {"name": "default"}})
    for item in nodes:
        store.create(NODES, item)

    async def kubelet() -> None:
        async with store.subscribe(PODS) as changes:
            async for change in changes:
                if change.type == "ADDED" and verdict is not None:
                    answer(change.object["metadata"]["name"], verdict)

    def answer(name: str, status: dict[str, Any]) -> None:
        def decide(pod: dict[str, Any]) -> None:
            pod["spec"]["nodeName"] = pod["spec"]["nodeSelector"]["kubernetes.io/hostname"]
            pod["status"] = status

        store.mutate(PODS, "default", name, decide)

    async with (
        ApiServer(store, hooks=FakeHooks(), admission=FakeAdmission()) as server,
        connect(server.kubeconfig) as connection,
        asyncio.TaskGroup() as tasks,
    ):
        task = tasks.create_task(kubelet())
        yield store, Objects(connection)
        task.cancel()


TAKEN = {
    "phase": "Pending",
    "containerStatuses": [{"name": "pause", "state": {"waiting": {"reason": "ContainerCreating"}}}],
}
REFUSED = {"phase": "Failed", "reason": "Evicted", "message": "The node had condition: [MemoryPressure]. "}


async def test_a_node_that_takes_a_pod_is_healthy_and_the_pod_is_gone() -> None:
    async with api(node("a"), node("b"), verdict=TAKEN) as (store, objects):
        health = await prove_healthy(objects, ["a", "b"], deadline=10)
        assert health.problems == ()
        assert health.healthy
        for _ in range(100):
            left = [item.object["metadata"] for item in store.encoded_list(PODS)]
            if all("deletionTimestamp" in meta for meta in left):
                break
            await asyncio.sleep(0.02)
        assert all("deletionTimestamp" in meta for meta in left)


async def test_a_kubelet_that_turns_the_pod_away_is_not() -> None:
    async with api(node("a"), verdict=REFUSED) as (_, objects):
        health = await prove_healthy(objects, ["a"], deadline=10)
    assert health.problems == ("node a turned a test pod away: The node had condition: [MemoryPressure]. ",)


async def test_pressure_is_waited_for() -> None:
    async with api(
        node("a", pressure="True", taints=("node.kubernetes.io/memory-pressure",)), verdict=TAKEN
    ) as (
        store,
        objects,
    ):

        async def recover() -> None:
            await asyncio.sleep(0.2)
            store.mutate(
                NODES, "", "a", lambda o: o.update(node("a", taints=("node.kubernetes.io/memory-pressure",)))
            )
            await asyncio.sleep(0.1)
            store.mutate(NODES, "", "a", lambda o: o.update(spec={}, status=node("a")["status"]))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(recover())
            proving = tasks.create_task(prove_healthy(objects, ["a"], deadline=10))
    assert proving.result().healthy
    assert proving.result().seconds >= 0.3


async def test_a_node_that_does_not_answer_is_given_up_soon_and_one_that_is_back_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("harness.run.health_check.ABSENCE", 0.4)
    running = {"phase": "Running"}
    async with api(node("gone", ready="Unknown"), node("back", ready="False"), verdict=running) as (
        store,
        objects,
    ):

        async def come_back() -> None:
            await asyncio.sleep(0.2)
            ready = [{"type": "MemoryPressure", "status": "True"}, {"type": "Ready", "status": "True"}]
            store.mutate(NODES, "", "back", lambda n: n["status"].update(conditions=ready))
            await asyncio.sleep(0.5)  # pressure is waited for as long as ever
            well = [{"type": "Ready", "status": "True"}]
            store.mutate(NODES, "", "back", lambda n: n["status"].update(conditions=well))

        task = asyncio.create_task(come_back())
        health = await prove_healthy(objects, ["gone", "back"], deadline=20.0)
        await task
    assert health.problems == ("node gone is not Ready",)
    assert health.lost == health.problems
    assert health.seconds < 10.0


async def test_what_does_not_recover_in_time_is_said() -> None:
    async with api(node("a", pressure="True"), node("b"), verdict=None) as (_, objects):
        health = await prove_healthy(objects, ["a", "b", "c"], deadline=0.5)
    assert health.problems == (
        "node a has MemoryPressure",
        "node b did not take a test pod in time",
        "node c was not seen",
    )


def test_what_keeps_a_node_from_taking_pods() -> None:
    assert why_unhealthy(node("a")) == ""
    assert why_unhealthy(node("a", ready="Unknown")) == "is not Ready"
    assert why_unhealthy(node("a", pressure="True")) == "has MemoryPressure"
    assert why_unhealthy(node("a", taints=("dedicated",))) == ""
    assert why_unhealthy(node("a", taints=("node.kubernetes.io/memory-pressure",))) == (
        "has the taint node.kubernetes.io/memory-pressure"
    )

"""When the eviction manager acts, on whom, and how long what it does takes."""

import asyncio
from typing import Any

import pytest

from harness.embedded.api.resources import NODES
from harness.rules.errors import ThresholdError
from tests.embedded.scene import Scene, manifest, mi, scene
from tests.embedded.virtual import run

SOFT = {
    "evictionHard": {"memory.available": "50Mi"},
    "evictionSoft": {"memory.available": "350Mi"},
    "evictionSoftGracePeriod": {"memory.available": "5s"},
}
HARD = {"evictionHard": {"memory.available": "200Mi"}}


def now() -> float:
    return asyncio.get_running_loop().time()


async def when(s: Scene, reason: str, *, within: float = 120.0) -> float:
    """Wait for an event and return the loop time."""
    for _ in range(int(within / 0.01)):
        if any(e["reason"] == reason for e in s.events()):
            return now()
        await asyncio.sleep(0.01)
    raise AssertionError(f"no {reason} within {within} s")


def victims(s: Scene) -> list[str]:
    return [e["involvedObject"]["name"].split("-")[2] for e in s.events() if e["reason"] == "Evicted"]


def guaranteed(name: str) -> dict[str, Any]:
    vmi = manifest(name)
    amounts = {"memory": "512Mi", "cpu": "1"}
    vmi["spec"]["domain"]["resources"] = {"requests": amounts, "limits": amounts}
    return vmi


def test_nothing_happens_above_the_threshold() -> None:
    async def main() -> None:
        async with scene() as s:
            await s.cluster.add_node("n", mi(1024), HARD)
            s.create(manifest("hog"))
            await asyncio.sleep(2)
            s.guest("hog").resident = mi(823)
            await asyncio.sleep(60)
            assert s.vmi("hog")["status"]["phase"] == "Running"
            assert not victims(s)

    run(main)


def test_a_crossing_is_noticed_within_one_pass_and_only_strictly_below() -> None:
    async def main() -> None:
        async with scene() as s:
            await s.cluster.add_node("n", mi(1024), HARD)
            s.create(manifest("hog"))
            await asyncio.sleep(25)
            s.guest("hog").resident = mi(824)
            await asyncio.sleep(11)
            assert not victims(s)
            s.guest("hog").resident = mi(824.1)
            crossed = now()
            assert 0 <= await when(s, "Evicted") - crossed <= 10.05

    run(main)


@pytest.mark.parametrize(
    ("cap", "low", "high"),
    [(None, 2.0, 2.3), (0, 2.0, 2.3), (-1, 2.0, 2.3), (10, 10.0, 10.3), (12, 12.0, 12.3)],
)
def test_the_grace_of_a_soft_eviction_is_the_cap_but_two_seconds_at_least(
    cap: int | None, low: float, high: float
) -> None:
    async def main() -> float:
        kubelet = SOFT if cap is None else SOFT | {"evictionMaxPodGracePeriod": cap}
        async with scene() as s:
            await s.cluster.add_node("n", mi(768), kubelet)
            s.create(manifest("hog", guest="256Mi", annotations={"density.dev/deaf": "1"}))
            await asyncio.sleep(2)
            s.guest("hog").resident = mi(450)
            evicted = await when(s, "Evicted")
            assert evicted >= 2 + 5
            ended = await s.guest("hog").wait()
            assert ended.signal == 9
            return ended.at - evicted

    assert low <= run(main) <= high


def test_a_soft_threshold_must_hold_without_interruption() -> None:
    async def main() -> None:
        async with scene() as s:
            await s.cluster.add_node(
                "n", mi(768), SOFT | {"evictionSoftGracePeriod": {"memory.available": "15s"}}
            )
            s.create(manifest("hog", guest="256Mi"))
            await asyncio.sleep(2)
            for _ in range(4):
                s.guest("hog").resident = mi(450)
                await asyncio.sleep(20)
                s.guest("hog").resident = mi(100)
                await asyncio.sleep(10)
            assert not victims(s)

    run(main)


def test_a_vmi_whose_own_grace_is_shorter_than_the_cap_is_destroyed_by_virt_handler() -> None:
    async def main() -> None:
        async with scene() as s:
            await s.cluster.add_node("n", mi(768), SOFT | {"evictionMaxPodGracePeriod": 60})
            vmi = manifest("hog", guest="256Mi", annotations={"density.dev/deaf": "true"})
            vmi["spec"]["terminationGracePeriodSeconds"] = 6
            s.create(vmi)
            await asyncio.sleep(2)
            guest = s.guest("hog")
            guest.resident = mi(450)
            evicted = await when(s, "Evicted")
            ended = await guest.wait()
            assert guest.terminated
            assert 6.0 <= ended.at - evicted <= 6.1
            assert [round(at - evicted, 2) for at in guest.presses] == [0.05, 5.05]
            await asyncio.sleep(10)
            assert s.vmi("hog")["status"]["phase"] == "Failed"
            assert s.pod("hog")["status"]["phase"] == "Succeeded"

    run(main)


def test_a_vmi_without_grace_succeeds_at_once() -> None:
    async def main() -> None:
        async with scene() as s:
            await s.cluster.add_node("n", mi(1024), HARD)
            vmi = manifest("hog", annotations={"density.dev/deaf": "true"})
            vmi["spec"]["terminationGracePeriodSeconds"] = 0
            s.create(vmi)
            await asyncio.sleep(2)
            s.guest("hog").resident = mi(900)
            await when(s, "Evicted")
            await asyncio.sleep(1)
            assert s.vmi("hog")["status"]["phase"] == "Succeeded"
            assert not s.guest("hog").presses

    run(main)


def test_who_exceeds_its_request_goes_first_whatever_its_class() -> None:
    async def main() -> list[str]:
        async with scene() as s:
            await s.cluster.add_node("n", mi(4096), {"evictionHard": {"memory.available": "2Gi"}})
            s.create(guaranteed("sure"))
            s.create(manifest("half", guest="2Gi", request="1Gi"))
            await asyncio.sleep(2)
            s.guest("sure").resident = mi(700)
            s.guest("half").resident = mi(300)
            await asyncio.sleep(40)
            # A daemon outside the pods grows: the full Guaranteed VM goes before the half-empty Burstable one.
            s.machine.nodes["n"].daemons = mi(1100)
            await when(s, "Evicted")
            (event,) = [e for e in s.events() if e["reason"] == "Evicted"]
            # Nobody exceeds its request: the message names no container (seen, daemon-evicts-guaranteed).
            assert event["message"] == (
                "The node was low on resource: memory. Threshold quantity: 2Gi, available: 1996Mi. "
            )
            assert event["metadata"]["annotations"] == {"starved_resource": "memory"}
            return victims(s)

    assert run(main) == ["sure"]


def test_reservations_are_as_on_the_recorded_node() -> None:
    async def main() -> None:
        async with scene() as s:
            kubelet = {
                "systemReserved": {"memory": "500Mi"},
                "kubeReserved": {"memory": "100Mi"},
                "evictionHard": {"memory.available": "200Mi"},
            }
            await s.cluster.add_node("n", mi(2048), kubelet)
            status = s.store.get(NODES, "", "n")["status"]
            assert (status["capacity"]["memory"], status["allocatable"]["memory"]) == ("2Gi", "1248Mi")
            assert s.machine.nodes["n"].kubepods_limit == 1518338048
            pods = s.cluster.running.stats_summary("n")["node"]["systemContainers"][0]
            assert (pods["name"], pods["memory"]["availableBytes"]) == ("pods", 1518338048)
            await s.cluster.configure("n", {"enforceNodeAllocatable": []})
            await asyncio.sleep(1)
            assert s.machine.nodes["n"].kubepods_limit == mi(2048)
            assert s.store.get(NODES, "", "n")["status"]["allocatable"]["memory"] == "1948Mi"

    run(main)


def test_the_copy_of_a_hard_threshold_guards_what_pods_may_use_together() -> None:
    async def main() -> str:
        async with scene() as s:
            kubelet = {"systemReserved": {"memory": "1Gi"}, "evictionHard": {"memory.available": "200Mi"}}
            await s.cluster.add_node("n", mi(2048), kubelet)
            s.create(manifest("hog", guest="1Gi"))
            await asyncio.sleep(2)
            s.guest("hog").resident = mi(
                900
            )  # 1148Mi of the node are free, but only 124Mi of the pods' share
            await when(s, "Evicted")
            (event,) = [e for e in s.events() if e["reason"] == "Evicted"]
            return str(event["message"])

    assert run(main).startswith(
        "The node was low on resource: memory. Threshold quantity: 200Mi, available: 124Mi. "
    )


def test_the_lower_priority_goes_before_the_larger_excess() -> None:
    async def main() -> list[str]:
        async with scene(priorities={"precious": 1000}) as s:
            await s.cluster.add_node("n", mi(4096), {"evictionHard": {"memory.available": "2Gi"}})
            s.create(manifest("big", spec={"priorityClassName": "precious"}))
            s.create(manifest("small"))
            await asyncio.sleep(2)
            s.guest("big").resident = mi(1500)
            s.guest("small").resident = mi(300)
            await asyncio.sleep(40)
            s.machine.nodes["n"].daemons = mi(400)
            await when(s, "Evicted")
            return victims(s)

    assert run(main) == ["small"]


def test_ranking_uses_statistics_that_are_ten_to_twenty_seconds_old() -> None:
    async def main() -> tuple[list[str], float]:
        async with scene() as s:
            await s.cluster.add_node("n", mi(2048), HARD)
            s.create(manifest("first", request="64Mi"))
            s.create(manifest("second", request="64Mi"))
            await asyncio.sleep(60)
            statistics = s.cluster.kubelet("n").statistics
            uid = s.pod("second")["metadata"]["uid"]
            row = statistics.pods[uid].pod
            assert row is not None
            s.guest("first").resident = mi(200)
            s.guest("second").resident = mi(1700)
            age = s.cluster.clock.now() - row.time
            await when(s, "EvictionThresholdMet")
            return victims(s), age

    found, age = run(main)
    assert 0 <= age <= 30
    assert len(found) == 1


def test_one_pod_a_pass_and_the_next_pass_right_after_the_clean_up() -> None:
    async def main() -> list[float]:
        async with scene() as s:
            await s.cluster.add_node("n", mi(1024), HARD)
            for name in ("one", "two"):
                s.create(manifest(name, request="64Mi", annotations={"density.dev/deaf": "1"}))
            await asyncio.sleep(2)
            s.guest("one").resident = s.guest("two").resident = mi(480)
            s.machine.nodes["n"].daemons = mi(700)
            times: list[float] = []
            while len(times) < 2:
                await asyncio.sleep(0.05)
                if len(victims(s)) > len(times):
                    times.append(now())
            return times

    first, second = run(main)
    # 2.15 s kill + 0.8 s statuses + 0.3 s teardown, polled once a second after the kill.
    assert 3.0 <= second - first <= 4.3


def test_a_soft_eviction_blocks_a_hard_one() -> None:
    async def main() -> None:
        async with scene() as s:
            await s.cluster.add_node("n", mi(1024), SOFT | {"evictionMaxPodGracePeriod": 20})
            for name in ("deaf", "other"):
                s.create(manifest(name, annotations={"density.dev/deaf": "1"}))
            await asyncio.sleep(2)
            s.guest("deaf").resident = mi(700)
            started = await when(s, "Evicted")
            s.machine.nodes["n"].daemons = mi(990)  # far below the hard threshold, and it stays
            await asyncio.sleep(19)
            assert len(victims(s)) == 1
            await asyncio.sleep(6)
            assert now() - started < 26
            assert len(victims(s)) == 2

    run(main)


def test_pressure_is_reported_by_the_status_loop_tainted_and_cleared_after_the_transition() -> None:
    async def main() -> None:
        async with scene() as s:
            await s.cluster.add_node("n", mi(1024), HARD | {"evictionPressureTransitionPeriod": "30s"})
            s.create(manifest("hog"))
            await asyncio.sleep(2)
            s.guest("hog").resident = mi(900)
            evicted = await when(s, "Evicted")
            pressed = await when(s, "NodeHasInsufficientMemory")
            assert pressed - evicted <= 10.5
            await asyncio.sleep(0.01)
            node = s.store.get(NODES, "", "n")
            assert [t["key"] for t in node["spec"]["taints"]] == ["node.kubernetes.io/memory-pressure"]
            s.create(manifest("late"))
            await asyncio.sleep(1)
            scheduled = next(c for c in s.pod("late")["status"]["conditions"] if c["type"] == "PodScheduled")
            assert scheduled["message"] == (
                "0/1 nodes are available: 1 node(s) had untolerated taint(s). no new claims to deallocate, "
                "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
            )
            await s.until_phase("late", "Running")
            assert 30 <= now() - evicted <= 30 + 10.5 + 10.5
            assert "taints" not in s.store.get(NODES, "", "n")["spec"]

    run(main)


def test_a_kubelet_restart_forgets_what_was_observed_and_tells_pressure_at_once() -> None:
    async def main() -> None:
        async with scene() as s:
            await s.cluster.add_node("n", mi(1024), {"evictionHard": {"memory.available": "100Mi"}})
            s.create(manifest("hog", annotations={"density.dev/deaf": "1"}))
            await asyncio.sleep(2)
            s.guest("hog").resident = mi(800)
            await asyncio.sleep(20)
            restarted = now()
            await s.cluster.configure("n", SOFT | {"evictionSoftGracePeriod": {"memory.available": "15s"}})
            await asyncio.sleep(1)
            assert s.reasons("n")[-1] != "Evicted"
            assert any(e["reason"] == "NodeHasInsufficientMemory" for e in s.events())
            assert 15 <= await when(s, "Evicted") - restarted <= 25.1
            served = s.cluster.running.configz("n")["kubeletconfig"]
            assert served["evictionSoft"] == {"memory.available": "350Mi"}
            assert served["evictionPressureTransitionPeriod"] == "5m0s"

    run(main)


def test_a_kubelet_refuses_to_start_with_an_unknown_signal() -> None:
    async def main() -> None:
        async with scene() as s:
            with pytest.raises(ThresholdError, match=r"unsupported eviction signal memory\.availible"):
                await s.cluster.add_node("n", mi(1024), {"evictionHard": {"memory.availible": "1Gi"}})
            assert not s.machine.nodes

    run(main)


def test_a_pass_that_comes_late_is_told() -> None:
    async def main() -> list[tuple[str, Any]]:
        told: list[tuple[str, Any]] = []
        loop: Any = asyncio.get_running_loop()
        async with scene(notes=lambda what, _text, data: told.append((what, dict(data)))) as s:
            await s.cluster.add_node("n", mi(1024), HARD)
            await asyncio.sleep(9)
            loop.now += 3.0  # something held the loop for three seconds
            await asyncio.sleep(1)
        return told

    told = run(main)
    assert ("late-pass", "eviction pass") in [(what, data["pass"]) for what, data in told]
    assert all(data["late"] > 0.25 for _, data in told)


def test_a_critical_pod_is_never_evicted() -> None:
    async def main() -> list[str]:
        async with scene() as s:
            await s.cluster.add_node("n", mi(2048), HARD)
            s.create(manifest("critical", spec={"priorityClassName": "system-node-critical"}))
            s.create(manifest("meek", request="256Mi"))
            await asyncio.sleep(2)
            s.guest("critical").resident = mi(1900)
            s.guest("meek").resident = mi(10)
            await asyncio.sleep(60)
            assert s.vmi("critical")["status"]["phase"] == "Running"
            # Guaranteed and node-critical pods alike: -997 (qos/policy.go).
            assert s.guest("critical").oom_score_adj == -997
            return victims(s)

    assert run(main) == ["meek"]


def test_the_next_victim_goes_while_the_signal_stays_crossed() -> None:
    async def main() -> list[str]:
        async with scene() as s:
            await s.cluster.add_node("n", mi(2048), HARD)
            for name, request in (("one", "64Mi"), ("two", "128Mi"), ("three", "1Gi")):
                s.create(manifest(name, guest="1Gi", request=request))
            await asyncio.sleep(2)
            for name in ("one", "two", "three"):
                s.guest(name).resident = mi(300)
            await asyncio.sleep(40)
            s.machine.nodes["n"].daemons = mi(1400)
            await asyncio.sleep(30)
            return victims(s)

    # Two exceed their requests, the larger excess first; then 300Mi + 1400Mi leave 348Mi.
    assert run(main) == ["one", "two"]


def test_minimum_reclaim_goes_on_until_it_is_met() -> None:
    async def main(reclaim: str) -> list[str]:
        async with scene() as s:
            kubelet = HARD | {"evictionMinimumReclaim": {"memory.available": reclaim}}
            await s.cluster.add_node("n", mi(2048), kubelet)
            for name in ("one", "two"):
                s.create(manifest(name, guest="1Gi"))
            await asyncio.sleep(2)
            s.guest("one").resident, s.guest("two").resident = mi(500), mi(300)
            await asyncio.sleep(40)
            s.machine.nodes["n"].daemons = mi(1100)  # 148Mi left; 648Mi without `one`
            await asyncio.sleep(30)
            return victims(s)

    assert run(lambda: main("0")) == ["one"]
    assert run(lambda: main("500Mi")) == ["one", "two"]

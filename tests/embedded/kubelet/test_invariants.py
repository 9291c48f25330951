"""Whatever happens to a node, in whatever order: nothing hangs, nothing is left over, no object tells two stories."""

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.embedded.api.errors import NotFound
from harness.embedded.api.objects import Object
from harness.embedded.api.resources import PODS, VMIS
from tests.embedded.fakes import FakeMachine
from tests.embedded.scene import Scene, manifest, mi, scene
from tests.embedded.virtual import run

PHASES = ["Pending", "Scheduling", "Scheduled", "Running", "Succeeded", "Failed"]
KUBELETS: list[dict[str, Any]] = [
    {"evictionHard": {"memory.available": "200Mi"}, "evictionPressureTransitionPeriod": "5s"},
    {
        "evictionHard": {"memory.available": "50Mi"},
        "evictionSoft": {"memory.available": "400Mi"},
        "evictionSoftGracePeriod": {"memory.available": "3s"},
        "evictionMaxPodGracePeriod": 12,
    },
]

names = st.sampled_from(["a", "b", "c"])
action = st.one_of(
    st.tuples(st.just("create"), names, st.booleans()),
    st.tuples(
        st.sampled_from(["delete", "delete-pod", "force", "power-off", "panic", "oom"]), names, st.just(0)
    ),
    st.tuples(st.just("use"), names, st.integers(0, 700)),
    st.tuples(st.just("daemons"), st.just(""), st.integers(0, 900)),
    st.tuples(st.just("configure"), st.just(""), st.integers(0, 1)),
    st.tuples(st.just("wait"), st.just(""), st.sampled_from([0.01, 0.12, 0.3, 2.1, 11.0, 25.0])),
)


def apply(s: Scene, what: str, name: str, argument: Any) -> None:
    guest = s.machine.guests.get(f"default_{name}")
    match what:
        case "create":
            if all(vmi["metadata"]["name"] != name for vmi in s.store.list(VMIS)[0]):
                s.create(manifest(name, annotations={"density.dev/deaf": str(int(argument))}))
        case "delete":
            s.store.delete(VMIS, "default", name)
        case "delete-pod" | "force":
            pod = s.pod(name)["metadata"]["name"]
            s.store.delete(PODS, "default", pod, grace=0 if what == "force" else None)
        case "use" if guest is not None and guest.alive:
            guest.resident = mi(argument)
        case "daemons":
            s.machine.nodes["n"].daemons = mi(argument)
        case "power-off" if guest is not None:
            guest.power_off()
        case "panic" if guest is not None and guest.alive:
            guest.panic()
        case "oom" if guest is not None and guest.alive:
            guest.oom()
        case _:
            pass


def check_pod(pod: Object) -> None:
    status = pod.get("status", {})
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    phase = status.get("phase")
    assert len(conditions) == len(status.get("conditions") or ())
    if "DisruptionTarget" in conditions:
        assert phase in {"Succeeded", "Failed"}
    if status.get("reason") == "Evicted":
        assert phase == "Failed"
        assert "DisruptionTarget" in conditions or "Pod was rejected" in status["message"]
    if phase in {"Succeeded", "Failed"}:
        states = [c["state"] for c in status.get("containerStatuses", ())]
        assert all("running" not in state for state in states)
        codes = [state["terminated"]["exitCode"] for state in states if "terminated" in state]
        assert phase == "Failed" or codes == [0]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(action, max_size=25), st.sampled_from(["v1", "v2"]))
def test_any_order_of_events_ends_clean(actions: list[tuple[str, str, Any]], accounting: Any) -> None:
    machine = FakeMachine(accounting=accounting)

    async def main() -> list[tuple[str, Object]]:
        async with scene(machine) as s:
            await s.cluster.add_node("n", mi(1024), KUBELETS[0])
            for what, name, argument in actions:
                if what == "wait":
                    await asyncio.sleep(argument)
                elif what == "configure":
                    await s.cluster.configure("n", KUBELETS[argument])
                else:
                    try:
                        apply(s, what, name, argument)
                    except (NotFound, StopIteration):
                        continue
            for vmi in s.store.list(VMIS)[0]:
                s.store.delete(VMIS, "default", vmi["metadata"]["name"])
            await asyncio.sleep(120)
            assert not s.store.list(VMIS)[0]
            assert not s.store.list(PODS)[0]
            assert not s.machine.nodes["n"].pods
            assert not s.cluster.kubelet("n").workers
            return list(s.changes)

    changes = run(main)
    assert all(not guest.alive for guest in machine.guests.values())
    last: dict[str, int] = {}
    for _, obj in changes:
        if obj["kind"] == "Pod":
            check_pod(obj)
        if obj["kind"] == "VirtualMachineInstance":
            uid, phase = obj["metadata"]["uid"], PHASES.index(obj["status"]["phase"])
            assert phase == last.get(uid, 0) or (phase > last.get(uid, 0) and last.get(uid, 0) < 4)
            last[uid] = phase

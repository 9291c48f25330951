from __future__ import annotations

from typing import Any

from harness.cluster.kubeconfig import quota

AGENT = {
    "kind": "VirtualMachineInstance",
    "metadata": {"name": "hog"},
    "spec": {
        "domain": {
            "devices": {"autoattachGraphicsDevice": False, "autoattachPodInterface": False},
            "memory": {"guest": "256Mi"},
            "resources": {"requests": {"memory": "64Mi"}, "overcommitGuestOverhead": True},
        }
    },
}


def of(hard: dict[str, str], used: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "q"},
        "spec": {"hard": hard, **spec},
        "status": {"hard": hard, "used": used or {}},
    }


def limits(**entry: Any) -> dict[str, Any]:
    return {"metadata": {"name": "l"}, "spec": {"limits": [{"type": "Container", **entry}]}}


def ask(
    quotas: list[dict[str, Any]], ranges: list[dict[str, Any]] | None = None, *, count: int = 3
) -> quota.Answer:
    ranges = ranges or []
    wanted = quota.wanted(
        [AGENT] * count, column="v1.9", configuration={}, namespace=quota.surroundings(quotas, ranges)
    )
    return quota.check(quotas, ranges, wanted)


def test_a_fleet_that_fits_is_let_through() -> None:
    # 64Mi and the console log's 35M each
    assert ask([of({"requests.memory": "310M", "pods": "3"})]) == quota.Answer()


def test_one_that_does_not_is_refused_with_the_numbers() -> None:
    assert ask([of({"requests.memory": "300M"})]).refusals == [
        "ResourceQuota q: requests.memory of 300M, used 0, the fleet asks 306326592"
    ]
    assert ask([of({"pods": "5"}, {"pods": "3"})]).refusals == [
        "ResourceQuota q: pods of 5, used 3, the fleet asks 3"
    ]
    assert ask([of({"count/virtualmachineinstances.kubevirt.io": "2"})]).refusals


def test_a_vm_counts_as_its_vmi() -> None:
    vm = {
        "kind": "VirtualMachine",
        "metadata": {"name": "vm"},
        "spec": {"template": {"spec": AGENT["spec"]}},
    }
    wanted = quota.wanted([vm], column="v1.9", configuration={})
    assert wanted.amounts["requests.memory"].value() == 64 * (1 << 20) + 35_000_000
    assert wanted.unknown == ()


def test_a_quota_with_scopes_is_not_guessed_at() -> None:
    answer = ask([of({"pods": "1"}, scopes=["BestEffort"])])
    assert answer.refusals == []
    assert "scopes" in answer.notes[0]


def test_a_limit_range_is_told() -> None:
    answer = ask([], [limits(default={"memory": "450Mi"}, defaultRequest={"memory": "100Mi"})])
    assert answer.refusals == []
    assert "one of 450Mi: QEMU is killed there" in answer.notes[0]

"""Whether a fleet fits the quotas of its namespace, and what a LimitRange will do to it. Pure.

Sources: kubernetes.io/docs/concepts/policy/resource-quotas and /limit-range; KubeVirt renders the launcher pods that
count (`rules.resources`), and `count/virtualmachineinstances.kubevirt.io` counts the VMIs themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.rules.errors import RulesError
from harness.rules.pods import pod_amount
from harness.rules.quantities import Quantity
from harness.rules.resources import Namespace, render_resources

_COUNTS = ("pods", "count/pods")
_AMOUNTS = {
    "requests.memory": ("requests", "memory"),
    "memory": ("requests", "memory"),
    "limits.memory": ("limits", "memory"),
    "requests.cpu": ("requests", "cpu"),
    "cpu": ("requests", "cpu"),
    "limits.cpu": ("limits", "cpu"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a fleet's pods ask for together: quota name → amount."""

    amounts: Mapping[str, Quantity]
    unknown: tuple[str, ...] = ()
    """VMIs whose pods could not be computed, and why."""


@dataclass(slots=True, kw_only=True)
class Answer:
    """`refusals`: it can't fit, and why. `notes`: what a run on this namespace should know."""

    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def wanted(
    manifests: Iterable[Mapping[str, Any]],
    *,
    column: str,
    configuration: Mapping[str, Any],
    namespace: Namespace | None = None,
) -> Wanted:
    """Add up what the launcher pods of VMI (or VM) manifests ask for, as that KubeVirt version renders them."""
    zero = Quantity.of_bytes(0)
    total = dict.fromkeys(_AMOUNTS, zero)
    count, unknown = 0, []
    for manifest in manifests:
        count += 1
        vmi = _vmi(manifest)
        name = str((manifest.get("metadata") or {}).get("name", ""))
        try:
            rendered = render_resources(vmi, column=column, configuration=configuration, namespace=namespace)
            spec = rendered.pod_spec()
            for quota, (kind, resource) in _AMOUNTS.items():
                total[quota] += pod_amount(spec, kind, resource)
        except RulesError as error:
            unknown.append(f"{name}: {error}")
    one = Quantity.of_bytes(count)
    counted = {
        **dict.fromkeys(_COUNTS, one),
        "count/virtualmachineinstances.kubevirt.io": one,
    }
    return Wanted(amounts={**total, **counted}, unknown=tuple(unknown))


def surroundings(quotas: Iterable[Mapping[str, Any]], limit_ranges: Iterable[Mapping[str, Any]]) -> Namespace:
    """Return what of a namespace changes the pods that KubeVirt renders in it."""
    bounds = {key for quota in quotas for key in (quota.get("spec") or {}).get("hard") or ()}
    return Namespace(
        memory_quota="limits.memory" in bounds,
        cpu_quota="limits.cpu" in bounds,
        limit_range=container_limits(limit_ranges) or None,
    )


def container_limits(limit_ranges: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the `Container` entry of a namespace's LimitRanges (their defaults merged), {} if there is none."""
    merged: dict[str, Any] = {}
    for item in limit_ranges:
        for entry in (item.get("spec") or {}).get("limits") or ():
            if entry.get("type") == "Container":
                for key in ("default", "defaultRequest", "min", "max"):
                    if entry.get(key):
                        merged.setdefault(key, {}).update(entry[key])
    return merged


def check(
    quotas: Iterable[Mapping[str, Any]], limit_ranges: Iterable[Mapping[str, Any]], fleet: Wanted
) -> Answer:
    """Hold a fleet against what is left of each quota."""
    answer = Answer()
    for name in fleet.unknown:
        answer.notes.append(f"what {name} was not counted against quotas")
    for quota in quotas:
        _check_quota(quota, fleet, answer)
    limits = container_limits(limit_ranges)
    if memory := (limits.get("default") or {}).get("memory"):
        answer.notes.append(
            f"a LimitRange gives every container without a memory limit one of {memory}:"
            " QEMU is killed there, whatever the node has"
        )
    if memory := (limits.get("defaultRequest") or {}).get("memory"):
        answer.notes.append(f"a LimitRange gives containers without a memory request one of {memory}")
    return answer


def _check_quota(quota: Mapping[str, Any], fleet: Wanted, answer: Answer) -> None:
    name = quota["metadata"]["name"]
    spec = quota.get("spec") or {}
    if spec.get("scopes") or spec.get("scopeSelector"):
        answer.notes.append(f"ResourceQuota {name} holds for some pods only (scopes): not checked beforehand")
        return
    hard = (quota.get("status") or {}).get("hard") or spec.get("hard") or {}
    used = (quota.get("status") or {}).get("used") or {}
    for key, limit in hard.items():
        asked = fleet.amounts.get(key)
        if asked is None:
            continue
        have, bound = Quantity.of(used.get(key, "0")), Quantity.of(limit)
        if bound < have + asked:
            answer.refusals.append(
                f"ResourceQuota {name}: {key} of {limit}, used {have}, the fleet asks {asked}"
            )
        if key.startswith("limits.") and asked.is_zero():
            answer.refusals.append(
                f"ResourceQuota {name} demands {key} of every pod; the fleet's pods have none"
            )


def _vmi(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    if manifest.get("kind") == "VirtualMachine":
        template = (manifest.get("spec") or {}).get("template") or {}
        return {"kind": "VirtualMachineInstance", "metadata": template.get("metadata") or {}, **template}
    return manifest

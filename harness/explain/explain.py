"""`explain`: what KubeVirt requests for a VMI, and what scheduler, kubelet and kernel make of it.

Pure. Every number comes from harness.rules; what the page gets wrong about it is in harness.explain.cautions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from harness.explain.admitting import admit
from harness.explain.cautions import cautions
from harness.explain.model import Admission, Container, Eviction, Explanation, Fit, Pod, Setting
from harness.explain.sources import Manifest, point
from harness.rules import columns, grace
from harness.rules.allocatable import NodeMemory, node_memory
from harness.rules.device_plugins import unrenderable
from harness.rules.errors import RulesError
from harness.rules.oom import oom_score_adj
from harness.rules.pods import is_sidecar, pod_request
from harness.rules.qos import qos
from harness.rules.resources import render_resources
from harness.rules.scheduling import MAX_PODS, Room, how_many
from harness.rules.swap import container_swap, swap_behavior
from harness.rules.thresholds import MEMORY, Threshold, max_pod_grace, memory_thresholds
from harness.rules.vmi import spec
from harness.units import Bytes

_UNLIMITED_CPU: Final = 10**12
_SHARE_BASE: Final = Bytes(1 << 40)
"""Swap for which shares are computed, so that they don't depend on the node's."""


def explain(
    manifests: Iterable[Manifest],
    *,
    column: str = "main",
    kubevirt_config: Mapping[str, Any] | None = None,
    kubelet_config: Mapping[str, Any] | None = None,
    node_memory: Bytes = Bytes(8 << 30),  # noqa: B008 - a NewType of an int
    node_swap: Bytes | None = None,
    node_cpu_milli: int | None = None,
    quoted_overcommit: bool = False,
) -> list[Explanation]:
    """Explain each manifest for one version, one configuration and one size of node.

    Raises ColumnError for an unknown version and ThresholdError for a kubelet that would not start; what is wrong with a
    manifest stands in its explanation.
    """
    setting = Setting(
        column=column,
        kubevirt=kubevirt_config or {},
        kubelet=kubelet_config,
        node_memory=node_memory,
        node_swap=node_swap,
        node_cpu_milli=node_cpu_milli,
        quoted_overcommit=quoted_overcommit,
    )
    ground = Ground.of(setting)
    return [explain_one(manifest, ground) for manifest in manifests]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What is the same for every manifest: the setting, and what the kubelet makes of it."""

    setting: Setting
    node: NodeMemory
    thresholds: tuple[Threshold, ...]
    cap: int
    """evictionMaxPodGracePeriod."""
    swap: str
    """swapBehavior."""

    @classmethod
    def of(cls, setting: Setting) -> Ground:
        """Work it out. Raises ColumnError, ThresholdError, QuantityError."""
        kubelet = setting.kubelet or {}
        columns.column(setting.column)
        return cls(
            setting=setting,
            node=node_memory(kubelet, capacity=setting.node_memory),
            thresholds=memory_thresholds(kubelet),
            cap=max_pod_grace(kubelet),
            swap=swap_behavior(kubelet),
        )


def explain_one(manifest: Manifest, ground: Ground) -> Explanation:
    """Explain one manifest."""
    setting = ground.setting
    if manifest.object is None:
        message = "; ".join(mistake.message for mistake in manifest.mistakes)
        return Explanation(
            file=manifest.file,
            manifest=None,
            vmi=None,
            admission=Admission(allowed=False, message=message),
            setting=setting,
            mistakes=manifest.mistakes,
        )
    answer, vmi, mistakes = admit(manifest, setting)
    bare = Explanation(
        file=manifest.file,
        manifest=manifest.object,
        vmi=vmi,
        admission=answer,
        setting=setting,
        node=ground.node,
        mistakes=mistakes,
    )
    if answer.allowed and not (manifest.kind == "VirtualMachine" and len(mistakes) > len(manifest.mistakes)):
        try:
            if reason := unrenderable(spec(vmi), setting.kubevirt):
                told = point(manifest, "spec", f"accepted, but virt-controller makes no pod of it: {reason}")
                mistakes = (*mistakes, told)
                bare = replace(bare, mistakes=mistakes)
            else:
                bare = _with_pod(bare, vmi, ground)
        except RulesError as error:
            mistakes = (*mistakes, point(manifest, "metadata", str(error)))
            answer = Admission(allowed=False, message=str(error))
            bare = replace(bare, admission=answer, mistakes=mistakes)
    return replace(bare, cautions=cautions(bare, manifest))


def _with_pod(bare: Explanation, obj: Mapping[str, Any], ground: Ground) -> Explanation:
    setting = ground.setting
    rendered = render_resources(obj, column=setting.column, configuration=setting.kubevirt, defaulted=True)
    pod_spec = rendered.pod_spec()
    verdict = qos(pod_spec)
    vmi_spec = spec(obj)
    pod_spec |= {
        name: vmi_spec[name]
        for name in ("priorityClassName", "tolerations")
        if vmi_spec.get(name) is not None
    }
    containers = tuple(
        _container(item, role, pod_spec, verdict.name, ground=ground)
        for role, listed in (("main", rendered.containers), ("init", rendered.init_containers))
        for item in listed
    )
    pod_grace = grace.pod_grace_seconds(obj)
    pod = Pod(spec=pod_spec, qos=verdict, overhead=rendered.overhead, containers=containers, grace=pod_grace)
    return replace(
        bare,
        pod=pod,
        fit=_fit(pod_spec, setting, ground.node),
        evictions=evictions(ground.thresholds, ground.node, cap=ground.cap, pod_grace=pod_grace),
    )


def _container(
    item: Mapping[str, Any],
    role: str,
    pod_spec: Mapping[str, Any],
    qos_name: str,
    *,
    ground: Ground,
) -> Container:
    setting = ground.setting
    name = str(item["name"])
    share, why = container_swap(
        pod_spec,
        name,
        qos=qos_name,
        behavior=ground.swap,
        memory_total=setting.node_memory,
        swap_total=_SHARE_BASE if setting.node_swap is None else setting.node_swap,
    )
    base = _SHARE_BASE if setting.node_swap is None else setting.node_swap
    return Container(
        name=name,
        role="sidecar" if is_sidecar(item) else "main" if role == "main" else "init",
        resources=item["resources"],
        oom_score_adj=oom_score_adj(pod_spec, name, capacity=setting.node_memory, qos=qos_name),
        swap_share=share / base if base else 0.0,
        swap=None if setting.node_swap is None else share,
        swap_why=why,
    )


def _fit(pod_spec: Mapping[str, Any], setting: Setting, node: NodeMemory) -> Fit:
    room = Room(
        name="node",
        memory=node.allocatable,
        cpu_milli=_UNLIMITED_CPU if setting.node_cpu_milli is None else setting.node_cpu_milli,
        max_pods=int((setting.kubelet or {}).get("maxPods") or MAX_PODS),
    )
    count, stops = how_many(pod_spec, room)
    request = pod_request(pod_spec).value()
    return Fit(count=count, stops=stops, request=request, left=Bytes(node.allocatable - count * request))


def evictions(
    thresholds: Sequence[Threshold], node: NodeMemory, *, cap: int, pod_grace: int
) -> tuple[Eviction, ...]:
    """List the memory thresholds in force, the one met first (as pods fill the node) marked, in the kubelet's order.

    The node's and the pods' threshold are compared as if nothing but pods used memory. `cap`: evictionMaxPodGracePeriod.
    """
    found: list[Eviction] = []
    for threshold in thresholds:
        subject = "node" if threshold.signal == MEMORY else "pods"
        whole = node.capacity if subject == "node" else node.kubepods_limit
        below = threshold.value.resolve(whole).value()
        asked = grace.override(threshold, max_pod_grace=cap, pod_grace=pod_grace)
        found.append(
            Eviction(
                threshold=threshold,
                below=below,
                used=Bytes(whole - below),
                subject="node" if subject == "node" else "pods",
                waits=threshold.grace,
                asked=asked,
                window=grace.window(asked),
            )
        )
    if not found:
        return ()
    first = min(range(len(found)), key=lambda index: (found[index].used, found[index].waits, index))
    return tuple(replace(eviction, first=index == first) for index, eviction in enumerate(found))


def exit_code(explanations: Sequence[Explanation]) -> int:
    """0 if every manifest is one that a cluster would take as it stands, else 2."""
    return 2 if any(item.mistakes or not item.admission.allowed for item in explanations) else 0

"""What the documentation page, or a reader of it, gets wrong about this very manifest.

Each caution carries the id of the claim it belongs to (`density claims ID` explains it).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from harness.explain.companions import resolve
from harness.explain.merging import by_kubevirt
from harness.explain.model import Caution, Eviction, Explanation, Pod
from harness.explain.sources import Manifest
from harness.rules import columns
from harness.rules.defaults import memory_overcommit
from harness.rules.quantities import Format, Quantity
from harness.rules.swap import LIMITED_SWAP, swap_behavior
from harness.rules.thresholds import effective_hard
from harness.rules.vmi import (
    container_disks,
    get,
    grace_seconds,
    guest,
    hugepage_size,
    kernel_boot,
    memory_or_zero,
    spec,
    wants_guaranteed,
)

_MI: Final = 1 << 20


def cautions(explanation: Explanation, manifest: Manifest) -> tuple[Caution, ...]:
    """List what to beware of, most specific first."""
    return tuple(
        Caution(id=claim, text=text)
        for source in (_written(explanation, manifest), _pod(explanation, manifest), _node(explanation))
        for claim, text in source
    )


def _written(explanation: Explanation, manifest: Manifest) -> Iterator[tuple[str, str]]:
    for problem in manifest.problems:
        if problem.kind != "unknown":
            continue
        claim = "GFX-1" if problem.suggestion == "autoattachGraphicsDevice" else "FIELD"
        meant = f" (meant: {problem.suggestion})" if problem.suggestion else ""
        yield (
            claim,
            (
                f"{problem.dotted} is no field{meant}: kubectl's strict validation refuses it; without that the API server "
                "drops it with a warning, and it has no effect"
            ),
        )
    if explanation.setting.quoted_overcommit:
        yield (
            "IMPL-4",
            (
                'memoryOvercommit must be an integer: "150" in quotes, as the page has it, is refused (422); '
                f"{memory_overcommit(explanation.setting.kubevirt)} stays in force"
            ),
        )
    obj = manifest.object
    if obj is None:
        return
    if str(obj.get("apiVersion", "")).endswith("/v1alpha3"):
        yield "OVH-3", "kubevirt.io/v1alpha3 is deprecated: still served with a warning, stored as v1"
    if manifest.problems:
        return
    vmi_spec = spec(obj)
    for path, value in _amounts(vmi_spec):
        quantity = Quantity.of(value)
        if quantity.format is Format.DECIMAL_SI and quantity.value() >= 10**6:
            yield (
                "OVH-4",
                (
                    f"{path}: {value} is decimal, {quantity.value()} bytes; {_binary_twin(str(value))} would be "
                    f"{_difference(quantity, str(value))} bytes more"
                ),
            )
    amount = guest(vmi_spec)
    if amount is not None and amount.value() <= 0:
        yield "GUEST-1", f"a guest of {amount} is accepted by the API but cannot start"


def _amounts(vmi_spec: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for path in (
        ("domain", "memory", "guest"),
        ("domain", "resources", "requests", "memory"),
        ("domain", "resources", "limits", "memory"),
    ):
        value = get(vmi_spec, *path)
        if isinstance(value, str) and value[-1:] in {"k", "M", "G", "T"}:
            yield ".".join(("spec", *path)), value


def _binary_twin(written: str) -> str:
    return f"{written[:-1]}{written[-1].upper()}i"


def _difference(quantity: Quantity, written: str) -> int:
    return Quantity.parse(_binary_twin(written)).value() - quantity.value()


def _pod(explanation: Explanation, manifest: Manifest) -> Iterator[tuple[str, str]]:
    pod, vmi = explanation.pod, explanation.vmi
    if pod is None or vmi is None:
        return
    vmi_spec = spec(vmi)
    yield from _class(pod, vmi_spec)
    yield from _limits(pod, vmi_spec, explanation)
    version = columns.column(explanation.setting.column)
    disks = (*container_disks(vmi_spec), *(("kernelBoot",) if kernel_boot(vmi_spec) else ()))
    if disks and columns.image_volume(version, explanation.setting.kubevirt):
        yield (
            "IMAGE-VOLUME",
            (
                f"{', '.join(disks)}: mounted as a native image volume, which needs Kubernetes 1.35 and a container runtime "
                "that knows them; older ones start no such VMI (switch off: disabledFeatureGates: [ImageVolume])"
            ),
        )
    if lacking := resolve(explanation.manifest or {}, manifest.companions).lacking:
        yield (
            "INSTANCETYPE",
            (
                f"{' and '.join(lacking)}: not in this file, so what it sets is missing below "
                "(add it as a further YAML document, after a line with ---)"
            ),
        )


def _class(pod: Pod, vmi_spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    request, limit = memory_or_zero(vmi_spec, "requests"), memory_or_zero(vmi_spec, "limits")
    equal = not limit.is_zero() and (request.is_zero() or request.cmp(limit) == 0)
    if pod.qos.name != "Guaranteed" and equal:
        if wants_guaranteed(vmi_spec):
            yield (
                "QOS-4",
                (
                    f"not Guaranteed although cpu and memory are equal: {pod.qos.reason} "
                    "(overcommitGuestOverhead keeps the overhead out of the request only)"
                ),
            )
        else:
            yield (
                "QOS-4",
                (
                    f"equal memory request and limit don't make it Guaranteed: {pod.qos.reason}; cpu request and limit must be "
                    "set and equal too"
                ),
            )
    if pod.qos.name == "Guaranteed":
        yield (
            "QOS-5",
            (
                "Guaranteed protects from the node's OOM killer (-997), not from eviction: nearly full it goes before a half "
                "empty Burstable VMI, and its own container limit can OOM-kill it"
            ),
        )


def _limits(pod: Pod, vmi_spec: Mapping[str, Any], explanation: Explanation) -> Iterator[tuple[str, str]]:
    compute = pod.container("compute")
    limit, overcommit = (
        compute.amount("limits"),
        get(vmi_spec, "domain", "resources", "overcommitGuestOverhead"),
    )
    if overcommit and hugepage_size(vmi_spec) is not None:
        yield "OVH-2", "overcommitGuestOverhead is ignored for a VMI with hugepages"
    elif overcommit and limit is not None and not memory_or_zero(vmi_spec, "limits").is_zero():
        yield (
            "OVH-2",
            f"overcommitGuestOverhead takes the overhead out of the request only; the limit still gets it: {limit}",
        )
    amount = guest(vmi_spec)
    if limit is not None and amount is not None and hugepage_size(vmi_spec) is None:
        room = limit.value() - pod.overhead.total
        if amount.value() > room:
            short = amount.value() - room
            yield (
                "GUEST-4",
                (
                    f"the guest has {amount} but its container may use only {limit} with the overhead: the kernel kills it "
                    f"before its last {_mib(short)} are filled"
                ),
            )
    behavior = swap_behavior(explanation.setting.kubelet or {})
    if behavior == LIMITED_SWAP and compute.swap_why:
        yield "SWAP-6", f"no swap for compute: {compute.swap_why}"


def _node(explanation: Explanation) -> Iterator[tuple[str, str]]:
    kubelet, pod = explanation.setting.kubelet, explanation.pod
    if pod is None or explanation.vmi is None:
        return
    if kubelet is not None and not explanation.evictions:
        hard = effective_hard(kubelet)
        why = (
            "evictionHard names other signals only, which drops the default of memory.available (kind does this)"
            if hard
            else "evictionHard is empty"
        )
        yield "HARD-1b", f"this kubelet evicts nothing for memory: {why}; only the OOM killer is left"
    soft = [eviction for eviction in explanation.evictions if not eviction.threshold.hard]
    grace = grace_seconds(spec(explanation.vmi))
    for eviction in soft:
        yield from _soft(eviction, grace, explanation.evictions)
    if swap_behavior(kubelet or {}) != LIMITED_SWAP and explanation.setting.node_swap:
        yield "SWAP-1", "the node has swap, but swapBehavior NoSwap lets no pod use it"
    if text := by_kubevirt(explanation.setting.kubevirt, node_memory=explanation.setting.node_memory):
        yield "KSM-3", text


def _soft(eviction: Eviction, grace: int, others: tuple[Eviction, ...]) -> Iterator[tuple[str, str]]:
    if eviction.asked < 1:
        yield (
            "SOFT-4b",
            (
                "evictionMaxPodGracePeriod is not set (0): a soft eviction is as abrupt as a hard one, SIGKILL "
                f"{eviction.window:g} s after SIGTERM"
            ),
        )
    elif eviction.window < grace:
        yield (
            "SOFT-4",
            f"a soft eviction cuts the guest after {eviction.window:g} s, before its own grace of {grace} s",
        )
    for other in others:
        same = other.threshold.signal == eviction.threshold.signal
        if same and other.threshold.hard and other.below >= eviction.below:
            yield (
                "SOFT-3",
                f"the soft threshold {eviction.threshold.value} is not above the hard one {other.threshold.value}: it never acts",
            )


def _mib(size: int) -> str:
    return f"{size / _MI:.0f} MiB"

"""Eviction thresholds from a KubeletConfiguration: defaults, merging, parsing, refusals.

Source: Kubernetes pkg/kubelet/eviction/helpers.go `ParseThresholdConfig`, cmd/kubelet/app/server.go (defaults),
pkg/kubelet/apis/config/v1beta1/defaults.go, pkg/kubelet/eviction/defaults_linux.go (1.36). Unit: bytes, seconds.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from harness.rules import durations
from harness.rules.errors import QuantityError, ThresholdError
from harness.rules.quantities import Quantity
from harness.rules.vmi import mapping
from harness.units import Bytes, Seconds

MEMORY: Final = "memory.available"
ALLOCATABLE_MEMORY: Final = "allocatableMemory.available"
MEMORY_SIGNALS: Final = (MEMORY, ALLOCATABLE_MEMORY)
CONDITIONS: Final[Mapping[str, str]] = {
    MEMORY: "MemoryPressure",
    ALLOCATABLE_MEMORY: "MemoryPressure",
    "nodefs.available": "DiskPressure",
    "nodefs.inodesFree": "DiskPressure",
    "imagefs.available": "DiskPressure",
    "imagefs.inodesFree": "DiskPressure",
    "containerfs.available": "DiskPressure",
    "containerfs.inodesFree": "DiskPressure",
    "pid.available": "PIDPressure",
}
"""Every signal the kubelet knows and the node condition it raises."""

DEFAULT_HARD: Final[Mapping[str, str]] = {
    "memory.available": "100Mi",
    "nodefs.available": "10%",
    "nodefs.inodesFree": "5%",
    "imagefs.available": "15%",
    "imagefs.inodesFree": "5%",
}
"""`DefaultEvictionHard` on Linux."""
KIND_HARD: Final[Mapping[str, str]] = {
    "nodefs.available": "0%",
    "nodefs.inodesFree": "0%",
    "imagefs.available": "0%",
}
"""What kind writes (pkg/cluster/internal/kubeadm/config.go). 0% switches each off, and a partial evictionHard drops the
default of memory.available: no memory eviction at all unless it is set."""
DEFAULT_TRANSITION: Final = Seconds(300.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """A quantity, or a share (float32, 0 … 1) of what the signal's capacity is. Exactly one is set."""

    quantity: Quantity | None = None
    share: float | None = None

    def resolve(self, capacity: Bytes) -> Quantity:
        """In bytes of that capacity, printed in binary (api/types.go GetThresholdQuantity)."""
        if self.quantity is not None:
            return self.quantity
        return Quantity.of_bytes(int(float(capacity) * (self.share or 0.0)))

    def __str__(self) -> str:
        return str(self.quantity) if self.quantity is not None else f"{(self.share or 0.0) * 100:g}%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One threshold: the signal is met when it is strictly less than `value`."""

    signal: str
    value: Amount
    grace: Seconds = Seconds(0.0)
    """How long it must be met before it evicts. 0: hard, also where it was written as a soft one."""
    min_reclaim: Amount | None = None

    @property
    def hard(self) -> bool:
        """`isHardEvictionThreshold`: no grace period."""
        return self.grace <= 0.0

    @property
    def condition(self) -> str:
        """The node condition it raises, e.g. MemoryPressure."""
        return CONDITIONS[self.signal]

    @property
    def memory(self) -> bool:
        """Whether it is about memory."""
        return self.signal in MEMORY_SIGNALS

    def __str__(self) -> str:
        kind = "hard" if self.hard else f"soft, grace {durations.text(self.grace)}"
        return f"{self.signal}<{self.value} ({kind})"


def effective_hard(kubelet: Mapping[str, Any], *, from_file: bool = True) -> Mapping[str, str]:
    """`evictionHard` after defaulting.

    Absent: all defaults, but only where the kubelet loads a --config file (`from_file`; not with flags alone, not on
    MicroShift). Present: as it is, unless `mergeDefaultEvictionSettings` fills in what is missing.
    """
    written = kubelet.get("evictionHard")
    if written is None:
        return DEFAULT_HARD if from_file else {}
    hard = {str(signal): str(value) for signal, value in mapping(written, "evictionHard").items()}
    if kubelet.get("mergeDefaultEvictionSettings"):
        return {**DEFAULT_HARD, **hard}
    return hard


def on_kind(kubelet: Mapping[str, Any]) -> dict[str, Any]:
    """A KubeletConfiguration fragment as kind merges it into its own (maps merge, kind's 0% keys remain)."""
    return {
        **kubelet,
        "evictionHard": {**KIND_HARD, **mapping(kubelet.get("evictionHard"), "evictionHard")},
        "failSwapOn": kubelet.get("failSwapOn", False),
    }


def transition_period(kubelet: Mapping[str, Any]) -> Seconds:
    """`evictionPressureTransitionPeriod`: 5 minutes if absent, and if it is literally 0."""
    value = kubelet.get("evictionPressureTransitionPeriod")
    return (durations.of(value) if value is not None else Seconds(0.0)) or DEFAULT_TRANSITION


def max_pod_grace(kubelet: Mapping[str, Any]) -> int:
    """`evictionMaxPodGracePeriod` in seconds, 0 if absent."""
    return int(kubelet.get("evictionMaxPodGracePeriod") or 0)


def enforces_pods(kubelet: Mapping[str, Any]) -> bool:
    """Whether enforceNodeAllocatable has `pods`: absent or null means yes, [] and [none] mean no."""
    enforced = kubelet.get("enforceNodeAllocatable")
    return True if enforced is None else "pods" in enforced


def parse_thresholds(kubelet: Mapping[str, Any], *, from_file: bool = True) -> tuple[Threshold, ...]:
    """Parse the thresholds of a KubeletConfiguration (fragment), in the kubelet's order: hard, soft, allocatable copies.

    Raises ThresholdError with the text the kubelet refuses to start with.
    """
    hard = _statements(effective_hard(kubelet, from_file=from_file))
    soft = _statements(_strings(kubelet, "evictionSoft"))
    graces = _graces(_strings(kubelet, "evictionSoftGracePeriod"))
    reclaims = _reclaims(_strings(kubelet, "evictionMinimumReclaim"))
    for threshold in soft:
        if threshold.signal not in graces:
            raise ThresholdError(
                f"grace period must be specified for the soft eviction threshold {threshold.signal}"
            )
    found = hard + [replace(threshold, grace=graces[threshold.signal]) for threshold in soft]
    found = [replace(threshold, min_reclaim=reclaims.get(threshold.signal)) for threshold in found]
    if enforces_pods(kubelet) and not kubelet.get("experimentalAllocatableIgnoreEviction"):
        found += [
            replace(threshold, signal=ALLOCATABLE_MEMORY)
            for threshold in found
            if threshold.signal == MEMORY and threshold.hard
        ]
    return tuple(found)


def memory_thresholds(kubelet: Mapping[str, Any], *, from_file: bool = True) -> tuple[Threshold, ...]:
    """Only those about memory."""
    return tuple(
        threshold for threshold in parse_thresholds(kubelet, from_file=from_file) if threshold.memory
    )


def _strings(kubelet: Mapping[str, Any], name: str) -> dict[str, str]:
    return {str(key): str(value) for key, value in mapping(kubelet.get(name), name).items()}


def _known(signal: str) -> None:
    if signal not in CONDITIONS:
        raise ThresholdError(f"unsupported eviction signal {signal}")


def _float32(value: float) -> float:
    (narrow,) = struct.unpack("f", struct.pack("f", value))
    return float(narrow)


def _share(text: str) -> float:
    try:
        return _float32(_float32(float(text.rstrip("%"))) / 100)
    except ValueError as error:
        raise ThresholdError(f'strconv.ParseFloat: parsing "{text.rstrip("%")}": invalid syntax') from error


def _quantity(text: str) -> Quantity:
    try:
        return Quantity.parse(text)
    except QuantityError as error:
        raise ThresholdError(str(error)) from error


def _statements(statements: Mapping[str, str]) -> list[Threshold]:
    found: list[Threshold] = []
    for signal, text in statements.items():
        _known(signal)
        if text.endswith("%"):
            if text in {"0%", "100%"}:
                continue
            share = _share(text)
            if share < 0:
                raise ThresholdError(f"eviction percentage threshold {signal} must be >= 0%: {text}")
            if share > 1:
                raise ThresholdError(f"eviction percentage threshold {signal} must be <= 100%: {text}")
            found.append(Threshold(signal=signal, value=Amount(share=share)))
            continue
        quantity = _quantity(text)
        if quantity.nano <= 0:
            raise ThresholdError(f"eviction threshold {signal} must be positive: {quantity}")
        found.append(Threshold(signal=signal, value=Amount(quantity=quantity)))
    return found


def _graces(statements: Mapping[str, str]) -> dict[str, Seconds]:
    found: dict[str, Seconds] = {}
    for signal, text in statements.items():
        _known(signal)
        grace = durations.parse_duration(text)
        if grace < 0:
            raise ThresholdError(f"invalid eviction grace period specified: {text}, must be a positive value")
        found[signal] = grace
    return found


def _reclaims(statements: Mapping[str, str]) -> dict[str, Amount]:
    found: dict[str, Amount] = {}
    for signal, text in statements.items():
        _known(signal)
        if text.endswith("%"):
            share = _share(text)
            if share <= 0:
                raise ThresholdError(f"eviction percentage minimum reclaim {signal} must be positive: {text}")
            found[signal] = Amount(share=share)
            continue
        quantity = _quantity(text)
        if quantity.nano < 0:
            raise ThresholdError(f"negative eviction minimum reclaim specified for {signal}")
        found[signal] = Amount(quantity=quantity)
    return found

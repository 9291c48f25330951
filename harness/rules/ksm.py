"""What KubeVirt's KSM handler writes into /sys/kernel/mm/ksm on a node it manages.

Source: KubeVirt pkg/virt-handler/ksm/ksm.go (main). Unit: kB of /proc/meminfo, as the handler computes.
On a kind node /sys is read-only: the handler fails and ksmd never starts, whatever the node's label says (seen).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from harness.units import Seconds

INTERVAL: Final = Seconds(180.0)
"""Between two looks; also at start and on every change of the KubeVirt configuration."""
LABEL: Final = "kubevirt.io/ksm-enabled"
"""`true`: the selector matches and KSM is available; not that ksmd runs."""
MANAGED_ANNOTATION: Final = "kubevirt.io/ksm-handler-managed"
"""`true`: ksmd runs because of KubeVirt; "false" otherwise, never removed."""
_REFERENCE_KB: Final = 16 << 20
_MAX: Final = (1 << 63) - 1
_WHOLE: Final = re.compile(r"[+-]?[0-9]+")
"""What strconv.Atoi takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KsmTuning:
    """The handler's constants, replaced by node annotations `kubevirt.io/ksm-<name>-override`."""

    pages_boost: int = 300
    pages_decay: int = -50
    pages_min: int = 64
    pages_max: int = 1250
    pages_init: int = 100
    sleep_ms_baseline: int = 100
    """sleep_millisecs on a 16 GB node out of memory; a tenth of it is the least."""
    free_percent: float = 0.2
    """A share, 0 … 1: pressure where no more than this share of memory is available."""


@dataclass(frozen=True, slots=True)
class KsmValues:
    """`run`, `pages_to_scan`, `sleep_millisecs`; while not running only `run` is written."""

    running: bool = False
    pages: int = 0
    sleep_ms: int = 0

    @property
    def files(self) -> Mapping[str, str]:
        """File below /sys/kernel/mm/ksm → text, in the order written."""
        if not self.running:
            return {"run": "0"}
        return {"sleep_millisecs": str(self.sleep_ms), "pages_to_scan": str(self.pages), "run": "1"}


_DEFAULT: Final = KsmTuning()


def tuning(annotations: Mapping[str, str]) -> KsmTuning:
    """Apply a node's override annotations. One that is no number counts as absent.

    One out of bounds is the default, or the least that is allowed where the default is not well inside the bounds (boundCheck).
    A default that was not overridden is not held against them.
    """

    def whole(name: str, default: int, *, low: int, high: int) -> int:
        written = annotations.get(f"kubevirt.io/ksm-{name}-override", "")
        if _WHOLE.fullmatch(written) is None or not -_MAX - 1 <= int(written) <= _MAX:
            return default
        return int(_bounded(int(written), default, low=low, high=high))

    low = whole("pages-min", _DEFAULT.pages_min, low=0, high=_MAX)
    high = whole("pages-max", _DEFAULT.pages_max, low=low, high=_MAX)
    try:
        free = _bounded(
            float(annotations["kubevirt.io/ksm-free-percent-override"]),
            _DEFAULT.free_percent,
            low=0,
            high=1,
        )
    except (KeyError, ValueError):
        free = _DEFAULT.free_percent
    return KsmTuning(
        pages_boost=whole("pages-boost", _DEFAULT.pages_boost, low=0, high=_MAX),
        pages_decay=whole("pages-decay", _DEFAULT.pages_decay, low=-_MAX - 1, high=0),
        pages_min=low,
        pages_max=high,
        pages_init=whole("pages-init", _DEFAULT.pages_init, low=low, high=high),
        sleep_ms_baseline=whole("sleep-ms-baseline", _DEFAULT.sleep_ms_baseline, low=1, high=_MAX),
        free_percent=free,
    )


def _bounded(value: float, default: float, *, low: float, high: float) -> float:
    if low <= value <= high:
        return value
    return default if low < default < high else low


def _float32(value: float) -> float:
    (narrow,) = struct.unpack("f", struct.pack("f", value))
    return float(narrow)


def pressure(*, total_kb: int, available_kb: int, free_percent: float = _DEFAULT.free_percent) -> bool:
    """MemAvailable <= MemTotal x 0.2, in float32; not the kubelet's MemoryPressure."""
    return _float32(available_kb) <= _float32(_float32(total_kb) * _float32(free_percent))


def next_values(
    current: KsmValues, *, total_kb: int, available_kb: int, tuning: KsmTuning | None = None
) -> KsmValues:
    """What the handler writes at its next look; `current`: what sysfs says now. Needs used memory (total > available).

    Under pressure it starts with 100 pages and adds 300 each time up to 1250; without, it takes away 50 and stops
    below 64. So ksmd starts only when 20 % or less is available, and is at its top four looks (12 minutes) later.
    """
    tuned = tuning or KsmTuning()
    sleep = tuned.sleep_ms_baseline * _REFERENCE_KB // (total_kb - available_kb)
    sleep = max(sleep, tuned.sleep_ms_baseline // 10)
    if pressure(total_kb=total_kb, available_kb=available_kb, free_percent=tuned.free_percent):
        if not current.running:
            return KsmValues(running=True, pages=tuned.pages_init, sleep_ms=sleep)
        return KsmValues(
            running=True, pages=min(current.pages + tuned.pages_boost, tuned.pages_max), sleep_ms=sleep
        )
    if not current.running:
        return KsmValues()
    pages = current.pages + tuned.pages_decay
    if pages < tuned.pages_min:
        return KsmValues(running=False, pages=tuned.pages_min, sleep_ms=sleep)
    return KsmValues(running=True, pages=pages, sleep_ms=sleep)

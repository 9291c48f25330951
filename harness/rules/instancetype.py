"""What an instancetype's memory makes of a VMI.

Source: KubeVirt pkg/instancetype/apply/memory.go, pkg/instancetype/webhooks/admitter.go (main). Unit: bytes; float32.
"""

from __future__ import annotations

import copy
import struct
from collections.abc import Mapping
from typing import Any

from harness.rules.errors import ManifestError
from harness.rules.quantities import Quantity
from harness.rules.vmi import get, guest, hugepage_size, mapping


def _float32(value: float) -> float:
    (narrow,) = struct.unpack("f", struct.pack("f", value))
    return float(narrow)


def overcommit_request(memory: Quantity, percent: int) -> Quantity:
    """Request of `overcommitPercent`: guest x (1 - percent / 100), every step in float32, truncated.

    15 means 15 % less, unlike the cluster's memoryOvercommit, where 150 means a guest of 150 % of the request.
    """
    factor = _float32(1.0 - _float32(_float32(percent) / 100.0))
    return Quantity.of_bytes(int(_float32(_float32(float(memory.value())) * factor)), memory.format)


def apply_memory(vmi_spec: Mapping[str, Any], instancetype: Mapping[str, Any]) -> dict[str, Any]:
    """Apply an instancetype spec's memory to a VMI spec. The cluster's percentage is ignored once a request is written.

    Raises ManifestError where both set the same, or for a percentage outside 0 … 100 or with hugepages.
    """
    memory = mapping(instancetype.get("memory"), "spec.memory")
    percent = int(memory.get("overcommitPercent") or 0)
    if not 0 <= percent <= 100:
        raise ManifestError(f"spec.memory.overcommitPercent '{percent}': must be in range between 0 and 100.")
    if percent and memory.get("hugepages") is not None:
        raise ManifestError(
            "spec.memory.overcommitPercent and spec.memory.hugepages should not be requested together."
        )
    clash = [
        path
        for path, present in (
            ("memory.guest", guest(vmi_spec) is not None),
            ("memory.hugepages", hugepage_size(vmi_spec) is not None and memory.get("hugepages") is not None),
            (
                "resources.requests.memory",
                get(vmi_spec, "domain", "resources", "requests", "memory") is not None,
            ),
            ("resources.limits.memory", get(vmi_spec, "domain", "resources", "limits", "memory") is not None),
        )
        if present
    ]
    if clash:
        raise ManifestError(
            f"VM field(s) spec.template.spec.domain.{clash[0]} conflicts with selected instance type"
        )
    out: dict[str, Any] = copy.deepcopy(dict(vmi_spec))
    domain = out.setdefault("domain", {})
    amount = Quantity.of(memory["guest"])
    written = domain.setdefault("memory", {})
    written["guest"] = str(amount)
    for name in ("hugepages", "maxGuest"):
        if memory.get(name) is not None:
            written[name] = copy.deepcopy(memory[name])
    if percent:
        requests = domain.setdefault("resources", {}).setdefault("requests", {})
        requests["memory"] = str(overcommit_request(amount, percent))
    return out

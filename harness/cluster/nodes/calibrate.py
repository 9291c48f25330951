"""Thresholds for a node that reports its machine's memory instead of its own (facts: option C).

The kubelet of such a node computes `available = C - working set` with C the machine's memory. It acts at the same
moment as one of a node of size M with threshold E if its threshold is `C - M + E`; allocatable comes out as
`C - R - (C - M + E) = M - R - E`. Capacity, percentages, oom_score_adj and the limit of kubepods stay the machine's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.cluster.errors import ClusterError
from harness.rules.errors import RulesError
from harness.rules.quantities import parse_bytes
from harness.units import Bytes

SIGNAL = "memory.available"


def calibrated(kubelet: Mapping[str, Any], *, machine: Bytes, node: Bytes) -> dict[str, Any]:
    """Return the fragment with its memory.available thresholds moved; without a hard one nothing is added.

    Raises ClusterError for a threshold that can't be read.
    """
    result = dict(kubelet)
    for key in ("evictionHard", "evictionSoft"):
        thresholds = kubelet.get(key)
        if isinstance(thresholds, Mapping) and SIGNAL in thresholds:
            meant = _bytes(str(thresholds[SIGNAL]), of=node)
            result[key] = {**thresholds, SIGNAL: str(machine - node + meant)}
    return result


def _bytes(threshold: str, *, of: Bytes) -> int:
    try:
        if threshold.endswith("%"):
            return int(of * float(threshold.removesuffix("%")) / 100)
        return parse_bytes(threshold)
    except (RulesError, ValueError) as error:
        raise ClusterError(f"eviction threshold {threshold!r}: {error}") from error

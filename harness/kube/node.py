"""What a kubelet says of itself, through the API server's node proxy: stats/summary and configz."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.kube.objects import Objects
from harness.kube.resources import NODES


async def stats_summary(objects: Objects, node: str) -> dict[str, Any]:
    """Return `/stats/summary` (k8s.io/kubelet/pkg/apis/stats/v1alpha1 Summary), as served."""
    answer = await objects.raw(NODES.path(name=node, subresource="proxy/stats/summary"))
    return dict(answer)


async def configz(objects: Objects, node: str) -> dict[str, Any]:
    """Return the effective KubeletConfiguration, as served under `kubeletconfig`."""
    answer = await objects.raw(NODES.path(name=node, subresource="proxy/configz"))
    return dict(answer.get("kubeletconfig") or {})


async def version(objects: Objects) -> Mapping[str, Any]:
    """Return `/version`; a gitVersion ending in `+density.embedded` is our own API server."""
    answer = await objects.raw("/version")
    return dict(answer)


def memory_row(summary: Mapping[str, Any]) -> tuple[str, int] | None:
    """Return (time, available bytes) of the node's memory row, None if the kubelet has not measured yet."""
    row = (summary.get("node") or {}).get("memory") or {}
    if "availableBytes" not in row:
        return None
    return str(row.get("time", "")), int(row["availableBytes"])

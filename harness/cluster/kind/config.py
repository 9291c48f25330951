"""The kind configuration of a shape: a template's first worker, as often as asked, and what the host needs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from harness.cluster.errors import ClusterError

CLUSTER_LABEL = "density.dev/cluster"
"""On every node of a cluster of ours, its name."""
SHAPE_LABEL = "density.dev/shape"
WORKER_LABEL = "density.dev/worker"
"""On workers: KubeVirt's virt-handler and guests go there."""


def load(path: Path) -> dict[str, Any]:
    """Read a kind configuration. Raises ClusterError."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ClusterError(f"kind config {path}: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict) or document.get("kind") != "Cluster":
        raise ClusterError(f"kind config {path}: it must have kind: Cluster")
    if not any(node.get("role") == "worker" for node in document.get("nodes") or ()):
        raise ClusterError(f"kind config {path}: it must have a worker, nodes under test are workers")
    for node in document["nodes"]:
        for mount in node.get("extraMounts") or ():
            if mount.get("hostPath"):
                # relative to the working directory, as kind has it; ours when it is called is another one
                mount["hostPath"] = str(Path(mount["hostPath"]).absolute())
    return document


def build(
    template: Mapping[str, Any],
    *,
    name: str,
    shape: str,
    workers: int,
    cgroup: Literal["v1", "v2"],
    api_address: str = "",
) -> dict[str, Any]:
    """Return the configuration of one cluster. The template is not changed.

    `api_address`: address the API server's port is published on, '' is kind's own (127.0.0.1).
    """
    config: dict[str, Any] = copy.deepcopy(dict(template))
    config["name"] = name
    if api_address:
        config.setdefault("networking", {})["apiServerAddress"] = api_address
    others = [node for node in config["nodes"] if node.get("role") != "worker"]
    pool = [node for node in config["nodes"] if node.get("role") == "worker"]
    while len(pool) < workers:
        pool.append(copy.deepcopy(pool[0]))
    labels = {CLUSTER_LABEL: name, SHAPE_LABEL: shape}
    for node in (*others, *pool):
        extra = {WORKER_LABEL: "true"} if node in pool else {}
        node["labels"] = {**(node.get("labels") or {}), **labels, **extra}
    config["nodes"] = [*others, *pool]
    if cgroup == "v1":
        # Newer kubelets refuse to start on cgroup v1 unless told otherwise (KubeletConfiguration v1beta1).
        patch = yaml.safe_dump({"kind": "KubeletConfiguration", "failCgroupV1": False}, sort_keys=False)
        config["kubeadmConfigPatches"] = [*(config.get("kubeadmConfigPatches") or ()), patch]
    return config


def dump(config: Mapping[str, Any]) -> str:
    """Return it as YAML."""
    return yaml.safe_dump(dict(config), sort_keys=False, width=120)

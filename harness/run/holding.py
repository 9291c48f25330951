"""Holding a run, so that someone can look around in it: everything stays as it is until they say to go on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import yaml

from harness.cluster.base import Cluster, NodeHandle
from harness.run.recorder import Recording
from harness.run.world import World


@runtime_checkable
class Inspectable(Protocol):
    """A cluster whose machine can be looked at from here."""

    def places(self) -> tuple[str, ...]:
        """Where its nodes and pods are on this machine: cgroup directories."""
        ...


def how_to_look(
    cluster: Cluster, made: Recording, world: World, *, namespace: str, nodes: tuple[NodeHandle, ...]
) -> tuple[str, ...]:
    """Return the commands and places to look around with. A cluster of ours gets a kubeconfig file in the run directory."""
    return tuple(_lines(cluster, made, world, namespace=namespace, nodes=nodes))


def _lines(
    cluster: Cluster, made: Recording, world: World, *, namespace: str, nodes: tuple[NodeHandle, ...]
) -> Iterator[str]:
    kubectl = "kubectl"
    if cluster.kind != "kubeconfig":
        kubectl += f" --kubeconfig {kubeconfig_file(made.path, cluster.kubeconfig)}"
    yield f"{kubectl} -n {namespace} get vmi,pods -o wide"
    yield f"{kubectl} -n {namespace} get events --sort-by=.lastTimestamp"
    for node in nodes:
        yield f"{kubectl} get --raw /api/v1/nodes/{node.kube_name}/proxy/stats/summary"
    yield f"run directory: {made.path}"
    for log in sorted((made.path / "artefacts" / "consoles").glob("*.log")):
        yield f"console: tail -f {log}"
    alive = [vmi for vmi in world.guests if not world.is_dead(vmi)]
    yield f"alive: {', '.join(sorted(alive)) or 'nobody'}"
    if isinstance(cluster, Inspectable):
        for place in cluster.places():
            yield f"cgroup: {place}"


def kubeconfig_file(directory: Path, document: Mapping[str, Any]) -> Path:
    """Write a kubeconfig that only its owner can read; it is of no use when the cluster is gone."""
    path = directory / "kubeconfig.yaml"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        yaml.safe_dump(_plain(document), file, sort_keys=False)
    return path


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value

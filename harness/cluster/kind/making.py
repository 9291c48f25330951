"""Pieces of making a cluster: the guest's archive, the kubeconfig, waiting for nodes, scratch directories."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import yaml

from harness.cluster.errors import ClusterError
from harness.cluster.kind import live as living
from harness.cluster.kind.names import Claim
from harness.kube.connection import Connection
from harness.kube.errors import KubeError
from harness.kube.resources import NODES
from harness.kube.watch import Seen, Watcher
from workloads.image import GuestImage, ImageError, build_async
from workloads.image.oci import Archive, write


async def build_agent(guest_kernel: Path | None = None) -> tuple[GuestImage, Archive]:
    """Build, or find, the guest image and its archive. Raises ClusterError."""
    try:
        guest = await build_async(guest_kernel=guest_kernel)
        return guest, await asyncio.to_thread(write, guest)
    except ImageError as error:
        raise ClusterError(str(error)) from error


PRESSURE = ("MemoryPressure", "DiskPressure", "PIDPressure")

MakeAgent = Callable[[], Awaitable[tuple[GuestImage, Archive]]]


def write_kubeconfig(claim: Claim, text: str, *, host: str) -> None:
    """Write a cluster's kubeconfig so that its API is reached at `host` ('' for an engine of this machine).

    Raises ClusterError.
    """
    document = yaml.safe_load(text)
    if not isinstance(document, dict):
        raise ClusterError(f"kind gave no kubeconfig for cluster {claim.name}")
    if host and living.published_on(host):
        document = living.reachable(document, host)
    descriptor = os.open(claim.kubeconfig, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        yaml.safe_dump(document, file, sort_keys=False)


async def nodes_ready(connection: Connection, count: int, *, seconds: float) -> bool:
    """Wait until so many nodes are Ready and under no pressure; whether they are our own API server's.

    Raises ClusterError naming who is not.
    """
    seen: dict[str, Mapping[str, Any]] = {}
    try:
        async with asyncio.timeout(seconds), aclosing(Watcher(connection, NODES).events()) as events:
            async for event in events:
                if isinstance(event, Seen):
                    if event.type == "DELETED":
                        seen.pop(event.object["metadata"]["name"], None)
                        continue
                    seen[event.object["metadata"]["name"]] = event.object
                    if not any(map(why_not_ready, seen.values())) and len(seen) >= count:
                        marks = (node["metadata"].get("annotations") or {} for node in seen.values())
                        return any(living.MARKER in mark for mark in marks)
    except TimeoutError:
        late = sorted(f"{name}{why}" for name, node in seen.items() if (why := why_not_ready(node)))
        raise ClusterError(
            f"{len(late) or count - len(seen)} of {count} nodes are not Ready after {seconds:g} s: "
            f"{', '.join(late) or 'not seen'}"
        ) from None
    except KubeError as error:
        raise ClusterError(f"the new cluster's API does not answer: {error}") from error
    raise ClusterError("the watch of nodes ended")


def why_not_ready(node: Mapping[str, Any]) -> str:
    """Return ` (…)`, what keeps a node from being Ready and free of pressure; '' if nothing does."""
    conditions = {c.get("type"): c for c in (node.get("status") or {}).get("conditions") or ()}
    ready = conditions.get("Ready") or {}
    if ready.get("status") != "True":
        return f" ({' '.join(str(ready.get('message') or ready.get('reason') or 'no word of it').split())[:200]})"
    pressed = [name for name in PRESSURE if (conditions.get(name) or {}).get("status") == "True"]
    return f" ({', '.join(pressed)})" if pressed else ""


def archives_in(directory: str) -> tuple[Path, ...]:
    """Return the image archives in a directory, or the one that is named. Raises ClusterError if there is none."""
    path = Path(directory)
    found = tuple(sorted(path.glob("*.tar*"))) if path.is_dir() else (path,)
    if not found:
        raise ClusterError(f"--kubevirt-images {directory}: no *.tar in it")
    return found


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """Yield a temporary directory."""
    path = Path(tempfile.mkdtemp(prefix="density-kind-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)

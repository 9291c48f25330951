"""Putting a KubeVirt CR back after a crash, from an undo entry alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from harness.cluster.errors import ClusterError
from harness.kube.connection import connect
from harness.kube.errors import KubeError, NotFound
from harness.kube.objects import Objects
from harness.kube.resources import KUBEVIRTS

PATIENCE = 10.0
"""Seconds: cleaning up waits for no cluster that is gone."""


def restore_kubevirt(entry: Mapping[str, Any]) -> str | None:
    """Apply the entry's `patch`, which says how what we changed was before. None: nothing left to do.

    Raises ClusterError when the cluster can't be reached or refuses; the entry then stays for the next time.
    """
    path = Path(str(entry["kubeconfig"]))
    if not path.exists():
        return None
    # An undo file may be closed inside a running event loop, which can't run another.
    with ThreadPoolExecutor(max_workers=1) as pool:
        try:
            return "restored" if pool.submit(asyncio.run, _restore(path, entry)).result() else None
        except KubeError as error:
            raise ClusterError(f"KubeVirt {entry['namespace']}/{entry['name']}: {error}") from error


async def _restore(path: Path, entry: Mapping[str, Any]) -> bool:
    async with connect(path, context=str(entry.get("context") or "") or None) as connection:
        objects = Objects(connection, patience=PATIENCE)
        name, namespace = str(entry["name"]), str(entry["namespace"])
        try:
            before = await objects.get(KUBEVIRTS, name, namespace=namespace)
            after = await objects.patch(KUBEVIRTS, name, entry["patch"], namespace=namespace)
        except NotFound:
            return False
        return bool(before.get("spec") != after.get("spec"))

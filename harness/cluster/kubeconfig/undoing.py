"""Putting back what was changed in an existing cluster after a crash, from an undo entry alone.

`kubeconfig` of an entry: the file, or the files as $KUBECONFIG lists them; `context`: the one that was used.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from harness.cluster.errors import ClusterError
from harness.cluster.kubeconfig import helpers, kubelets, node_pods
from harness.cluster.nodes import in_force
from harness.cluster.undoing import in_a_loop_of_its_own
from harness.kube.config import Chosen, choose, load_files
from harness.kube.connection import Connection, connect
from harness.kube.errors import NotFound
from harness.kube.objects import Objects
from harness.kube.resources import KUBEVIRTS, NAMESPACES

PATIENCE = 10.0
"""Seconds: cleaning up waits for no cluster that is gone."""


def address(chosen: Chosen) -> Mapping[str, str]:
    """Return how an entry names a cluster. A document that is no file can't be found again: ''."""
    return {"kubeconfig": os.pathsep.join(str(file) for file in chosen.files), "context": chosen.context}


def restore_kubevirt(entry: Mapping[str, Any]) -> str | None:
    """Apply the entry's `patch`, which says how what we changed was before. None: nothing left to do.

    Raises ClusterError when the cluster can't be reached or refuses; the entry then stays for the next time.
    """
    if not files(entry):
        return None
    what = f"KubeVirt {entry['namespace']}/{entry['name']}"
    return "restored" if in_a_loop_of_its_own(_restore_kubevirt(entry), what) else None


def restore_kubelet(entry: Mapping[str, Any]) -> str | None:
    """Put a node's kubelet back by a pod on it. None: nothing left to do. Raises ClusterError."""
    if not files(entry):
        raise ClusterError(
            f"the kubelet of {entry['target']} has settings of ours and the kubeconfig {entry['kubeconfig']} is gone: "
            f"remove {entry['drop-in'] or 'them from ' + entry['config']} there and restart it"
        )
    return "restored" if in_a_loop_of_its_own(_restore_kubelet(entry), f"node {entry['target']}") else None


def remove_reader(entry: Mapping[str, Any]) -> str | None:
    """Delete a run's node reader. None: nothing left to do. Raises ClusterError."""
    if not files(entry):
        raise ClusterError(
            f"the privileged DaemonSet {entry['namespace']}/{entry['target']} is left and the kubeconfig "
            f"{entry['kubeconfig']} is gone: kubectl delete -n {entry['namespace']} daemonset {entry['target']}"
        )
    what = f"DaemonSet {entry['namespace']}/{entry['target']}"
    return "deleted" if in_a_loop_of_its_own(_remove_reader(entry), what) else None


def files(entry: Mapping[str, Any]) -> list[Path]:
    """Return those files of an entry's kubeconfig that are still there."""
    listed = [Path(name) for name in str(entry["kubeconfig"]).split(os.pathsep) if name]
    return [path for path in listed if path.exists()]


@asynccontextmanager
async def reached(entry: Mapping[str, Any]) -> AsyncIterator[Connection]:
    """Connect to the cluster that an entry names. Raises KubeError."""
    context = str(entry.get("context") or "") or None
    async with connect(choose(load_files(files(entry)), context=context).document) as connection:
        yield connection


async def _restore_kubevirt(entry: Mapping[str, Any]) -> bool:
    async with reached(entry) as connection:
        objects = Objects(connection, patience=PATIENCE)
        name, namespace = str(entry["name"]), str(entry["namespace"])
        try:
            before = await objects.get(KUBEVIRTS, name, namespace=namespace)
            after = await objects.patch(KUBEVIRTS, name, entry["patch"], namespace=namespace)
        except NotFound:
            return False
        return bool(before.get("spec") != after.get("spec"))


async def _remove_reader(entry: Mapping[str, Any]) -> bool:
    async with reached(entry) as connection:
        objects = Objects(connection, patience=PATIENCE)
        name, namespace = str(entry["target"]), str(entry["namespace"])
        return await objects.delete(node_pods.DAEMONSETS, name, namespace=namespace)


async def _restore_kubelet(entry: Mapping[str, Any]) -> bool:
    async with reached(entry) as connection:
        objects = Objects(connection, patience=PATIENCE)
        if await in_force.wrong_settings(objects, str(entry["target"]), entry["settings"]):
            return False  # put back already: no pod needs to go there
        namespace, run = str(entry["namespace"]), str(entry["run"])
        own = bool(entry["own-namespace"])
        place = helpers.Place(
            connection=connection, namespace=namespace, run=run, image=str(entry["image"]), own=own
        )
        made = own and await _made_again(objects, namespace, run)
        try:
            return await kubelets.restored(
                place, node=str(entry["target"]), config=str(entry["config"]), drop_in=str(entry["drop-in"])
            )
        finally:
            if made:
                await asyncio.shield(objects.delete(NAMESPACES, namespace))


async def _made_again(objects: Objects, namespace: str, run: str) -> bool:
    """Make a namespace of ours that has gone since. Raises KubeError, ClusterError."""
    try:
        await objects.get(NAMESPACES, namespace)
    except NotFound:
        await helpers.make_namespace(objects, namespace, run)
        return True
    return False

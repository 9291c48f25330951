"""Deleting what a run made, and waiting until it is gone: by a watch of its own, since the run's may have failed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from contextlib import aclosing, suppress

from harness.kube.connection import Connection
from harness.kube.errors import KubeError
from harness.kube.objects import Objects
from harness.kube.resources import NAMESPACES, PODS, VMIS, VMS
from harness.kube.watch import Seen, Synced, Watcher
from harness.run.world import vmi_of_pod

TEARDOWN = 60.0
"""Seconds to wait for the run's pods to be gone; deletion is asked for without grace."""
SOON = 1
"""Seconds between SIGTERM and SIGKILL; a kubelet makes at least 2 of it."""


async def tidy(
    objects: Objects, namespace: str, *, vms: Iterable[str], vmis: Collection[str], own: bool
) -> str:
    """Delete VMs (names), VMIs (`<namespace>/<name>`) and, if it is the run's own, the namespace.

    Returns '' or, where that failed or took too long, one line that says what may be left.
    """
    try:
        async with asyncio.timeout(TEARDOWN):
            for name in vms:  # first: a VM makes its VMI anew
                await objects.delete(VMS, name, namespace=namespace)
            for vmi in vmis:
                await objects.delete(VMIS, vmi.partition("/")[2], namespace=namespace, grace=0)
            if own:
                await objects.delete(NAMESPACES, namespace)
            await pods_gone(objects.connection, namespace, vmis)
    except (KubeError, TimeoutError) as error:
        return f"pods of the run remain in namespace {namespace}: {error}"
    return ""


async def pods_gone(connection: Connection, namespace: str, vmis: Collection[str]) -> None:
    """Return when no pod of these VMIs (`<namespace>/<name>`) is left. Others' pods don't matter. Raises KubeError.

    A guest that does not listen is cut by its pod's end, not after its own grace period (30 s by default, and a
    custom resource's deletion knows no shorter one).
    """
    left: set[str] = set()
    objects, asked = Objects(connection, patience=0.0), set[str]()
    synced = False
    async with aclosing(Watcher(connection, PODS, namespace=namespace).events()) as events:
        async for event in events:
            match event:
                case Seen() if vmi_of_pod(event.object) in vmis:
                    uid = str((event.object.get("metadata") or {}).get("uid", ""))
                    left.discard(uid) if event.type == "DELETED" else left.add(uid)
                    if event.type != "DELETED" and uid not in asked:
                        asked.add(uid)
                        with suppress(KubeError):  # then it takes as long as it takes
                            name = event.object["metadata"]["name"]
                            await objects.delete(PODS, name, namespace=namespace, grace=SOON)
                case Synced():
                    synced = True
                case _:
                    pass
            if synced and not left:
                return

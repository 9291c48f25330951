"""Waiting until what a run made is gone. By a watch of its own: the run's may have failed, which is why it ends."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import aclosing, suppress

from harness.kube.connection import Connection
from harness.kube.errors import KubeError
from harness.kube.objects import Objects
from harness.kube.resources import PODS
from harness.kube.watch import Seen, Synced, Watcher
from harness.run.world import vmi_of_pod

SOON = 1
"""Seconds between SIGTERM and SIGKILL; a kubelet makes at least 2 of it."""


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

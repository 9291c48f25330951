"""Waiting until what a run made is gone. By a watch of its own: the run's may have failed, which is why it ends."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import aclosing

from harness.kube.connection import Connection
from harness.kube.resources import PODS
from harness.kube.watch import Seen, Synced, Watcher
from harness.run.world import vmi_of_pod


async def pods_gone(connection: Connection, namespace: str, vmis: Collection[str]) -> None:
    """Return when no pod of these VMIs (`<namespace>/<name>`) is left. Others' pods don't matter. Raises KubeError."""
    left: set[str] = set()
    synced = False
    async with aclosing(Watcher(connection, PODS, namespace=namespace).events()) as events:
        async for event in events:
            match event:
                case Seen() if vmi_of_pod(event.object) in vmis:
                    uid = str((event.object.get("metadata") or {}).get("uid", ""))
                    left.discard(uid) if event.type == "DELETED" else left.add(uid)
                case Synced():
                    synced = True
                case _:
                    pass
            if synced and not left:
                return

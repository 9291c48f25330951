"""Readings of several nodes at once as one stream, and whose pod is whose meanwhile: what every probe over an API has in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing
from typing import Any

from harness.cluster.base import Reading
from harness.cluster.nodes.looks import Owner
from harness.kube.connection import Connection
from harness.kube.resources import PODS
from harness.kube.watch import Seen, Watcher

Readings = asyncio.Queue[Reading | BaseException]
_MOST = 10_000


def queue() -> Readings:
    """Return what the work below puts its readings in."""
    return asyncio.Queue(_MOST)


async def gather(
    readings: Readings, work: Mapping[str, Coroutine[Any, Any, None]]
) -> AsyncGenerator[Reading]:
    """Do all of the work, each under its name, and yield what it reads until closed. Raises what any of it raises."""
    tasks = [asyncio.create_task(_told(readings, each), name=f"probe {name}") for name, each in work.items()]
    try:
        while True:
            item = await readings.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _told(readings: Readings, work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001 - raised where readings are read
        await readings.put(error)


async def keep_owners(connection: Connection, owners: dict[str, Owner], *, namespace: str = "") -> None:
    """Keep pod uid → owner up to date, of one namespace or ('') of all, until cancelled. Raises KubeError."""
    async with aclosing(Watcher(connection, PODS, namespace=namespace).events()) as events:
        async for event in events:
            if isinstance(event, Seen):
                uid = str((event.object.get("metadata") or {}).get("uid", ""))
                owners[uid] = owner(event.object)


def owner(pod: Mapping[str, Any]) -> Owner:
    """Return whose a pod is: a VMI's launcher names it in its owner references."""
    meta = pod.get("metadata") or {}
    namespace = meta.get("namespace", "")
    vmi = next(
        (
            f"{namespace}/{reference.get('name')}"
            for reference in meta.get("ownerReferences") or ()
            if reference.get("kind") == "VirtualMachineInstance"
        ),
        "",
    )
    return Owner(pod=f"{namespace}/{meta.get('name', '')}", vmi=vmi)

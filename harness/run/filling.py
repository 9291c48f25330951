"""Filling: members of a fleet one after another until the scheduler finds no node for one, which is taken back.

What fits is decided where Kubernetes decides it, by requests, before the guests have grown. The one that found no
node is deleted at once, so that it cannot slip in when an eviction makes room: that would be another load.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from harness.run.errors import RunError
from harness.run.fleet import Planned
from harness.run.stream import Deadline, Stream
from harness.run.world import World

SCHEDULED = 60.0
"""Seconds the scheduler may take to say anything of one pod."""


async def fill(
    mine: Sequence[Planned],
    *,
    create: Callable[[Planned], Awaitable[bool]],
    remove: Callable[[Planned], Awaitable[object]],
    made: Callable[[Planned], None],
    stream: Stream,
    world: World,
    patience: float,
) -> None:
    """Create members in order until one finds no node, and put on record what ended it (action `fill-over`).

    `patience`: seconds a pod may be without a node before the scheduler is believed. Raises RunError, KubeError.
    """
    for index, one in enumerate(mine):
        if not await create(one):
            return
        words = await _settled(one, stream=stream, world=world, patience=patience)
        if words:
            stream.action("fill-over", one.vmi, fleet=one.fleet, fitted=index, why=words)
            await remove(one)
            await _gone(one, stream=stream, world=world)
            return
        made(one)
    if mine:
        # No node was full: more might have fitted.
        stream.action("fill-over", "", fleet=mine[0].fleet, fitted=len(mine), why="count")


async def _settled(one: Planned, *, stream: Stream, world: World, patience: float) -> str:
    """Return '' once a member has a node, else the scheduler's words. Raises RunError."""
    clock = asyncio.get_running_loop().time

    def said() -> bool:
        return bool(world.node_of(one.vmi) or world.unschedulable(one.vmi) or world.is_dead(one.vmi))

    try:
        await stream.until(said, within=SCHEDULED)
        refused = clock()
        while not world.node_of(one.vmi) and (left := refused + patience - clock()) > 0:
            try:
                await stream.until(lambda: bool(world.node_of(one.vmi)), within=left)
            except Deadline:
                break
    except Deadline as error:
        raise RunError(
            f"{one.vmi}: neither a node nor a refusal by the scheduler within {SCHEDULED:g} s; "
            f"{world.why_not_running(one.vmi)}"
        ) from error
    return "" if world.node_of(one.vmi) else world.unschedulable(one.vmi)


async def _gone(one: Planned, *, stream: Stream, world: World) -> None:
    try:
        await stream.until(lambda: world.is_dead(one.vmi), within=SCHEDULED)
    except Deadline:
        stream.note(
            "left-behind", f"{one.vmi} found no node and is still there {SCHEDULED:g} s after its deletion"
        )
    world.guests.pop(one.vmi, None)

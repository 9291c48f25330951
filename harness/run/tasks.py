"""Structured background tasks: they belong to a block, end with it, and their failure ends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


class Background:
    """Tasks that live as long as their block."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: list[asyncio.Task[Any]] = []

    def start(self, coroutine: Coroutine[Any, Any, Any], name: str) -> None:
        """Start a task; it is cancelled at the end of the block."""
        self._tasks.append(self._group.create_task(coroutine, name=name))

    def cancel(self) -> None:
        """Cancel all of them."""
        for task in self._tasks:
            task.cancel()


@asynccontextmanager
async def background() -> AsyncIterator[Background]:
    """Yield a place for tasks; cancel and await them at the end.

    A task that fails ends the block. Of several errors the body's own, else the first, is raised as it is.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = Background(group)
            try:
                yield tasks
            finally:
                tasks.cancel()
    except BaseExceptionGroup as errors:
        raise cause(errors) from errors


def cause(error: BaseException) -> BaseException:
    """Return the first leaf of nested exception groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

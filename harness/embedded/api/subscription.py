"""A controller's view of the store: what is there, then what changes, in one order over several kinds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Protocol, Self

from harness.embedded.api.errors import Gone
from harness.embedded.api.objects import Object, name_of, namespace_of
from harness.embedded.api.resources import Resource
from harness.embedded.api.ring import Change


class Source(Protocol):
    """What a subscription asks of a store."""

    @property
    def resource_version(self) -> int:
        """The version of the newest write."""

    def list(self, resource: Resource, namespace: str | None = None) -> tuple[Sequence[Object], int]:
        """Return the objects, and the resource version they stand for."""

    def since(self, resource: Resource, version: int) -> Sequence[Change]:
        """Return the changes of one kind after `version`. Raises `Gone`."""

    def listen(self, resource: Resource, wake: asyncio.Event) -> None:
        """Have `wake` set whenever this kind changes."""

    def unlisten(self, resource: Resource, wake: asyncio.Event) -> None:
        """Undo `listen`."""


class Subscription(AsyncIterator[Change]):
    """An endless stream of `Change`. Holds nothing in the store unless somebody waits in it.

    Begins at the moment it was made: objects present then come first, as ADDED, kind by kind in the order asked.
    """

    def __init__(self, store: Source, resources: tuple[Resource, ...]) -> None:
        self._store = store
        self._resources = resources
        self._known: dict[tuple[Resource, str, str], Object] = {}
        self._pending: deque[Change] = deque()
        self._cursor = 0
        self._wake = asyncio.Event()
        self._catch_up()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._pending.clear()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while not self._pending:
            self._wake.clear()
            self._collect()
            if self._pending:
                break
            try:
                for resource in self._resources:
                    self._store.listen(resource, self._wake)
                await self._wake.wait()
            finally:
                for resource in self._resources:
                    self._store.unlisten(resource, self._wake)
        return self._pending.popleft()

    def _collect(self) -> None:
        try:
            changes = [c for r in self._resources for c in self._store.since(r, self._cursor)]
        except Gone:
            self._catch_up()
            return
        changes.sort(key=lambda change: change.resource_version)
        self._cursor = self._store.resource_version
        for change in changes:
            key = (change.resource, namespace_of(change.object), name_of(change.object))
            if change.type == "DELETED":
                self._known.pop(key, None)
            else:
                self._known[key] = change.object
        self._pending.extend(changes)

    def _catch_up(self) -> None:
        """Queue the differences between what this subscriber knows and what is there now."""
        self._cursor = self._store.resource_version
        present: dict[tuple[Resource, str, str], Object] = {}
        for resource in self._resources:
            for obj in self._store.list(resource)[0]:
                present[resource, namespace_of(obj), name_of(obj)] = obj
        known, self._known = self._known, present
        for key, old in known.items():
            new = present.get(key)
            if new is None or new["metadata"]["uid"] != old["metadata"]["uid"]:
                self._pending.append(Change("DELETED", key[0], old, self._cursor))
        for key, obj in present.items():
            before = known.get(key)
            version = int(obj["metadata"]["resourceVersion"])
            if before is None or before["metadata"]["uid"] != obj["metadata"]["uid"]:
                self._pending.append(Change("ADDED", key[0], obj, version))
            elif before is not obj:
                self._pending.append(Change("MODIFIED", key[0], obj, version, before))

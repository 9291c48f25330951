"""What happened lately to one kind, kept once for all watchers.

A watcher holds no queue, only the resource version it has seen; who falls so far behind that its next change has
left the ring gets `Gone` and lists again. Memory is bounded whatever watchers do (Kubernetes: the watch cache).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Literal

import orjson

from harness.embedded.api.errors import Gone
from harness.embedded.api.objects import Object
from harness.embedded.api.resources import Resource

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]


class Encoded:
    """An object and its JSON, made once per served version and shared by every answer and event."""

    __slots__ = ("_json", "object")

    def __init__(self, obj: Object) -> None:
        self.object = obj
        self._json: dict[str, bytes] = {}

    def json(self, api_version: str = "") -> bytes:
        """Return the JSON under this apiVersion (empty: the stored one)."""
        encoded = self._json.get(api_version)
        if encoded is None:
            obj = self.object
            if api_version and api_version != obj.get("apiVersion"):
                obj = {**obj, "apiVersion": api_version}
            encoded = self._json[api_version] = orjson.dumps(obj)
        return encoded

    def editable(self) -> Object:
        """Return a private copy of the object, out of the JSON that is there anyway."""
        copy: Object = orjson.loads(self.json())
        return copy


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one object. `object` is as it was stored, or last stored before a deletion."""

    type: ChangeType
    resource: Resource
    object: Object
    resource_version: int
    previous: Object | None = field(default=None, repr=False, compare=False)
    """The object before a modification: what a selector needs to see an object leave its set."""
    encoded: Encoded | None = field(default=None, repr=False, compare=False)


class Ring:
    """The newest `capacity` changes of one kind, in order of resource version."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._changes: list[Change] = []
        self._versions: list[int] = []
        self._forgotten = 0

    @property
    def forgotten(self) -> int:
        """The resource version of the newest change that has left the ring (0: none has)."""
        return self._forgotten

    def append(self, change: Change) -> None:
        """Keep a change; forget the oldest in batches, so that appending stays cheap."""
        self._changes.append(change)
        self._versions.append(change.resource_version)
        surplus = len(self._changes) - self._capacity
        if surplus > self._capacity // 4:
            self._forgotten = self._versions[surplus - 1]
            del self._changes[:surplus]
            del self._versions[:surplus]

    def since(self, version: int) -> list[Change]:
        """Return the changes after `version`. Raises `Gone` when some of them are forgotten."""
        if version < self._forgotten:
            raise Gone.of(version, self._forgotten)
        start = bisect_right(self._versions, version)
        return self._changes[start:] if start < len(self._changes) else []

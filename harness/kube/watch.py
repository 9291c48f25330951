"""List and watch one resource, without losing or doubling a change, and saying so when something may be missing.

`kubernetes.watch` decodes each event three times and retries an expired resourceVersion with the same one; this asks
for bookmarks, continues at the last resourceVersion seen, and after 410 (HTTP, or an ERROR event) lists again: what
changed meanwhile comes as RELIST, what vanished as a synthetic DELETED, and the gap is reported as a note.
Rules: kubernetes.io/docs/reference/using-api/api-concepts (efficient detection of changes, watch bookmarks, 410 Gone).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

import aiohttp
import orjson

from harness.kube.backoff import Backoff
from harness.kube.connection import CONNECT_TIMEOUT, Connection, describe
from harness.kube.errors import (
    ApiError,
    BrokenStream,
    ClientError,
    ConfigError,
    Gone,
    KubeError,
    TooManyRequests,
    Unreachable,
    api_error,
)
from harness.kube.lines import LineSplitter
from harness.kube.objects import PATIENCE, Objects
from harness.kube.resources import Resource

WATCH_SECONDS = 300
"""`timeoutSeconds` of one watch request; the server ends it then (kube-apiserver's own choice is 30 to 60 min)."""
SILENCE = 15.0
"""Seconds a watch may be overdue at its own end before the connection is taken for dead (a half-open TCP connection)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A change. RELIST: found by listing again after a gap, when and how often it changed is unknown."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "RELIST"]
    object: dict[str, Any]
    synthetic: bool = False
    """DELETED that no server sent: the object was gone when listed again; `object` is as last seen."""


@dataclass(frozen=True, slots=True)
class Synced:
    """The first list is complete; everything after this happened while we watched."""

    resource: str
    resource_version: str
    count: int


@dataclass(frozen=True, slots=True)
class StreamNote:
    """What happened to the stream itself. what: reconnect (nothing missing), gap (something may be), throttled."""

    what: Literal["reconnect", "gap", "throttled"]
    text: str
    data: dict[str, Any] = field(default_factory=dict)


WatchItem = Seen | Synced | StreamNote


@dataclass(slots=True)
class _Known:
    """What the watcher believes exists: uid → the object as last seen."""

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    version: str = ""


class Watcher:
    """One resource, one namespace ('' is all), one selector. Iterate `events()` once; cancel or close to stop."""

    def __init__(
        self,
        connection: Connection,
        resource: Resource,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        backoff: Backoff | None = None,
        watch_seconds: int = WATCH_SECONDS,
        first_patience: float = PATIENCE,
    ) -> None:
        self._connection = connection
        self._resource = resource
        self._namespace = namespace
        self._labels = labels
        self._fields = fields
        self._backoff = backoff or Backoff()
        self._watch_seconds = watch_seconds
        self._first = Objects(connection, patience=first_patience)
        self._known = _Known()
        # Retries here are the watcher's own; a nested loop of another patience would hide them.
        self._objects = Objects(connection, patience=0.0)

    async def events(self) -> AsyncGenerator[WatchItem]:
        """Yield changes and notes until closed.

        Raises what can't mend itself: Unauthorized, Forbidden, NotFound (the resource is not served), Invalid.
        The very first list raises Unreachable too: a server that was never there is not a reconnect.
        """
        items, self._known.version = await self._first.list_all(
            self._resource, namespace=self._namespace, labels=self._labels, fields=self._fields
        )
        for first in items:
            self._known.objects[_uid(first)] = first
            yield Seen("ADDED", first)
        yield Synced(self._resource.plural, self._known.version, len(items))
        while True:
            try:
                async with aclosing(self._stream()) as stream:
                    async for item in stream:
                        yield item
            except Gone as error:
                then = self._relist(str(error))
            except TooManyRequests as error:
                then = self._retry(error, what="throttled", at_least=error.retry_after)
            except (ClientError, ConfigError):
                raise
            except KubeError as error:
                if _is_from_the_future(error):
                    then = self._relist(str(error))
                else:
                    then = self._retry(error, what="reconnect", at_least=getattr(error, "retry_after", None))
            else:
                then = self._retry("the server ended the watch", what="reconnect")
            async with aclosing(then):
                async for item in then:
                    yield item

    async def _retry(
        self, why: object, *, what: Literal["reconnect", "throttled"], at_least: float | None = None
    ) -> AsyncGenerator[WatchItem]:
        """Say why, then wait as long as the back-off (and the server) asks."""
        delay = max(self._backoff.next(), at_least or 0.0)
        yield StreamNote(
            what,
            f"{self._resource.plural}: {why}",
            {
                "resource": self._resource.plural,
                "resourceVersion": self._known.version,
                "failures": self._backoff.failures,
                "seconds": round(delay, 3),
            },
        )
        if delay:
            await asyncio.sleep(delay)

    async def _relist(self, why: str) -> AsyncGenerator[WatchItem]:
        """List until it works, then tell the difference to what was known."""
        since, began = self._known.version, asyncio.get_running_loop().time()
        # At once the first time, later no faster than the back-off allows: 410 may be all a server has to say.
        await asyncio.sleep(self._backoff.next())
        while True:
            try:
                items, version = await self._objects.list_all(
                    self._resource, namespace=self._namespace, labels=self._labels, fields=self._fields
                )
                break
            except Gone as error:  # a page expired between two calls
                then = self._retry(error, what="reconnect")
            except TooManyRequests as error:
                then = self._retry(error, what="throttled", at_least=error.retry_after)
            except (ClientError, ConfigError):
                raise
            except KubeError as error:
                then = self._retry(error, what="reconnect", at_least=getattr(error, "retry_after", None))
            async with aclosing(then):
                async for note in then:
                    yield note
        yield StreamNote(
            "gap",
            f"{self._resource.plural}: listed again ({why})",
            {
                "resource": self._resource.plural,
                "from": since,
                "to": version,
                "seconds": round(asyncio.get_running_loop().time() - began, 3),
            },
        )
        current = {_uid(item): item for item in items}
        before, self._known.objects, self._known.version = self._known.objects, current, version
        for uid, item in before.items():
            if uid not in current:
                yield Seen("DELETED", item, synthetic=True)
        for uid, item in current.items():
            if uid not in before or _version(before[uid]) != _version(item):
                yield Seen("RELIST", item)

    async def _stream(self) -> AsyncGenerator[WatchItem]:
        params = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._known.version,
            "timeoutSeconds": str(self._watch_seconds),
        }
        if self._labels:
            params["labelSelector"] = self._labels
        if self._fields:
            params["fieldSelector"] = self._fields
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_TIMEOUT, sock_read=self._watch_seconds + SILENCE
        )
        path = self._resource.path(namespace=self._namespace)
        async with self._connection.request("GET", path, params=params, timeout=timeout) as response:
            splitter = LineSplitter()
            while True:
                try:
                    chunk = await response.content.readany()
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    # ClientPayloadError is what a dropped chunked stream looks like: normal, continue where we were.
                    raise Unreachable(f"the connection broke: {describe(error)}") from error
                if not chunk:
                    # A half line at the end was never an event: its change comes again after the reconnect.
                    return
                for line in splitter.feed(chunk):
                    seen = self._take(line)
                    if seen is not None:
                        yield seen

    def _take(self, line: bytes) -> Seen | None:
        if not line.strip():
            return None
        try:
            event = orjson.loads(line)
            kind, item = event["type"], event["object"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise BrokenStream(f"not a watch event: {line[:80]!r}") from error
        if kind == "ERROR":
            raise _error_event(item)
        version, uid = _version(item), _uid(item)
        if version != self._known.version:
            self._backoff.reset()  # what only repeats itself is no progress
        self._known.version = version
        if kind == "BOOKMARK":
            return None
        known = self._known.objects.get(uid)
        if kind == "DELETED":
            self._known.objects.pop(uid, None)
            return Seen("DELETED", item) if known is not None else None
        if known is not None and not _newer(version, than=_version(known)):
            return None  # told twice, or a replay from before our list
        self._known.objects[uid] = item
        # A replay calls known objects ADDED; to us they are changes.
        return Seen("MODIFIED" if known is not None else "ADDED", item)


def _error_event(status: Any) -> KubeError:
    payload = status if isinstance(status, dict) else {}
    code = int(payload.get("code") or (410 if payload.get("reason") in {"Expired", "Gone"} else 500))
    error: ApiError = api_error(code, payload)
    if isinstance(error, ClientError) and not isinstance(error, Gone | TooManyRequests):
        # A stream that had begun can't have been a bad request; treat it as a failing server. An expired token (401)
        # is renewed by the next request.
        return BrokenStream(str(error))
    return error


def _is_from_the_future(error: KubeError) -> bool:
    """Whether the server has not got as far as we had: its storage was restored from a backup.

    apiserver/pkg/storage/errors.go NewTooLargeResourceVersionError: 504 with this cause.
    """
    if not isinstance(error, ApiError):
        return False
    causes = (error.payload.get("details") or {}).get("causes") or ()
    return any(cause.get("reason") == "ResourceVersionTooLarge" for cause in causes)


def _meta(item: dict[str, Any]) -> dict[str, Any]:
    return item.get("metadata") or {}


def _version(item: dict[str, Any]) -> str:
    return str(_meta(item).get("resourceVersion", ""))


def _newer(version: str, *, than: str) -> bool:
    """Whether a version of an object is another, later one. Decimal numbers compare (KEP-5504); others only differ."""
    if version.isdecimal() and than.isdecimal():
        return int(version) > int(than)
    return version != than


def _uid(item: dict[str, Any]) -> str:
    meta = _meta(item)
    # Objects without uid exist only on stand-in servers; name and namespace tell those apart.
    return str(meta.get("uid") or f"{meta.get('namespace', '')}/{meta.get('name', '')}")

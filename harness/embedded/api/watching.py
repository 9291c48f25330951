"""Watches: a chunked stream of events out of the shared ring, with bookmarks, WatchList and back-pressure.

A watcher keeps no queue. What it still has to send stays in the ring; a client that reads slower than the ring
turns over gets an ERROR event with a 410 Status, one that reads nothing at all is cut off after `write_deadline`.
Sources: Kubernetes 1.36 `apiserver/pkg/storage/cacher`, KEP-3157 (WatchList).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from harness.embedded.api.errors import ApiError, BadRequest, Gone, Invalid
from harness.embedded.api.objects import Object, namespace_of
from harness.embedded.api.requests import Accept, Target, flag, number
from harness.embedded.api.ring import Change, Encoded
from harness.embedded.api.selectors import Predicate
from harness.embedded.api.store import Store
from harness.embedded.api.tables import IncludeObject, table

DEFAULT_TIMEOUT = 1800.0
"""Seconds; `--min-request-timeout` of a real API server."""

_PIECE = 256
"""Events joined into one write: large enough to save system calls, small enough to bound a stalled buffer."""

_PREFIX = {kind: f'{{"type":"{kind}","object":'.encode() for kind in ("ADDED", "MODIFIED", "DELETED")}


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """What a watch request asks for. `version` None: begin with what is there."""

    version: int | None
    bookmarks: bool
    watch_list: bool
    timeout: float

    @classmethod
    def parse(cls, target: Target, query: dict[str, str]) -> WatchOptions:
        """Read the query. Raises `BadRequest`, `Invalid`."""
        watch_list = flag(query, "sendInitialEvents")
        match = query.get("resourceVersionMatch", "")
        if match and "sendInitialEvents" not in query:
            message = (
                "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            )
            raise Invalid.of(target.resource, "", [("FieldValueForbidden", "resourceVersionMatch", message)])
        if "sendInitialEvents" in query and match != "NotOlderThan":
            message = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            raise Invalid.of(target.resource, "", [("FieldValueForbidden", "resourceVersionMatch", message)])
        text = query.get("resourceVersion", "")
        if text and not text.isdigit():
            raise BadRequest(f'resourceVersion: Invalid value: "{text}": must be a whole number')
        from_present = watch_list or (text in {"", "0"} and "sendInitialEvents" not in query)
        return cls(
            version=None if from_present else int(text or 0),
            bookmarks=flag(query, "allowWatchBookmarks"),
            watch_list=watch_list,
            timeout=float(number(query, "timeoutSeconds") or DEFAULT_TIMEOUT),
        )


class Lines:
    """Turns changes into lines for one watcher: selects, and words them as objects or as Tables."""

    def __init__(
        self,
        store: Store,
        target: Target,
        *,
        selected: Predicate | None,
        accept: Accept,
        include: IncludeObject,
    ) -> None:
        self._store = store
        self._target = target
        self._selected = selected
        self._accept = accept
        self._include: IncludeObject = include
        self._header = True

    def present(self) -> list[list[bytes]]:
        """Return one ADDED line (in parts) for each selected object that is there."""
        items = self._store.encoded_list(self._target.resource, self._target.namespace)
        return [self._line("ADDED", item) for item in items if self._takes(item.object)]

    def changes(self, changes: Iterable[Change]) -> list[list[bytes]]:
        """Return the lines (in parts) of changes; an object that enters or leaves the selection is ADDED or DELETED."""
        lines: list[list[bytes]] = []
        for change in changes:
            kind: str = change.type
            now = self._takes(change.object)
            if kind == "MODIFIED" and self._selected is not None:
                before = change.previous is not None and self._takes(change.previous)
                kind = {(True, False): "DELETED", (False, True): "ADDED"}.get((before, now), kind)
                now = now or before
            elif kind == "DELETED" and not now and change.previous is not None:
                now = self._takes(change.previous)
            if now:
                lines.append(self._line(kind, change.encoded or Encoded(change.object)))
        return lines

    def bookmark(self, version: int, *, initial_end: bool = False) -> list[bytes]:
        """Return a BOOKMARK line: everything up to `version` has been sent."""
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        if initial_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        obj: dict[str, Any] = {
            "kind": self._target.resource.kind,
            "apiVersion": self._target.api_version,
            "metadata": metadata,
        }
        if self._accept.table:
            obj = self._table(obj)
        return [orjson.dumps({"type": "BOOKMARK", "object": obj}), b"\n"]

    def _takes(self, obj: Object) -> bool:
        namespace = self._target.namespace
        if namespace is not None and namespace_of(obj) != namespace:
            return False
        return self._selected is None or self._selected(obj)

    def _line(self, kind: str, encoded: Encoded) -> list[bytes]:
        if self._accept.table:
            return [orjson.dumps({"type": kind, "object": self._table(encoded.object)}), b"\n"]
        json = encoded.json(self._target.api_version)
        return [_PREFIX[kind], json, b"}\n"]

    def _table(self, obj: Object) -> dict[str, Any]:
        header, self._header = self._header, False
        return table(
            self._target.resource,
            [obj],
            now=self._store.clock(),
            resource_version=obj["metadata"].get("resourceVersion", ""),
            include=self._include,
            version=self._accept.table,
            header=header,
        )


class Watches:
    """All open watches of a server."""

    def __init__(self, store: Store, *, bookmark_interval: float, write_deadline: float) -> None:
        self._store = store
        self._bookmark_interval = bookmark_interval
        self._write_deadline = write_deadline
        self._open: set[asyncio.Event] = set()
        self._closing = False

    def __len__(self) -> int:
        return len(self._open)

    def close(self) -> None:
        """Let every open watch end after what it is writing, and new ones at once."""
        self._closing = True
        for wake in self._open:
            wake.set()

    async def serve(
        self, request: web.Request, target: Target, options: WatchOptions, lines: Lines
    ) -> web.StreamResponse:
        """Stream until the time asked for is over, the client is gone, fell behind, or the server closes."""
        response = web.StreamResponse(
            headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
        )
        response.enable_chunked_encoding()
        wake = asyncio.Event()
        self._open.add(wake)
        self._store.listen(target.resource, wake)
        try:
            await response.prepare(request)
            await self._stream(response, target, options, lines, wake)
            await response.write_eof()
        except (ConnectionError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._store.unlisten(target.resource, wake)
            self._open.discard(wake)
        return response

    async def _stream(
        self,
        response: web.StreamResponse,
        target: Target,
        options: WatchOptions,
        lines: Lines,
        wake: asyncio.Event,
    ) -> None:
        clock = asyncio.get_running_loop().time
        cursor = self._store.resource_version
        end = clock() + options.timeout
        bookmark_at = clock() + self._bookmark_interval if options.bookmarks else end
        if options.version is None:
            await self._write(response, lines.present())
            if options.watch_list and options.bookmarks:
                await self._write(response, [lines.bookmark(cursor, initial_end=True)])
        elif options.version > cursor:
            # A version that was never given out comes from another server's life: make the client list again.
            await self._write_error(response, Gone.of(options.version, cursor))
            return
        else:
            cursor = options.version
        while not self._closing:
            wake.clear()
            try:
                changes = self._store.since(target.resource, cursor)
            except Gone as gone:
                await self._write_error(response, gone)
                return
            if changes:
                piece = changes[:_PIECE]
                cursor = piece[-1].resource_version
                await self._write(response, lines.changes(piece))
            else:
                cursor = self._store.resource_version
            if clock() >= end:
                break
            if options.bookmarks and clock() >= bookmark_at:
                await self._write(response, [lines.bookmark(cursor)])
                bookmark_at = clock() + self._bookmark_interval
            if changes:
                continue
            try:
                async with asyncio.timeout_at(min(end, bookmark_at)):
                    await wake.wait()
            except TimeoutError:
                continue
        if options.bookmarks and not self._closing:
            await self._write(response, [lines.bookmark(cursor)])

    async def _write(self, response: web.StreamResponse, lines: Sequence[list[bytes]]) -> None:
        for start in range(0, len(lines), _PIECE):
            data = b"".join(part for line in lines[start : start + _PIECE] for part in line)
            async with asyncio.timeout(self._write_deadline):
                await response.write(data)

    async def _write_error(self, response: web.StreamResponse, error: ApiError) -> None:
        event = orjson.dumps({"type": "ERROR", "object": error.status})
        await self._write(response, [[event, b"\n"]])

"""One-shot calls: create, get, list, patch, delete.

What may be repeated without harm is repeated for a while when the server can't be reached or fails; what is not
idempotent is repeated only after 429, which says that nothing was done (API priority and fairness).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import aiohttp
import orjson
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_before_delay,
    wait_exponential_jitter,
)

from harness.kube.connection import Connection, describe
from harness.kube.errors import ApiError, NotFound, ServerError, TooManyRequests, Unreachable, api_error
from harness.kube.resources import Resource

PATIENCE = 30.0
"""Seconds during which an idempotent call is repeated: a control plane's leader change or restart takes 10-20."""

PatchType = Literal["merge", "json", "strategic"]
Validation = Literal["Strict", "Warn", "Ignore"]
_PATCHES: Mapping[PatchType, str] = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}
_ESCAPED: Final = re.compile(r"\\(.)")
_jitter = wait_exponential_jitter(multiplier=0.1, max=5.0, jitter=0.1)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, ApiError) else None
    # `Retry-After: 0` allows to come back at once; doing so each time would be a tight loop.
    return max(asked or 0.0, _jitter(state))


def _throttled(error: BaseException) -> bool:
    return isinstance(error, TooManyRequests)


def _transient(error: BaseException) -> bool:
    return isinstance(error, TooManyRequests | ServerError | Unreachable)


class Objects:
    """Calls on one API server. `warn` is given every `Warning:` header the server sends (admission, deprecation)."""

    def __init__(
        self, connection: Connection, *, warn: Callable[[str], None] | None = None, patience: float = PATIENCE
    ) -> None:
        self.connection = connection
        self._warn = warn
        self._patience = patience

    async def get(self, resource: Resource, name: str, *, namespace: str = "") -> dict[str, Any]:
        """Return an object. Raises NotFound."""
        return await self._object("GET", resource.path(namespace=namespace, name=name))

    async def raw(self, path: str) -> Any:
        """Return the decoded answer of a GET on any path (`/version`, a node's proxy)."""
        return await self._repeat("GET", path)

    async def list_all(
        self, resource: Resource, *, namespace: str = "", labels: str = "", fields: str = ""
    ) -> tuple[list[dict[str, Any]], str]:
        """Return all objects and the list's resourceVersion, consistent (not from the server's cache).

        Raises Gone when a page expired between two calls: list again.
        """
        params = {k: v for k, v in (("labelSelector", labels), ("fieldSelector", fields)) if v}
        items: list[dict[str, Any]] = []
        while True:
            page = await self._object("GET", resource.path(namespace=namespace), params=dict(params))
            items += page.get("items") or []
            meta = page.get("metadata") or {}
            if not meta.get("continue"):
                break
            params["continue"] = meta["continue"]
        # Items of a typed list come without their kind; what is recorded must say what it is.
        for item in items:
            item.setdefault("apiVersion", f"{resource.group}/{resource.version}".lstrip("/"))
            item.setdefault("kind", resource.kind)
        return items, str(meta.get("resourceVersion", ""))

    async def create(
        self,
        resource: Resource,
        manifest: Mapping[str, Any],
        *,
        namespace: str = "",
        strict: bool = True,
        validation: Validation | None = None,
    ) -> dict[str, Any]:
        """Create an object; unknown fields are refused unless `strict` is off (then they come back as warnings).

        `validation`: `fieldValidation` in place of what `strict` says.

        Raises Invalid, Forbidden, Conflict with the server's message. Not repeated when the answer was lost.
        """
        return await self._object(
            "POST",
            resource.path(namespace=namespace),
            when=_throttled,
            params={
                "fieldManager": "density",
                "fieldValidation": validation or ("Strict" if strict else "Warn"),
            },
            body=manifest,
        )

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Mapping[str, Any] | list[Mapping[str, Any]],
        *,
        namespace: str = "",
        kind: PatchType = "merge",
        subresource: str = "",
    ) -> dict[str, Any]:
        """Patch an object. A JSON patch is not repeated when the answer was lost: its operations add up."""
        return await self._object(
            "PATCH",
            resource.path(namespace=namespace, name=name, subresource=subresource),
            when=_throttled if kind == "json" else _transient,
            params={"fieldManager": "density"},
            body=patch,
            content_type=_PATCHES[kind],
        )

    async def delete(
        self, resource: Resource, name: str, *, namespace: str = "", grace: int | None = None
    ) -> bool:
        """Delete an object; False when it was not there. `grace` in seconds, None: the object's own."""
        body: dict[str, Any] = {"propagationPolicy": "Background"}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        try:
            await self._repeat("DELETE", resource.path(namespace=namespace, name=name), body=body)
        except NotFound:
            return False
        return True

    async def _repeat(
        self, method: str, path: str, *, when: Callable[[BaseException], bool] = _transient, **request: Any
    ) -> Any:
        retrying = AsyncRetrying(
            retry=retry_if_exception(when), wait=_wait, stop=stop_before_delay(self._patience), reraise=True
        )
        return await retrying(self._decoded, method, path, **request)

    async def _object(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        answer = await self._repeat(method, path, **request)
        if not isinstance(answer, dict):
            raise api_error(502, {"message": f"{method} {path}: the answer is not an object"})
        return answer

    async def _decoded(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Any:
        data = None if body is None else orjson.dumps(body)
        async with self.connection.request(
            method, path, params=params, body=data, content_type=content_type
        ) as response:
            try:
                raw = await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise Unreachable(f"{method} {path}: {describe(error)}") from error
            for value in response.headers.getall("Warning", ()):
                self._warned(value)
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise api_error(502, {"message": f"{method} {path}: the answer is not JSON"}) from error

    def _warned(self, header: str) -> None:
        # RFC 9111 form: `299 - "text"`, quotes and backslashes in the text behind a backslash
        if self._warn is not None:
            _, _, text = header.partition('"')
            self._warn(_ESCAPED.sub(r"\1", text.rstrip().removesuffix('"')) or header)

"""Making answers: JSON, errors, warnings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from aiohttp import web

from harness.embedded.api.errors import ApiError, StatusError


def json_answer(
    body: Mapping[str, Any] | bytes, *, code: int = 200, warnings: Iterable[str] = (), media: str = ""
) -> web.Response:
    """Return a JSON response; bytes are sent as they are."""
    response = web.Response(
        status=code,
        body=body if isinstance(body, bytes) else orjson.dumps(body),
        headers={"Content-Type": media or "application/json", "Cache-Control": "no-cache, private"},
    )
    for text in dict.fromkeys(warnings):
        response.headers.add("Warning", warning(text))
    return response


def warning(text: str) -> str:
    """Return the value of a `Warning` header: RFC 7234, code 299, quoted, one line."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{" ".join(escaped.split())}"'


def success(**details: Any) -> dict[str, Any]:
    """Return a Status that says all went well."""
    status: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    return {**status, "details": details} if details else status


def as_api_error(error: Exception) -> ApiError | None:
    """Return the answer an exception stands for: an `ApiError`, or anything that carries a `status` mapping."""
    if isinstance(error, ApiError):
        return error
    status = getattr(error, "status", None)
    if isinstance(status, Mapping) and status.get("kind", "Status") == "Status":
        return StatusError(status)
    return None


def error_answer(error: ApiError) -> web.Response:
    """Return the response that carries an error's Status."""
    return json_answer(error.status, code=int(error.status.get("code") or error.code))

"""What a Kubernetes API may answer instead of an object, as a small hierarchy.

Only those answers have a class of their own that callers treat differently. `ApiError` carries the HTTP status and the
`Status` object as served, so that messages reach the user verbatim; the transport's own error is chained.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson


class KubeError(Exception):
    """Anything that went wrong between us and an API server. The message is one line."""


class ConfigError(KubeError):
    """The kubeconfig can't be used: missing file, unknown context, unreadable credentials."""


class Unreachable(KubeError):
    """No answer: refused, reset, timed out, bad certificate."""


class BrokenStream(KubeError):
    """A watch sent what is not a watch event; the connection is of no more use."""


class ApiError(KubeError):
    """The server answered with an error. `status` is the HTTP code, `payload` the `Status` object ({} if it sent none)."""

    def __init__(
        self, message: str, *, status: int, payload: Mapping[str, Any], retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.payload = payload
        self.retry_after = retry_after
        """Seconds the server asked us to wait (`Retry-After`), None if it did not."""

    @property
    def reason(self) -> str:
        """The machine-readable reason (`NotFound`, `Expired`, …), '' if none was sent."""
        return str(self.payload.get("reason") or "")


class ClientError(ApiError):
    """4xx: the request was wrong; repeating it unchanged does not help."""


class ServerError(ApiError):
    """5xx: the server failed; repeating an idempotent request may help."""


class Unauthorized(ClientError):
    """401: no or expired credentials."""


class Forbidden(ClientError):
    """403: not allowed, or a quota or admission plugin refused."""


class NotFound(ClientError):
    """404: no such object, or no such resource (a CRD that is not installed)."""


class Conflict(ClientError):
    """409: changed in the meantime, or exists already."""


class Gone(ClientError):
    """410: the resourceVersion or continue token is too old; list again."""


class Invalid(ClientError):
    """400 and 422: the object was refused, by validation or by an admission webhook."""


class TooManyRequests(ClientError):
    """429: throttled before anything was done; `retry_after` says for how long."""


_CLASSES: Mapping[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


def api_error(status: int, payload: Mapping[str, Any], *, retry_after: float | None = None) -> ApiError:
    """Return the exception of that HTTP status."""
    kind = _CLASSES.get(status) or (ServerError if status >= 500 else ClientError)
    message = str(payload.get("message") or payload.get("reason") or f"HTTP {status}")
    return kind(message, status=status, payload=payload, retry_after=retry_after)


def status_payload(body: bytes) -> dict[str, Any]:
    """Read a `Status` object; a body of another kind (a proxy's HTML page) becomes its first line as message."""
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        text = body.decode(errors="replace").strip()
        return {"message": text.splitlines()[0][:300]} if text else {}
    return decoded if isinstance(decoded, dict) else {"message": str(decoded)[:300]}

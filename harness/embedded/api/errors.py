"""What the API answers when it doesn't do what was asked: exceptions that carry a `Status`.

Reasons, codes and messages are those of apimachinery (`k8s.io/apimachinery/pkg/api/errors`, v1.36): clients print
`message` verbatim and branch on `reason` and `code`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from harness.embedded.api.resources import Resource


class ApiError(Exception):
    """The base of this room's errors. `status` is the whole `Status` object, `code` its HTTP code."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"

    def __init__(self, message: str, *, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": self.reason,
            "code": self.code,
        }
        if details:
            self.status["details"] = dict(details)


class StatusError(ApiError):
    """Carries a `Status` made elsewhere, such as admission's."""

    def __init__(self, status: Mapping[str, Any]) -> None:
        super().__init__(str(status.get("message", "")))
        self.status = dict(status)


class BadRequest(ApiError):
    """The request can't be understood."""

    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    """No bearer token, or another one."""

    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    """Understood and refused."""

    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    """No such object, resource or path."""

    code, reason = 404, "NotFound"

    @classmethod
    def of(cls, resource: Resource, name: str) -> NotFound:
        """Word it as the API server does: `pods "a" not found`."""
        return cls(f'{resource.qualified} "{name}" not found', details=resource.details(name))


class MethodNotAllowed(ApiError):
    """The resource is served without this verb."""

    code, reason = 405, "MethodNotAllowed"


class AlreadyExists(ApiError):
    """An object of that name is there."""

    code, reason = 409, "AlreadyExists"

    @classmethod
    def of(cls, resource: Resource, name: str) -> AlreadyExists:
        """Word it as the API server does: `pods "a" already exists`."""
        return cls(f'{resource.qualified} "{name}" already exists', details=resource.details(name))


class Conflict(ApiError):
    """The object changed since it was read, or isn't the one meant (preconditions)."""

    code, reason = 409, "Conflict"

    @classmethod
    def of(cls, resource: Resource, name: str, why: str = "") -> Conflict:
        """Word it as the API server does."""
        why = why or (
            "the object has been modified; please apply your changes to the latest version and try again"
        )
        return cls(
            f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}',
            details=resource.details(name),
        )


class Gone(ApiError):
    """The asked resource version is older than what is kept: list again."""

    code, reason = 410, "Expired"

    @classmethod
    def of(cls, asked: int, oldest: int) -> Gone:
        """Word it as the watch cache does."""
        return cls(f"too old resource version: {asked} ({oldest})")


class UnsupportedMediaType(ApiError):
    """The body's content type is not one this verb takes."""

    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    """The object was read and breaks a rule. `causes` is what kubectl prints line by line."""

    code, reason = 422, "Invalid"

    @classmethod
    def of(cls, resource: Resource, name: str, causes: Sequence[tuple[str, str, str]]) -> Invalid:
        """Make one of `(reason, field, message)` causes, as field.ErrorList.ToAggregate words it."""
        texts = [f"{field}: {message}" for _, field, message in causes]
        joined = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        subject = resource.kind + (f".{resource.group}" if resource.group else "")
        return cls(
            f'{subject} "{name}" is invalid: {joined}',
            details={
                "name": name,
                **({"group": resource.group} if resource.group else {}),
                "kind": resource.kind,
                "causes": [
                    {"reason": reason, "message": message, "field": field}
                    for reason, field, message in causes
                ],
            },
        )


class NotAcceptable(ApiError):
    """None of the media types the client takes is made here."""

    code, reason = 406, "NotAcceptable"


class NotImplementedHere(ApiError):
    """A real cluster serves this; the embedded one doesn't, and says so."""

    code, reason = 501, "NotImplemented"


class Unavailable(ApiError):
    """What the request is about can't be reached now."""

    code, reason = 503, "ServiceUnavailable"


class TooLarge(ApiError):
    """The asked resource version lies in the future (another server's, most likely)."""

    code, reason = 504, "Timeout"

    @classmethod
    def of(cls, asked: int, current: int) -> TooLarge:
        """Word it as `storage.NewTooLargeResourceVersionError` does."""
        message = f"Too large resource version: {asked}, current: {current}"
        return cls(
            message,
            details={
                "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
                "retryAfterSeconds": 1,
            },
        )

"""Objects as they are stored and handed out: plain JSON values that nobody changes in place.

An edit copies the path it changes and shares the rest; `editable` gives a caller a private copy of the containers
(leaves stay shared, they are immutable).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]
"""A served object. Whoever holds one reads it; to change it, write a changed copy."""

_CONTAINERS = (dict, list)


def editable(value: Any) -> Any:
    """Copy dicts and lists, share leaves. Several times cheaper than `copy.deepcopy` for JSON values."""
    kind = type(value)
    if kind is dict:
        return {key: editable(item) if type(item) in _CONTAINERS else item for key, item in value.items()}
    if kind is list:
        return [editable(item) if type(item) in _CONTAINERS else item for item in value]
    if isinstance(value, Mapping):
        return {key: editable(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [editable(item) for item in value]
    return value


def with_metadata(obj: Mapping[str, Any], **changes: Any) -> Object:
    """Return `obj` with metadata keys replaced; `None` removes a key. Copies the path, shares the rest."""
    metadata = {**obj.get("metadata", {}), **changes}
    return {**obj, "metadata": {key: value for key, value in metadata.items() if value is not None}}


def name_of(obj: Mapping[str, Any]) -> str:
    """Return `metadata.name`, or the empty string."""
    return str((obj.get("metadata") or {}).get("name") or "")


def namespace_of(obj: Mapping[str, Any]) -> str:
    """Return `metadata.namespace`, or the empty string."""
    return str((obj.get("metadata") or {}).get("namespace") or "")


def timestamp(moment: datetime) -> str:
    """Spell a time as metav1.Time does: RFC 3339, UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp(moment: datetime) -> str:
    """Spell a time as metav1.MicroTime does."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def utc_now() -> datetime:
    """Return the wall clock's time, aware."""
    return datetime.now(UTC)

"""Objects as they are stored and handed out: plain JSON values that nobody changes in place.

An edit copies the path it changes and shares the rest; `editable` gives a caller a private copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

Object = dict[str, Any]
"""A served object. Whoever holds one reads it; to change it, write a changed copy."""


_CONTAINERS = (dict, list)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def editable(value: Any) -> Any:
    """Return a private copy of a JSON value. Raises `TypeError` for what is none.

    Through JSON and back: several times cheaper than `copy.deepcopy`, and what comes out is JSON for sure.
    """
    return orjson.loads(orjson.dumps(value, default=_plain))


def sharing(new: Any, old: Any) -> Any:
    """Return `new` with every part that equals its counterpart in `old` replaced by that; `old` itself if all do.

    What is kept of a change is then the changed path alone: less memory in the rings, less for the collector to walk.
    """
    if new == old and type(new) is type(old):
        return old
    if type(new) is dict and type(old) is dict:
        return {
            key: sharing(value, old[key]) if key in old and type(value) in _CONTAINERS else value
            for key, value in new.items()
        }
    if type(new) is list and type(old) is list:
        shared = [sharing(value, before) for value, before in zip(new, old, strict=False)]
        return shared + new[len(old) :]
    return new


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


def utc_now() -> datetime:
    """Return the wall clock's time, aware."""
    return datetime.now(UTC)

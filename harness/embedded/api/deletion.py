"""What deleting an object means: gone at once, or marked and left to whoever finishes it.

Sources: Kubernetes 1.36 `registry/core/pod/strategy.go` (CheckGracefulDelete), `registry/rest/delete.go` and
`registry/generic/registry/store.go` (finalizers). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from harness.embedded.api.objects import Object, timestamp, with_metadata
from harness.embedded.api.resources import PODS, Resource

DEFAULT_GRACE = 30
"""Seconds; v1.PodSpec.terminationGracePeriodSeconds when unset."""


@dataclass(frozen=True, slots=True)
class Remove:
    """Take the object out of the store now."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Store the object with a deletion timestamp and wait for the kubelet or for finalizers."""

    object: Object


def decide(
    resource: Resource, obj: Mapping[str, Any], *, grace: int | None, now: datetime
) -> Remove | Mark | None:
    """Return what a DELETE does to `obj`; None: nothing, it is being deleted already.

    `grace` are the seconds the caller asked for. Only pods that a kubelet runs are deleted gracefully.
    """
    metadata = obj.get("metadata", {})
    seconds = _grace(resource, obj, grace)
    if seconds == 0 and not metadata.get("finalizers"):
        return Remove()
    if metadata.get("deletionTimestamp"):
        shorter = seconds < metadata.get("deletionGracePeriodSeconds", 0)
        return Mark(_marked(obj, seconds, now)) if shorter else None
    return Mark(_marked(obj, seconds, now))


def finished(obj: Mapping[str, Any]) -> bool:
    """Whether a written object is removed by that write: marked, no grace left, no finalizers."""
    metadata = obj.get("metadata", {})
    return bool(
        metadata.get("deletionTimestamp")
        and not metadata.get("finalizers")
        and metadata.get("deletionGracePeriodSeconds", 0) == 0
    )


def _grace(resource: Resource, obj: Mapping[str, Any], asked: int | None) -> int:
    if resource != PODS:
        return 0
    spec = obj.get("spec", {})
    if not spec.get("nodeName") or (obj.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
        return 0
    if asked is None:
        asked = spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE)
    if asked < 0:
        return 1
    return int(asked)


def _marked(obj: Mapping[str, Any], seconds: int, now: datetime) -> Object:
    return with_metadata(
        obj,
        deletionTimestamp=timestamp(now + timedelta(seconds=seconds)),
        deletionGracePeriodSeconds=seconds,
    )

"""Events as components record them: one object per kind of happening, counted when it happens again.

Source: client-go tools/record (event.go, events_cache.go, Kubernetes 1.36). The spam filter is left out: nothing
here is chatty enough to meet it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.embedded.api.errors import NotFound
from harness.embedded.api.resources import EVENTS
from harness.embedded.api.store import Store
from harness.embedded.clock import Clock


class Recorder:
    """Writes a component's events. `host` is empty for components that belong to no node."""

    def __init__(self, store: Store, clock: Clock, *, component: str, host: str = "") -> None:
        self._store = store
        self._clock = clock
        self._component = component
        self._host = host
        self._seen: dict[tuple[str, ...], tuple[str, str]] = {}
        self._serial = 0

    def event(
        self,
        about: Mapping[str, Any],
        kind: str,
        reason: str,
        message: str,
        *,
        field: str = "",
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """Record that something happened to `about` (a served object); `field` is its part, as a field path."""
        reference = self._reference(about, field)
        key = (
            reference["kind"],
            reference.get("namespace", ""),
            reference["name"],
            reference.get("uid", ""),
            field,
            kind,
            reason,
            message,
        )
        if (found := self._seen.get(key)) is not None and self._again(*found):
            return
        self._seen[key] = self._new(reference, kind, reason, message, annotations)

    def _again(self, namespace: str, name: str) -> bool:
        now = self._clock.stamp()

        def count(event: dict[str, Any]) -> None:
            event["count"] += 1
            event["lastTimestamp"] = now

        try:
            self._store.mutate(EVENTS, namespace, name, count)
        except NotFound:
            return False
        return True

    def _new(
        self,
        reference: dict[str, Any],
        kind: str,
        reason: str,
        message: str,
        annotations: Mapping[str, str] | None,
    ) -> tuple[str, str]:
        now = self._clock.now()
        self._serial += 1
        namespace = reference.get("namespace", "default")
        name = f"{reference['name']}.{int(now * 1e9) + self._serial:016x}{_short(self._component)}"
        stamp = self._clock.stamp()
        source = {"component": self._component} | ({"host": self._host} if self._host else {})
        self._store.create(
            EVENTS,
            {
                "metadata": {
                    "name": name,
                    **({"annotations": dict(annotations)} if annotations else {}),
                },
                "involvedObject": reference,
                "reason": reason,
                "message": message,
                "source": source,
                "firstTimestamp": stamp,
                "lastTimestamp": stamp,
                "count": 1,
                "type": kind,
                "eventTime": None,
                "reportingComponent": self._component,
                "reportingInstance": self._host,
            },
            namespace=namespace,
        )
        return namespace, name

    @staticmethod
    def _reference(about: Mapping[str, Any], field: str) -> dict[str, Any]:
        metadata = about["metadata"]
        reference: dict[str, Any] = {"kind": about["kind"]}
        if "namespace" in metadata:
            reference["namespace"] = metadata["namespace"]
        reference["name"] = metadata["name"]
        # kubectl describe node asks for the events of a node by its UID or by its name as UID.
        reference["uid"] = metadata.get("uid", "")
        reference["apiVersion"] = about["apiVersion"]
        if field:
            reference["fieldPath"] = field
        return reference


def _short(component: str) -> str:
    """Two characters that keep the names of two components' events of one nanosecond apart."""
    return f"{sum(component.encode()) % 256:02x}"

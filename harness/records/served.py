"""Reading Kubernetes objects as they were served: times, quantities, conditions, requests.

Deliberately not `rules.quantities`: what judges must not share code with what predicts. Grammar of quantities:
apimachinery `pkg/api/resource/quantity.go` (Kubernetes 1.36); times: RFC 3339, `metav1.Time` in whole seconds,
`metav1.MicroTime` with six digits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from harness.records.errors import BadServedValue
from harness.units import Bytes

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([KMGTPE]i)|([numkMGTPE])|[eE]([+-]?\d+))?", re.ASCII)
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


@dataclass(frozen=True, slots=True)
class Instant:
    """A served time: what it says lies in `[seconds, seconds + resolution)`."""

    seconds: float
    """Seconds since the Unix epoch."""
    resolution: float
    """1.0 for `metav1.Time`; the last digit's worth where there is a fraction."""

    @property
    def end(self) -> float:
        """The first instant that is certainly later."""
        return self.seconds + self.resolution


def instant(text: str) -> Instant:
    """Read an RFC 3339 time.

    Raises:
        BadServedValue: it is none.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise BadServedValue(f"not an RFC 3339 time: {text!r}")
    day, clock, fraction, zone = match.groups()
    try:
        whole = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}")
    except ValueError as error:
        raise BadServedValue(f"not an RFC 3339 time: {text!r}") from error
    seconds = float(int(whole.astimezone(UTC).timestamp()))
    if fraction is None:
        return Instant(seconds, 1.0)
    return Instant(seconds + int(fraction[:9]) / 10 ** len(fraction[:9]), 10.0 ** -min(len(fraction), 9))


def epoch(text: str) -> float:
    """Return the epoch seconds of an RFC 3339 time, as exact as it is written."""
    return instant(text).seconds


def maybe_instant(value: object) -> Instant | None:
    """Return the time, or None where the field is absent, null or unreadable."""
    if not isinstance(value, str):
        return None
    try:
        return instant(value)
    except BadServedValue:
        return None


def quantity(value: object) -> Bytes:
    """Return a served quantity in whole units, rounded up as the API server does.

    Raises:
        BadServedValue: it is none.
    """
    if isinstance(value, bool):
        raise BadServedValue(f"not a quantity: {value!r}")
    if isinstance(value, int):
        return Bytes(value)
    match = _QUANTITY.fullmatch(str(value).strip()) if isinstance(value, str | float) else None
    if match is None:
        raise BadServedValue(f"not a quantity: {value!r}")
    number, binary, decimal, exponent = match.groups()
    amount = Fraction(number)
    if binary:
        amount *= 1024 ** _BINARY[binary]
    elif decimal or exponent:
        amount *= Fraction(10) ** (_DECIMAL[decimal] if decimal else int(exponent))
    return Bytes(math.ceil(amount))


def maybe_quantity(value: object) -> Bytes | None:
    """Return the quantity, or None where it is absent or unreadable."""
    if value is None:
        return None
    try:
        return quantity(value)
    except BadServedValue:
        return None


def count(value: object) -> int | None:
    """Return a number of bytes or the like, its fraction dropped, or None of what is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value)


def working_set(data: Mapping[str, Any]) -> int | None:
    """Return a cgroup sample's working set in bytes, as cAdvisor counts it: usage less inactive file pages, at least 0.

    What the recorder says itself wins, with or without a usage beside it; None where it says neither.
    """
    told = count(data.get("workingSet"))
    if told is not None:
        return told
    usage = count(data.get("usage"))
    if usage is None:
        return None
    inactive = count(data.get("inactiveFile", data.get("inactive_file"))) or 0
    return max(0, usage - inactive)


def memory_threshold(value: object, capacity: float | None) -> float | None:
    """Return a `memory.available` threshold in bytes, of a node's capacity in bytes where it is a percentage.

    None for none: 0 % and 100 % switch it off, and what is no quantity or has no capacity says nothing.
    """
    if isinstance(value, str) and value.endswith("%"):
        try:
            share = float(value[:-1]) / 100
        except ValueError:
            return None
        return capacity * share if capacity is not None and 0 < share < 1 else None
    found = maybe_quantity(value)
    return found if found is not None and found > 0 else None


def dig(obj: object, *path: str | int) -> Any:
    """Follow a path of keys and indices; None where it ends early."""
    for step in path:
        if isinstance(step, int):
            if not isinstance(obj, list) or not -len(obj) <= step < len(obj):
                return None
            obj = obj[step]
        else:
            if not isinstance(obj, Mapping):
                return None
            obj = obj.get(step)
    return obj


def mappings(obj: object, *path: str | int) -> Iterator[Mapping[str, Any]]:
    """Yield the mappings of the list at a path; nothing where there is none."""
    found = dig(obj, *path)
    if isinstance(found, list):
        yield from (item for item in found if isinstance(item, Mapping))


def name(obj: Mapping[str, Any]) -> str:
    """Return `metadata.name`, or ''."""
    return str(dig(obj, "metadata", "name") or "")


def namespace(obj: Mapping[str, Any]) -> str:
    """Return `metadata.namespace`, or '' for cluster-scoped objects."""
    return str(dig(obj, "metadata", "namespace") or "")


def key(obj: Mapping[str, Any]) -> str:
    """Return `<namespace>/<name>`."""
    return f"{namespace(obj)}/{name(obj)}"


def uid(obj: Mapping[str, Any]) -> str:
    """Return `metadata.uid`, or ''."""
    return str(dig(obj, "metadata", "uid") or "")


def condition(obj: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """Return the condition of that type in `status.conditions`."""
    return next((c for c in mappings(obj, "status", "conditions") if c.get("type") == kind), None)


def event_time(event: Mapping[str, Any]) -> Instant | None:
    """Return when an Event last happened, by its own word (core/v1 or events.k8s.io/v1)."""
    for path in (
        ("series", "lastObservedTime"),
        ("lastTimestamp",),
        ("deprecatedLastTimestamp",),
        ("eventTime",),
        ("firstTimestamp",),
        ("deprecatedFirstTimestamp",),
        ("metadata", "creationTimestamp"),
    ):
        found = maybe_instant(dig(event, *path))
        if found is not None:
            return found
    return None


def event_subject(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the object reference an Event is about (`involvedObject`, in events.k8s.io `regarding`)."""
    found = event.get("involvedObject") or event.get("regarding")
    return found if isinstance(found, Mapping) else {}


def event_message(event: Mapping[str, Any]) -> str:
    """Return an Event's text (`message`, in events.k8s.io `note`)."""
    return str(event.get("message") or event.get("note") or "")


def _memory(container: Mapping[str, Any], which: str) -> Bytes | None:
    return maybe_quantity(dig(container, "resources", which, "memory"))


def container_requests(pod: Mapping[str, Any]) -> dict[str, Bytes | None]:
    """Return each container's memory request, init containers included; None where none is set."""
    return {
        str(c.get("name")): _memory(c, "requests")
        for part in ("initContainers", "containers")
        for c in mappings(pod, "spec", part)
    }


def container_limits(pod: Mapping[str, Any]) -> dict[str, Bytes | None]:
    """Return each container's memory limit, init containers included; None where none is set."""
    return {
        str(c.get("name")): _memory(c, "limits")
        for part in ("initContainers", "containers")
        for c in mappings(pod, "spec", part)
    }


def pod_memory_request(pod: Mapping[str, Any]) -> Bytes:
    """Return what the scheduler and the eviction ranking count as the pod's memory request.

    component-helpers `resource/helpers.go` (1.36): a pod-level request if set, else the larger of containers plus
    sidecars, and each init container plus the sidecars started before it; plus RuntimeClass overhead.
    """
    overhead = maybe_quantity(dig(pod, "spec", "overhead", "memory")) or 0
    level = maybe_quantity(dig(pod, "spec", "resources", "requests", "memory"))
    if level is not None:
        return Bytes(level + overhead)
    total = sum(_memory(c, "requests") or 0 for c in mappings(pod, "spec", "containers"))
    sidecars = 0
    peak = 0
    for container in mappings(pod, "spec", "initContainers"):
        request = _memory(container, "requests") or 0
        if container.get("restartPolicy") == "Always":
            sidecars += request
            peak = max(peak, sidecars)
        else:
            peak = max(peak, sidecars + request)
    amount = max(total + sidecars, peak)
    return Bytes(amount + overhead if amount else 0)

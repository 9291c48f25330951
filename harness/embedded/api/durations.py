"""Ages as kubectl users know them: `k8s.io/apimachinery/pkg/util/duration/duration.go` (v1.36). Pure."""

from __future__ import annotations

from datetime import UTC, datetime

MINUTE, HOUR, DAY = 60, 3600, 86400


def human(seconds: float) -> str:
    """Spell a duration in seconds with about two significant parts: `45s`, `5m30s`, `3h12m`, `2d4h`, `2y34d`."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    minutes, hours = whole // MINUTE, whole // HOUR
    if whole < 2 * MINUTE:
        return f"{whole}s"
    if minutes < 10:
        return _parts(minutes, "m", whole % MINUTE, "s")
    if minutes < 3 * 60:
        return f"{minutes}m"
    if hours < 8:
        return _parts(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 8 * 24:
        return _parts(hours // 24, "d", hours % 24, "h")
    if hours < 2 * 365 * 24:
        return f"{hours // 24}d"
    if hours < 8 * 365 * 24:
        return _parts(hours // 24 // 365, "y", hours // 24 % 365, "d")
    return f"{hours // 24 // 365}y"


def since(stamp: str | None, now: datetime) -> str:
    """Spell how long ago an RFC 3339 time was; `<unknown>` without one (printers.translateTimestampSince)."""
    if not stamp:
        return "<unknown>"
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return "<unknown>"
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return human((now - moment).total_seconds())


def _parts(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}" + (f"{small}{small_unit}" if small else "")

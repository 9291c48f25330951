"""Collections of single answers: one JSON object a line, what was sent to a real cluster and what it served for it.

Two shapes are known (tests/recordings/README.md): `{"settings", "case", "request", "kubectl", "vmi", "pod", "events"}`, a
manifest and the objects that came of it; `{"case", "method", "path", "request", "answer"}`, an HTTP exchange. Neither has
a clock: a case happened when its objects say they were created, one that left none when the case before it did.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from harness.records import served
from harness.records.errors import BadServedValue

_REASONS = {"BadRequest": 400, "Forbidden": 403, "NotFound": 404, "Conflict": 409, "Invalid": 422}
_SERVER = re.compile(r"Error from server \((\w+)\)")
_WARNED = re.compile(r"^Warning: (.*)$", re.MULTILINE)
_CODED = re.compile(r'^\d{3} - "(.*)"$', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def is_case(raw: Mapping[str, Any]) -> bool:
    """Tell a line of such a collection from a record."""
    return "stream" not in raw and isinstance(raw.get("case"), str) and ("answer" in raw or "kubectl" in raw)


def created(raw: Mapping[str, Any]) -> str | None:
    """Return when the first object of a case was created, RFC 3339, or None."""
    body = served.dig(raw, "answer", "body")
    for item in (raw.get("vmi"), raw.get("pod"), body):
        stamp = served.dig(item, "metadata", "creationTimestamp") if isinstance(item, Mapping) else None
        # A KubeVirt CR that is patched is older than the question.
        if isinstance(stamp, str) and served.dig(item, "kind") != "KubeVirt":
            try:
                served.epoch(stamp)
            except BadServedValue:
                continue
            return stamp
    return None


def records_of(raw: Mapping[str, Any], *, at: str | None) -> Iterator[dict[str, Any]]:
    """Yield a case as raw records: the API's answer, then the objects as served. `at`: when it happened, RFC 3339."""
    stamp = {} if at is None else {"at": at}
    for args, target in _answers(raw):
        yield {**stamp, "stream": "action", "what": "answer", "target": target, "args": args}
    events = raw.get("events")
    for item in (raw.get("vmi"), raw.get("pod"), *(events if isinstance(events, list) else ())):
        if isinstance(item, Mapping) and item.get("kind"):
            yield {**stamp, "stream": "watch", "type": "ADDED", "object": dict(item)}


def _answers(raw: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    case = str(raw["case"])
    answer = raw.get("answer")
    if isinstance(answer, Mapping):
        request, target = _asked(str(raw.get("method")), str(raw.get("path")), case)
        body = answer.get("body")
        warned = answer.get("warnings")
        yield (
            {
                "request": request,
                "case": case,
                "code": answer.get("status"),
                "message": str(body.get("message") or "") if isinstance(body, Mapping) else "",
                "warnings": [_warning(str(w)) for w in warned] if isinstance(warned, list) else [],
            },
            target,
        )
        return
    kubectl = raw.get("kubectl")
    told = str(kubectl.get("stderr") or "") if isinstance(kubectl, Mapping) else ""
    code = 201 if isinstance(raw.get("vmi"), Mapping) else _code(told)
    if code is not None:
        namespace = served.dig(raw.get("vmi"), "metadata", "namespace") or f"m-{raw.get('settings')}"
        warnings = _WARNED.findall(told)
        message = "" if code == 201 else told.strip()
        args = {"request": "create", "case": case, "code": code, "message": message, "warnings": warnings}
        yield args, f"{namespace}/{case}"


def _warning(header: str) -> str:
    """Return the text of a Warning header (RFC 7234 5.5): code, agent, quoted text with escapes."""
    found = _CODED.match(header)
    return _ESCAPED.sub(r"\1", found.group(1)) if found else header


def _code(told: str) -> int | None:
    """Return the HTTP status kubectl's words stand for; None where they don't say (webhooks are quoted without it)."""
    found = _SERVER.search(told)
    return _REASONS.get(found.group(1)) if found else None


def _asked(method: str, path: str, case: str) -> tuple[str, str]:
    """Return the kind of request and whom it was about. Manifests of one collection share a name: the case tells them apart."""
    parts = path.partition("?")[0].split("/")
    namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts[:-1] else ""
    if method == "POST":
        return "create", f"{namespace}/{case}"
    if method == "PATCH" and "kubevirts" in parts:
        return "configure-kubevirt", f"kubevirt/{case}"
    if method == "GET" and parts[-1] in {"vnc", "console"}:
        return parts[-1], f"{namespace}/{parts[-2]}"
    return method.lower(), f"{namespace}/{parts[-1]}" if namespace else parts[-1]

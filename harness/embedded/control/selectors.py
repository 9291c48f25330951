"""Whether a node is one that a pod's nodeSelector and required node affinity allow.

Source: Kubernetes 1.36 component-helpers/scheduling/corev1/nodeaffinity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.rules.vmi import get


def matches(pod_spec: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    """Whether the node's labels (and name) satisfy selector and required affinity."""
    labels: Mapping[str, str] = node["metadata"].get("labels") or {}
    selector: Mapping[str, str] = pod_spec.get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in selector.items()):
        return False
    required = get(pod_spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    fields = {"metadata.name": node["metadata"]["name"]}
    return any(_term(term, labels, fields) for term in required.get("nodeSelectorTerms") or ())


def _term(term: Mapping[str, Any], labels: Mapping[str, str], fields: Mapping[str, str]) -> bool:
    expressions, by_field = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not by_field:
        return False
    return all(_expression(item, labels) for item in expressions) and all(
        _expression(item, fields) for item in by_field
    )


def _expression(item: Mapping[str, Any], values: Mapping[str, str]) -> bool:
    key, wanted = item["key"], list(item.get("values") or ())
    value = values.get(key)
    match item["operator"]:
        case "In":
            return value in wanted
        case "NotIn":
            return value not in wanted
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            return _compare(value, wanted, greater=operator == "Gt")
        case _:
            return False


def _compare(value: str | None, wanted: Sequence[str], *, greater: bool) -> bool:
    try:
        have, limit = int(value or ""), int(wanted[0])
    except (ValueError, IndexError):
        return False
    return have > limit if greater else have < limit

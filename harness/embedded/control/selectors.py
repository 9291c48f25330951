"""Whether a node is one that a pod's nodeSelector and required node affinity allow, or that a label selector takes.

Source: Kubernetes 1.36 component-helpers/scheduling/corev1/nodeaffinity, apimachinery/pkg/apis/meta/v1/helpers.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.rules.vmi import get

_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


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


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a metav1.LabelSelector takes these labels: none takes nothing, an empty one everything (LabelSelectorAsSelector)."""
    if selector is None:
        return False
    wanted: Mapping[str, str] = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or ()
    # Gt and Lt are node affinity's alone; with any other word the selector is none, and takes nothing
    if any(item.get("operator") not in _OPERATORS for item in expressions):
        return False
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _expression(item, labels) for item in expressions
    )


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

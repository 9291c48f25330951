"""Label and field selectors: text to predicate.

Grammar: `k8s.io/apimachinery/pkg/labels/selector.go` and `pkg/fields/selector.go` (v1.36). Which fields a kind can
be selected by: Kubernetes `pkg/apis/core/v1/conversion.go`; others know name and namespace only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from harness.embedded.api.errors import BadRequest
from harness.embedded.api.resources import EVENTS, NAMESPACES, NODES, PODS, Resource

Predicate = Callable[[Mapping[str, Any]], bool]

_FIELDS: Mapping[Resource, frozenset[str]] = {
    PODS: frozenset(
        {
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        }
    ),
    NODES: frozenset({"spec.unschedulable"}),
    NAMESPACES: frozenset({"status.phase"}),
    EVENTS: frozenset(
        {
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        }
    ),
}
_REQUIREMENT = re.compile(
    r"\s*(?:(?P<absent>!)\s*(?P<no>[\w./-]+)"
    r"|(?P<key>[\w./-]+)\s*(?:(?P<op>==|=|!=)\s*(?P<value>[\w.-]*)"
    r"|\s(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?)\s*(?:,|$)"
)
_FIELD = re.compile(r"(?P<path>[^=!,]+)(?P<op>==|=|!=)(?P<value>(?:\\.|[^\\,=])*)(?:,|$)")


def selector(resource: Resource, labels: str, fields: str) -> Predicate | None:
    """Return what tells the selected objects, or None when everything is. Raises `BadRequest`."""
    tests = [*_label_tests(labels), *_field_tests(resource, fields)]
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    return lambda obj: all(test(obj) for test in tests)


def _label_tests(text: str) -> list[Predicate]:
    tests: list[Predicate] = []
    position = 0
    while position < len(text):
        match = _REQUIREMENT.match(text, position)
        if match is None or match.end() == position:
            raise BadRequest(f"unable to parse requirement: {text[position:]!r} is no label selector")
        position = match.end()
        tests.append(_label_test(match))
    return tests


def _labels(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return obj["metadata"].get("labels") or {}


def _label_test(match: re.Match[str]) -> Predicate:
    if match["absent"]:
        absent = match["no"]
        return lambda obj: absent not in _labels(obj)
    key = match["key"]
    if match["set"]:
        values = {value.strip() for value in match["values"].split(",")}
        if match["set"] == "in":
            return lambda obj: _labels(obj).get(key) in values
        return lambda obj: _labels(obj).get(key) not in values
    if match["op"] is None:
        return lambda obj: key in _labels(obj)
    value = match["value"]
    if match["op"] == "!=":
        return lambda obj: _labels(obj).get(key) != value
    return lambda obj: _labels(obj).get(key) == value


def _field_tests(resource: Resource, text: str) -> list[Predicate]:
    tests: list[Predicate] = []
    position = 0
    while position < len(text):
        match = _FIELD.match(text, position)
        if match is None:
            raise BadRequest(f'invalid field selector: "{text}"; can\'t understand "{text[position:]}"')
        position = match.end()
        path, value = match["path"].strip(), re.sub(r"\\(.)", r"\1", match["value"])
        if path not in _FIELDS.get(resource, ()) and path not in {"metadata.name", "metadata.namespace"}:
            raise BadRequest(
                f'Unable to find "{resource.api_version}, Resource={resource.plural}" that match label selector '
                f'"", field selector "{text}": field label not supported: {path}'
            )
        tests.append(_field_test(path, value, equal=match["op"] != "!="))
    return tests


def _field_test(path: str, value: str, *, equal: bool) -> Predicate:
    keys = path.split(".")

    def test(obj: Mapping[str, Any]) -> bool:
        found: Any = obj
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        if path == "source" and isinstance(found, Mapping):
            found = found.get("component")
        text = str(found).lower() if isinstance(found, bool) else str(found or "")
        if path in {"spec.unschedulable", "spec.hostNetwork"} and not text:
            text = "false"
        return (text == value) is equal

    return test

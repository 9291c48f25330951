"""What a kind's own rules make of an object that comes over HTTPS, before admission. Pure.

Sources: Kubernetes 1.36 `pkg/registry/core/*/strategy.go`, `pkg/apis/core/validation/validation.go`. Only rules
whose absence would let a manifest pass here that a cluster refuses or silently changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.embedded.api.errors import BadRequest, Invalid
from harness.embedded.api.objects import Object, name_of
from harness.embedded.api.resources import EVENTS, NAMESPACES, NODES, PODS, Resource

_POD_MUTABLE = frozenset({"activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations"})


def check_type(resource: Resource, api_version: str, obj: Mapping[str, Any]) -> None:
    """Refuse an object of another kind or version than the path names. Raises `BadRequest`."""
    kind, version = obj.get("kind") or resource.kind, obj.get("apiVersion") or api_version
    if kind != resource.kind:
        raise BadRequest(
            f"the object provided is unrecognized (must be of type {resource.kind}): is a {kind}"
        )
    if version != api_version:
        raise BadRequest(
            f"the API version in the data ({version}) does not match the expected API version ({api_version})"
        )


def for_create(resource: Resource, obj: Object) -> Object:
    """Return the object with the status a new one has. Raises `Invalid`."""
    if resource == PODS:
        _check_containers(obj)
        return {**obj, "status": {"phase": "Pending"}}
    if resource == EVENTS:
        involved = obj.get("involvedObject")
        if not isinstance(involved, Mapping):
            cause = ("FieldValueRequired", "involvedObject", "Required value")
            raise Invalid.of(resource, name_of(obj), [cause])
    if resource.status_is_separate and resource not in {NODES, NAMESPACES}:
        return {key: value for key, value in obj.items() if key != "status"}
    return obj


def for_update(resource: Resource, old: Object, obj: Object, *, status_only: bool) -> Object:
    """Return what a write may make of `old`: on `/status` its status alone, elsewhere all but the status."""
    if status_only:
        metadata = {**old["metadata"], "resourceVersion": obj["metadata"].get("resourceVersion")}
        changed = {**old, "metadata": metadata}
        if "status" in obj:
            return {**changed, "status": obj["status"]}
        return {key: value for key, value in changed.items() if key != "status"}
    if resource == PODS:
        _check_pod_update(old, obj)
    if resource.status_is_separate:
        obj = {key: value for key, value in obj.items() if key != "status"}
        if "status" in old:
            obj["status"] = old["status"]
    return obj


def _check_containers(pod: Mapping[str, Any]) -> None:
    containers = (pod.get("spec") or {}).get("containers")
    if not containers:
        cause = ("FieldValueRequired", "spec.containers", "Required value")
        raise Invalid.of(PODS, name_of(pod), [cause])
    causes = [
        ("FieldValueRequired", f"spec.containers[{index}].{field}", "Required value")
        for index, container in enumerate(containers)
        for field in ("name", "image")
        if not container.get(field)
    ]
    if causes:
        raise Invalid.of(PODS, name_of(pod), causes)


def _frozen(pod: Mapping[str, Any]) -> dict[str, Any]:
    spec = {key: value for key, value in pod.get("spec", {}).items() if key not in _POD_MUTABLE}
    for field in ("containers", "initContainers"):
        if field in spec:
            spec[field] = [
                {key: value for key, value in container.items() if key != "image"}
                for container in spec[field]
            ]
    return spec


def _check_pod_update(old: Object, obj: Object) -> None:
    if _frozen(old) != _frozen(obj):
        message = (
            "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
            "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
            "previously negative)"
        )
        raise Invalid.of(PODS, name_of(old), [("FieldValueForbidden", "spec", message)])

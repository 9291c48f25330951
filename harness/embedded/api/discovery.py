"""What clients ask first: which groups, versions and kinds there are. Aggregated and legacy form; version; OpenAPI.

Sources: `k8s.io/api/apidiscovery/v2`, `metav1.APIGroupList`, `metav1.APIResourceList`; OpenAPI v3 as little as
kubectl 1.37 needs to send `apply`, `create` and `explain` (facts measured with that client).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.embedded.api.resources import (
    CONSOLE_GROUP,
    CONSOLE_SUBRESOURCES,
    CONSOLE_VERSIONS,
    LIFECYCLE_SUBRESOURCES,
    RESOURCES,
    Resource,
    Subresource,
)

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
"""Accept parameter and Content-Type; clients compare the parameters exactly."""

KUBERNETES_VERSION = "v1.36.2"
"""The version whose behaviour is followed; served with a suffix that no real server has."""

_REVIEWS = (
    ("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    ("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview"),
)
_VERBS_OF_REVIEWS = ["create"]
_HANGING = (
    ("virtualmachine", LIFECYCLE_SUBRESOURCES, "update"),
    ("virtualmachineinstance", CONSOLE_SUBRESOURCES, "get"),
)
"""What hangs below the kinds of KubeVirt in the aggregated API, and the verb it is reached with."""


def groups() -> dict[str, list[str]]:
    """Return group → versions, preferred first, of everything that is served below /apis."""
    found: dict[str, list[str]] = {}
    for resource in RESOURCES:
        if resource.group:
            versions = found.setdefault(resource.group, [])
            versions.extend(v for v in resource.versions if v not in versions)
    found[CONSOLE_GROUP] = list(CONSOLE_VERSIONS)
    found.update({group: ["v1"] for group, _, _ in _REVIEWS})
    return found


def _served(group: str, version: str) -> Iterable[Resource]:
    return (r for r in RESOURCES if r.group == group and version in r.versions)


def _kind(group: str, version: str, kind: str) -> dict[str, str]:
    return {"group": group, "version": version, "kind": kind}


def _aggregated_subresource(sub: Subresource, group: str, version: str) -> dict[str, Any]:
    return {
        "subresource": sub.name,
        "responseKind": _kind(sub.group or group, sub.version or version, sub.kind),
        "verbs": list(sub.verbs),
    }


def _aggregated_resource(resource: Resource, version: str) -> dict[str, Any]:
    return {
        "resource": resource.plural,
        "responseKind": _kind(resource.group, version, resource.kind),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
        "shortNames": list(resource.short_names),
        "categories": list(resource.categories),
        "subresources": [
            _aggregated_subresource(sub, resource.group, version) for sub in resource.subresources
        ],
    }


def _aggregated_version(group: str, version: str) -> dict[str, Any]:
    resources = [_aggregated_resource(resource, version) for resource in _served(group, version)]
    if group == CONSOLE_GROUP:
        resources.extend(
            {
                "resource": f"{singular}s",
                "responseKind": _kind(group, version, ""),
                "scope": "Namespaced",
                "singularResource": singular,
                "verbs": [],
                "subresources": [
                    {"subresource": name, "responseKind": _kind(group, version, ""), "verbs": [verb]}
                    for name in names
                ],
            }
            for singular, names, verb in _HANGING
        )
    resources.extend(
        {
            "resource": plural,
            "responseKind": _kind(group, version, kind),
            "scope": "Cluster",
            "singularResource": kind.lower(),
            "verbs": _VERBS_OF_REVIEWS,
        }
        for of, plural, kind in _REVIEWS
        if of == group
    )
    return {"version": version, "resources": resources, "freshness": "Current"}


def aggregated(*, core: bool) -> dict[str, Any]:
    """Return the APIGroupDiscoveryList of `/api` (core) or `/apis`."""
    listed = {"": ["v1"]} if core else groups()
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": group, "creationTimestamp": None},
                "versions": [_aggregated_version(group, version) for version in versions],
            }
            for group, versions in listed.items()
        ],
    }


def api_versions() -> dict[str, Any]:
    """Return the legacy answer of `/api`."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [],
    }


def api_group(name: str, versions: Iterable[str]) -> dict[str, Any]:
    """Return one APIGroup."""
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": name,
        "versions": listed,
        "preferredVersion": listed[0],
    }


def api_group_list() -> dict[str, Any]:
    """Return the legacy answer of `/apis`."""
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [api_group(name, versions) for name, versions in groups().items()],
    }


def api_resource_list(group: str, version: str) -> dict[str, Any] | None:
    """Return the legacy answer of `/api/v1` or `/apis/<group>/<version>`; None if it isn't served."""
    if version not in (groups().get(group, []) if group else ["v1"]):
        return None
    found: list[dict[str, Any]] = []
    for item in _aggregated_version(group, version)["resources"]:
        namespaced = item["scope"] == "Namespaced"
        if item["verbs"]:
            found.append(
                {
                    "name": item["resource"],
                    "singularName": item["singularResource"],
                    "namespaced": namespaced,
                    "kind": item["responseKind"]["kind"],
                    "verbs": item["verbs"],
                    **{key: item[key] for key in ("shortNames", "categories") if item.get(key)},
                }
            )
        for sub in item.get("subresources", []):
            kind = sub["responseKind"]
            entry = {
                "name": f"{item['resource']}/{sub['subresource']}",
                "singularName": "",
                "namespaced": namespaced,
                "kind": kind["kind"],
                "verbs": sub["verbs"],
            }
            if (kind["group"], kind["version"]) != (group, version):
                entry |= {"group": kind["group"], "version": kind["version"]}
            found.append(entry)
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": found,
    }


def version_info() -> dict[str, str]:
    """Return `/version`. The suffix marks every answer as ours: evidence from here is never `real`."""
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"{KUBERNETES_VERSION}+density.embedded",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": "linux/amd64",
    }


def openapi_paths() -> dict[str, Any]:
    """Return `/openapi/v3`: where the documents of each group and version are."""
    served = ["api/v1", *(f"apis/{g}/{v}" for g, versions in groups().items() for v in versions)]
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash=density"} for path in served}}


def openapi_document(group: str, version: str) -> dict[str, Any] | None:
    """Return the OpenAPI v3 document of a group and version; None if it isn't served.

    Kinds are described by name only: fields are checked by admission, not by clients.
    """
    if version not in (groups().get(group, []) if group else ["v1"]):
        return None
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for resource in _served(group, version):
        gvk = _kind(group, version, resource.kind)
        prefix = f"/apis/{group}/{version}" if group else f"/api/{version}"
        scope = "/namespaces/{namespace}" if resource.namespaced else ""
        path = f"{prefix}{scope}/{resource.plural}"
        schema_name = f"{group or 'core'}.{version}.{resource.kind}"
        body = {"content": {"*/*": {"schema": {"$ref": f"#/components/schemas/{schema_name}"}}}}
        common: Mapping[str, Any] = {"x-kubernetes-group-version-kind": gvk, "requestBody": body}
        parameters = [
            {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
            for name in ("dryRun", "fieldManager", "fieldValidation")
        ]
        answer = {"responses": {"200": {"description": "OK"}}}
        if "create" in resource.verbs:
            paths[path] = {
                "post": {"x-kubernetes-action": "post", "parameters": parameters, **common, **answer}
            }
            paths[path + "/{name}"] = {
                verb: {"x-kubernetes-action": verb, "parameters": parameters, **common, **answer}
                for verb in ("put", "patch")
            }
        schemas[schema_name] = {
            "description": f"{resource.kind} as the embedded cluster serves it. Fields are not described here.",
            "type": "object",
            "properties": {
                "apiVersion": {"description": f"{group}/{version}".removeprefix("/"), "type": "string"},
                "kind": {"description": resource.kind, "type": "string"},
                "metadata": {"description": "Standard object's metadata.", "type": "object"},
                "spec": {"description": "What is wanted.", "type": "object"},
                "status": {"description": "What was seen.", "type": "object"},
            },
            "x-kubernetes-preserve-unknown-fields": True,
            "x-kubernetes-group-version-kind": [gvk],
        }
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": version_info()["gitVersion"]},
        "paths": paths,
        "components": {"schemas": schemas},
    }

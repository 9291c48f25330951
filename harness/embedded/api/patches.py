"""The patch formats: merge (RFC 7386), JSON (RFC 6902) and strategic merge for the built-in kinds.

Strategic merge: `k8s.io/apimachinery/pkg/util/strategicpatch/patch.go` (v1.36). Merge keys are those of the
`patchMergeKey` tags in `k8s.io/api/core/v1/types.go`; a list that isn't named here is replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jsonpatch
import jsonpointer

from harness.embedded.api.errors import ApiError, BadRequest, UnsupportedMediaType
from harness.embedded.api.objects import Object, editable
from harness.embedded.api.resources import Resource
from harness.rules.merge_patch import merge

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

_MERGE_KEYS: Mapping[str, str] = {
    "addresses": "type",
    "conditions": "type",
    "containers": "name",
    "env": "name",
    "ephemeralContainers": "name",
    "hostAliases": "ip",
    "hostIPs": "ip",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ownerReferences": "uid",
    "podIPs": "ip",
    "ports": "containerPort",
    "resourceClaims": "name",
    "schedulingGates": "name",
    "topologySpreadConstraints": "topologyKey",
    "volumeDevices": "devicePath",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
_PRIMITIVE_LISTS = frozenset({"finalizers", "podCIDRs"})


def check_media_type(resource: Resource, content_type: str) -> None:
    """Raise `UnsupportedMediaType` unless this kind is patched so; strategic merge needs a built-in kind.

    Server-side apply is not served: 415 is what makes kubectl say so.
    """
    known = [JSON, MERGE]
    if not resource.group:
        known.append(STRATEGIC)
    if content_type not in known:
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            + ", ".join(known)
        )


def apply(resource: Resource, content_type: str, old: Object, body: Any) -> Object:
    """Return `old` patched; `old` stays as it is. Raises `BadRequest`, `Unprocessable`, `UnsupportedMediaType`."""
    check_media_type(resource, content_type)
    if content_type == JSON:
        return _json(old, body)
    if not isinstance(body, Mapping):
        raise BadRequest(f"a {content_type} body must be a JSON object")
    patched = merge(old, body) if content_type == MERGE else strategic(old, body)
    return dict(patched)


class Unprocessable(ApiError):
    """A JSON patch that can't be applied."""

    code, reason = 422, "Invalid"


def _json(old: Object, body: Any) -> Object:
    if not isinstance(body, list) or not all(isinstance(operation, Mapping) for operation in body):
        raise BadRequest("a JSON patch must be a list of operations")
    try:
        patched = jsonpatch.apply_patch(editable(old), body, in_place=True)
    except jsonpatch.InvalidJsonPatch as error:
        raise BadRequest(f"invalid JSON patch: {error}") from error
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, KeyError) as error:
        raise Unprocessable(
            f"the server rejected our request due to an error in our request: {error}"
        ) from error
    if not isinstance(patched, dict):
        raise BadRequest("a JSON patch must leave an object")
    return patched


def strategic(old: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a strategic merge patch to an object; shares what it doesn't touch. Raises `BadRequest`."""
    match patch.get("$patch"):
        case "replace":
            return {key: value for key, value in patch.items() if key != "$patch"}
        case "delete":
            return {}
        case None | "merge":
            pass
        case other:
            raise BadRequest(f"unknown patch type: {other}")
    result = dict(old)
    if "$retainKeys" in patch:
        retained = set(patch["$retainKeys"])
        result = {key: value for key, value in result.items() if key in retained}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            field = key.partition("/")[2]
            result[field] = [item for item in result.get(field) or [] if item not in value]
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            before = result.get(key)
            result[key] = strategic(before if isinstance(before, Mapping) else {}, value)
        elif isinstance(value, list):
            result[key] = _merge_list(key, result.get(key), value)
        else:
            result[key] = value
    for key, value in patch.items():
        if key.startswith("$setElementOrder/"):
            field = key.partition("/")[2]
            if isinstance(result.get(field), list):
                result[field] = _ordered(field, result[field], value)
    return result


def _merge_list(field: str, old: Any, patch: Sequence[Any]) -> list[Any]:
    before = list(old) if isinstance(old, list) else []
    if field in _PRIMITIVE_LISTS:
        return before + [item for item in patch if item not in before]
    key = _MERGE_KEYS.get(field)
    if key is None or not all(isinstance(item, Mapping) for item in (*before, *patch)):
        return list(patch)
    if any(item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if "$patch" not in item]
    for item in patch:
        if key not in item:
            raise BadRequest(f"map: {dict(item)} does not contain declared merge key: {key}")
        at = next((i for i, have in enumerate(before) if have.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            before = [have for have in before if have.get(key) != item[key]]
        elif at is None:
            before.append(strategic({}, item))
        else:
            before[at] = strategic(before[at], item)
    return before


def _ordered(field: str, items: Sequence[Any], order: Sequence[Any]) -> list[Any]:
    """Bring items into the asked order; one that isn't asked about stays behind the one it stood behind."""
    key = _MERGE_KEYS.get(field)

    def identity(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, Mapping) else item

    wanted = [identity(item) for item in order]
    groups: dict[Any, list[Any]] = {None: []}
    leader = None
    for item in items:
        if identity(item) in wanted:
            leader = identity(item)
            groups[leader] = [item]
        else:
            groups[leader].append(item)
    return [item for name in (None, *wanted) for item in groups.pop(name, [])]

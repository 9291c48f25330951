"""Reading a request: what its path names, what its headers accept, what its body holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from aiohttp import web

from harness.embedded.api import discovery, protobuf
from harness.embedded.api.errors import BadRequest, NotAcceptable, NotFound, UnsupportedMediaType
from harness.embedded.api.resources import Resource, find


def no_such_path() -> NotFound:
    """Return what a path that isn't served is answered with."""
    return NotFound("the server could not find the requested resource")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a resource path names. `namespace` None: all namespaces, or a cluster-scoped kind."""

    resource: Resource
    version: str
    namespace: str | None = None
    name: str = ""
    subresource: str = ""
    rest: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """The `apiVersion` that was asked for."""
        group = self.resource.group
        return f"{group}/{self.version}" if group else self.version


def parse_target(group: str, version: str, segments: list[str]) -> Target:
    """Return what the path below `/api/v1` or `/apis/<group>/<version>` names. Raises `NotFound`."""
    namespace = None
    if len(segments) > 2 and segments[0] == "namespaces" and segments[2] not in {"status", "finalize"}:
        namespace, segments = segments[1], segments[2:]
    plural, name, subresource, *rest = [*segments, "", ""][: max(3, len(segments))]
    resource = find(group, version, plural)
    if resource is None or (namespace is not None and not resource.namespaced):
        raise no_such_path()
    if name and resource.namespaced and namespace is None:
        raise no_such_path()
    if subresource and not any(sub.name == subresource for sub in resource.subresources):
        raise no_such_path()
    return Target(
        resource=resource,
        version=version,
        namespace=namespace,
        name=name,
        subresource=subresource,
        rest=tuple(rest),
    )


@dataclass(frozen=True, slots=True)
class Accept:
    """What the client takes. `table` is the version of `meta.k8s.io` Tables it prefers, empty for objects."""

    table: str = ""
    aggregated: bool = False


def parse_accept(header: str) -> Accept:
    """Read an Accept header. JSON is always acceptable unless only other things are named. Raises `NotAcceptable`."""
    table, aggregated, json = "", False, not header.strip()
    for option in header.split(","):
        media, *pairs = (part.strip() for part in option.split(";"))
        parameters = dict(pair.partition("=")[::2] for pair in pairs)
        shape = parameters.get("as", "")
        if shape == "Table" and parameters.get("g") == "meta.k8s.io" and not json:
            table = table or parameters.get("v", "v1")
        elif shape == "APIGroupDiscoveryList":
            aggregated = aggregated or option.replace(" ", "") == discovery.AGGREGATED
        elif not shape and media in {"application/json", "application/*", "*/*"}:
            json = True
    if not (table or aggregated or json):
        raise NotAcceptable(
            "only the following media types are accepted: application/json, application/json;as=Table"
        )
    return Accept(table, aggregated)


def content_type(request: web.Request) -> str:
    """Return the body's media type; JSON where none is given, as the Python client and `kubectl scale` do."""
    return request.headers.get("Content-Type", "application/json").partition(";")[0].strip().lower()


async def read_json(request: web.Request) -> Any:
    """Return the JSON value of a body of any content type. Raises `BadRequest`."""
    body = await request.read()
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body of the request is no JSON: {error}") from error


async def read_object(request: web.Request, *, optional: bool = False) -> dict[str, Any]:
    """Return the object a body holds, JSON or one of the few protobuf kinds. Raises `BadRequest`, 415.

    `optional`: no body is an empty object.
    """
    body = await request.read()
    if optional and not body:
        return {}
    media = content_type(request)
    if media == protobuf.MEDIA_TYPE:
        return protobuf.decode(body)
    if media not in {"application/json", "text/json", "application/octet-stream"}:
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: application/json"
        )
    value = await read_json(request)
    if not isinstance(value, dict):
        raise BadRequest("the body of the request must be an object")
    metadata = value.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise BadRequest("metadata must be an object")
    return value


def dry_run(query: Mapping[str, str], options: Mapping[str, Any] | None = None) -> bool:
    """Whether nothing is to be stored. Raises `BadRequest` for anything but `All`."""
    asked = [query["dryRun"]] if query.get("dryRun") else list((options or {}).get("dryRun") or [])
    if any(value != "All" for value in asked):
        raise BadRequest(f'Invalid value: {asked}: dryRun: Unsupported value: supported values: "All"')
    return bool(asked)


def field_validation(query: Mapping[str, str]) -> Literal["Strict", "Warn", "Ignore"]:
    """Return how unknown fields are treated; `Warn` when unsaid. Raises `BadRequest`."""
    match query.get("fieldValidation", ""):
        case "" | "Warn":
            return "Warn"
        case "Strict":
            return "Strict"
        case "Ignore":
            return "Ignore"
        case other:
            raise BadRequest(
                f'fieldValidation: Unsupported value: "{other}": supported values: "", "Ignore", "Strict", "Warn"'
            )


def flag(query: Mapping[str, str], name: str) -> bool:
    """Return a boolean query parameter as Go's ParseBool reads it; absent is false."""
    return query.get(name, "").lower() in {"1", "t", "true"}


def number(query: Mapping[str, str], name: str) -> int | None:
    """Return a whole-number query parameter; absent is None. Raises `BadRequest`."""
    text = query.get(name, "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise BadRequest(f'{name}: Invalid value: "{text}": must be a whole number') from None

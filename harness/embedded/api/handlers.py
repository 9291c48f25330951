"""The verbs on objects: get, list, watch, create, update, patch, delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from harness.embedded.api import patches, strategy
from harness.embedded.api.answers import json_answer, success
from harness.embedded.api.errors import (
    AlreadyExists,
    BadRequest,
    Forbidden,
    Gone,
    MethodNotAllowed,
    NotFound,
    TooLarge,
)
from harness.embedded.api.hooks import Admission, Operation
from harness.embedded.api.objects import Object, editable, name_of, with_metadata
from harness.embedded.api.requests import (
    Accept,
    Target,
    content_type,
    dry_run,
    field_validation,
    flag,
    number,
    read_json,
    read_object,
)
from harness.embedded.api.resources import NAMESPACES, PODS
from harness.embedded.api.ring import Encoded
from harness.embedded.api.selectors import Predicate, selector
from harness.embedded.api.store import Store
from harness.embedded.api.tables import IncludeObject, table
from harness.embedded.api.watching import Lines, Watches, WatchOptions


@dataclass(frozen=True, slots=True)
class Call:
    """One request on a resource path."""

    request: web.Request
    target: Target
    accept: Accept
    warnings: tuple[str, ...] = ()

    @property
    def query(self) -> dict[str, str]:
        """The query parameters; the first of each name."""
        return dict(self.request.query)

    @property
    def namespace(self) -> str:
        """The namespace of the path, empty for cluster-scoped kinds."""
        return self.target.namespace or ""

    @property
    def include(self) -> IncludeObject:
        """How much of each object a Table's rows carry. Raises `BadRequest`."""
        match self.query.get("includeObject", ""):
            case "" | "Metadata":
                return "Metadata"
            case "Object":
                return "Object"
            case "None":
                return "None"
            case other:
                raise BadRequest(f'unrecognized includeObject value "{other}"')

    def selected(self) -> Predicate | None:
        """Return what the query's selectors and the path's name select. Raises `BadRequest`."""
        query = self.query
        fields = query.get("fieldSelector", "")
        if self.target.name:
            fields = ",".join(part for part in (f"metadata.name={self.target.name}", fields) if part)
        return selector(self.target.resource, query.get("labelSelector", ""), fields)


class Handlers:
    """Answers calls out of the store, writing only what admission lets through."""

    def __init__(self, store: Store, admission: Admission, watches: Watches) -> None:
        self._store = store
        self._admission = admission
        self._watches = watches

    async def handle(self, call: Call) -> web.StreamResponse:
        """Answer a call on an object, its `/status`, or a collection. Raises `ApiError`."""
        resource, method = call.target.resource, call.request.method
        named = bool(call.target.name)
        if method in {"GET", "HEAD"}:
            if named and flag(call.query, "watch"):
                return await self._watch(call)
            if named:
                return self._get(call)
            return await self._watch(call) if flag(call.query, "watch") else self._list(call)
        verb = {
            ("POST", False): "create",
            ("PUT", True): "update",
            ("PATCH", True): "patch",
            ("DELETE", True): "delete",
            ("DELETE", False): "delete",
        }.get((method, named))
        if verb is None or verb not in resource.verbs or (call.target.subresource and verb == "delete"):
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        match verb:
            case "create":
                return await self._create(call)
            case "update":
                return await self._update(call)
            case "patch":
                return await self._patch(call)
            case _:
                return await (self._delete(call) if named else self._delete_collection(call))

    # -- reading -----------------------------------------------------------------------------------------------

    def _get(self, call: Call) -> web.Response:
        encoded = self._store.encoded(call.target.resource, call.namespace, call.target.name)
        if call.accept.table:
            return self._tabled(call, [encoded.object], encoded.object["metadata"]["resourceVersion"])
        return json_answer(encoded.json(call.target.api_version), warnings=call.warnings)

    def _list(self, call: Call) -> web.Response:
        self._check_version(call)
        selected = call.selected()
        version = str(self._store.resource_version)
        items: Sequence[Encoded] = self._store.encoded_list(call.target.resource, call.target.namespace)
        if selected is not None:
            items = [item for item in items if selected(item.object)]
        if call.accept.table:
            return self._tabled(call, [item.object for item in items], version)
        api_version = call.target.api_version
        head = orjson.dumps(
            {
                "kind": f"{call.target.resource.kind}List",
                "apiVersion": api_version,
                "metadata": {"resourceVersion": version},
            }
        )
        body = b",".join(item.json(api_version) for item in items)
        return json_answer(head[:-1] + b',"items":[' + body + b"]}", warnings=call.warnings)

    def _check_version(self, call: Call) -> None:
        """Refuse versions that can't be served. Lists are always complete and of now, so `limit` is ignored."""
        if call.query.get("continue"):
            raise BadRequest("continue key is not valid: lists are not served in pieces here")
        asked, match = call.query.get("resourceVersion", ""), call.query.get("resourceVersionMatch", "")
        if not asked or asked == "0":
            return
        if not asked.isdigit():
            raise BadRequest(f'resourceVersion: Invalid value: "{asked}": must be a whole number')
        current = self._store.resource_version
        if int(asked) > current:
            raise TooLarge.of(int(asked), current)
        if match == "Exact" and int(asked) != current:
            raise Gone.of(int(asked), current)

    def _tabled(self, call: Call, objects: Sequence[Object], version: str) -> web.Response:
        body = table(
            call.target.resource,
            objects,
            now=self._store.clock(),
            resource_version=version,
            include=call.include,
            version=call.accept.table,
        )
        return json_answer(body, warnings=call.warnings)

    async def _watch(self, call: Call) -> web.StreamResponse:
        options = WatchOptions.parse(call.target, call.query)
        lines = Lines(
            self._store,
            call.target,
            selected=call.selected(),
            accept=call.accept,
            include=call.include,
        )
        return await self._watches.serve(call.request, call.target, options, lines)

    # -- writing -----------------------------------------------------------------------------------------------

    def _admit(
        self, call: Call, operation: Operation, obj: Object, old: Object | None
    ) -> tuple[Object, tuple[str, ...]]:
        validation = field_validation(call.query)
        sent = {**editable(obj), "apiVersion": call.target.api_version, "kind": call.target.resource.kind}
        admitted = self._admission(call.target.resource, operation, sent, old, strict=validation == "Strict")
        warnings = (
            text
            for text in admitted.warnings
            if validation != "Ignore" or not text.startswith("unknown field")
        )
        return dict(admitted.obj), (*call.warnings, *warnings)

    def _answer(
        self, call: Call, obj: Object, *, code: int = 200, warnings: Sequence[str] = ()
    ) -> web.Response:
        if call.accept.table:
            return self._tabled(call, [obj], obj["metadata"].get("resourceVersion", ""))
        return json_answer(Encoded(obj).json(call.target.api_version), code=code, warnings=warnings)

    async def _create(self, call: Call) -> web.Response:
        body = await read_object(call.request)
        resource, dry = call.target.resource, dry_run(call.query)
        strategy.check_type(resource, call.target.api_version, body)
        prepared = self._store.prepared(resource, body, namespace=call.namespace)
        self._check_namespace(call, name_of(prepared))
        admitted, warnings = self._admit(call, "CREATE", strategy.for_create(resource, prepared), None)
        if dry:
            try:
                self._store.get(resource, call.namespace, name_of(prepared))
            except NotFound:
                would = {**admitted, "apiVersion": resource.api_version}
                return self._answer(call, would, code=201, warnings=warnings)
            raise AlreadyExists.of(resource, name_of(prepared))
        created = self._store.create(resource, admitted, namespace=call.namespace)
        return self._answer(call, created, code=201, warnings=warnings)

    def _check_namespace(self, call: Call, name: str) -> None:
        """Refuse objects for namespaces that aren't there or are going (the NamespaceLifecycle plugin)."""
        resource = call.target.resource
        if not resource.namespaced:
            return
        namespace = self._store.get(NAMESPACES, "", call.namespace)
        if namespace["metadata"].get("deletionTimestamp"):
            raise Forbidden(
                f'{resource.qualified} "{name}" is forbidden: unable to create new content in namespace '
                f"{call.namespace} because it is being terminated",
                details={
                    **resource.details(name),
                    "causes": [
                        {
                            "reason": "NamespaceTerminating",
                            "message": f"namespace {call.namespace} is being terminated",
                            "field": "metadata.namespace",
                        }
                    ],
                },
            )

    async def _update(self, call: Call) -> web.Response:
        body = await read_object(call.request)
        strategy.check_type(call.target.resource, call.target.api_version, body)
        old = self._store.get(call.target.resource, call.namespace, call.target.name)
        return self._write(call, old, body)

    async def _patch(self, call: Call) -> web.Response:
        media = content_type(call.request)
        patches.check_media_type(call.target.resource, media)
        body = await read_json(call.request)
        old = self._store.get(call.target.resource, call.namespace, call.target.name)
        return self._write(call, old, patches.apply(call.target.resource, media, old, body))

    def _write(self, call: Call, old: Object, obj: Mapping[str, Any]) -> web.Response:
        """Store what a PUT or PATCH made. Nothing awaits between reading `old` and this write."""
        target, dry = call.target, dry_run(call.query)
        if not isinstance(obj.get("metadata") or {}, Mapping):
            raise BadRequest("metadata must be an object")
        name = name_of(obj) or target.name
        if name != target.name:
            raise BadRequest(
                f"the name of the object ({name}) does not match the name on the URL ({target.name})"
            )
        namespace = (obj.get("metadata") or {}).get("namespace") or call.namespace
        if namespace != call.namespace:
            raise BadRequest("the namespace of the object does not match the namespace on the request")
        named = with_metadata(obj, name=name, namespace=call.namespace or None)
        status_only = target.subresource == "status"
        changed = strategy.for_update(target.resource, old, named, status_only=status_only)
        would = self._store.replacement(target.resource, old, changed)
        admitted, warnings = self._admit(call, "UPDATE", would, old)
        if dry:
            would = {**admitted, "apiVersion": target.resource.api_version}
            return self._answer(call, would, warnings=warnings)
        return self._answer(call, self._store.update(target.resource, admitted), warnings=warnings)

    # -- deleting ----------------------------------------------------------------------------------------------

    async def _delete(self, call: Call) -> web.Response:
        options = await read_object(call.request, optional=True)
        return self._answer_deleted(call, *self._delete_one(call, call.target.name, options))

    async def _delete_collection(self, call: Call) -> web.Response:
        options = await read_object(call.request, optional=True)
        selected = call.selected()
        for obj in self._store.list(call.target.resource, call.target.namespace)[0]:
            if selected is None or selected(obj):
                self._delete_one(call, obj["metadata"]["name"], options, obj["metadata"].get("namespace", ""))
        return json_answer(success(), warnings=call.warnings)

    def _delete_one(
        self, call: Call, name: str, options: Mapping[str, Any], namespace: str | None = None
    ) -> tuple[Object, bool]:
        """Delete one object; return it, and whether it is gone."""
        resource, store = call.target.resource, self._store
        where = call.namespace if namespace is None else namespace
        grace = number(call.query, "gracePeriodSeconds")
        if grace is None:
            grace = options.get("gracePeriodSeconds")
        if grace is not None and not isinstance(grace, int):
            raise BadRequest(f'gracePeriodSeconds: Invalid value: "{grace}": must be a whole number')
        policy = call.query.get("propagationPolicy") or options.get("propagationPolicy")
        if policy not in {None, "Background", "Foreground", "Orphan"}:
            raise BadRequest(f'propagationPolicy: Unsupported value: "{policy}"')
        preconditions = options.get("preconditions") or {}
        uid, version = preconditions.get("uid"), preconditions.get("resourceVersion")
        if dry_run(call.query, options):
            present = store.get(resource, where, name)
            store.check_preconditions(resource, present, uid=uid, resource_version=version)
            return present, False
        deleted = store.delete(resource, where, name, grace=grace, uid=uid, resource_version=version)
        try:
            gone = store.get(resource, where, name)["metadata"]["uid"] != deleted["metadata"]["uid"]
        except NotFound:
            gone = True
        return deleted, gone

    def _answer_deleted(self, call: Call, obj: Object, gone: bool) -> web.Response:
        """Answer with the object while it lingers and for pods always (clients parse a Pod), else with a Status."""
        resource = call.target.resource
        if not gone or resource == PODS:
            return self._answer(call, obj, warnings=call.warnings)
        details = {**resource.details(obj["metadata"]["name"]), "uid": obj["metadata"]["uid"]}
        return json_answer(success(**details), warnings=call.warnings)

"""The object store: resource versions, optimistic locks, finalizers, and one ring of changes per kind.

Single-threaded: every method that isn't `async` takes effect at once and in full, so a controller between two
awaits sees and makes a consistent world. Objects handed out are never changed by the store and must not be by
anyone else; `mutate` gives the caller a copy of its own to edit.
"""

from __future__ import annotations

import asyncio
import random
import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from harness.embedded.api import deletion
from harness.embedded.api.errors import AlreadyExists, BadRequest, Conflict, Invalid, NotFound
from harness.embedded.api.objects import (
    Object,
    editable,
    name_of,
    namespace_of,
    sharing,
    timestamp,
    utc_now,
    with_metadata,
)
from harness.embedded.api.resources import EVENTS, NAMESPACES, RESOURCES, Resource
from harness.embedded.api.ring import Change, ChangeType, Encoded, Ring
from harness.embedded.api.subscription import Subscription

Key = tuple[str, str]
"""Namespace (empty for cluster-scoped kinds) and name."""

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


class Store:
    """Every object of the embedded cluster.

    `clock` gives aware times; `seed` makes uids and generated names repeatable; `ring` is how many changes of each
    kind are kept for watchers.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime] = utc_now,
        seed: int | None = None,
        ring: int = 8192,
        resources: Iterable[Resource] = RESOURCES,
    ) -> None:
        self.clock = clock
        self._random = random.Random(seed)
        self._version = 1
        self._objects: dict[Resource, dict[Key, Encoded]] = {resource: {} for resource in resources}
        self._rings: dict[Resource, Ring] = {resource: Ring(ring) for resource in resources}
        # In order of arrival: who is woken first must not depend on where an event lies in memory.
        self._listeners: dict[Resource, dict[asyncio.Event, None]] = {resource: {} for resource in resources}

    @property
    def resource_version(self) -> int:
        """The version of the newest write; lists carry it."""
        return self._version

    # -- reading -----------------------------------------------------------------------------------------------

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Return the object. Raises `NotFound`."""
        return self.encoded(resource, namespace, name).object

    def encoded(self, resource: Resource, namespace: str, name: str) -> Encoded:
        """Return the object with its shared JSON. Raises `NotFound`."""
        try:
            return self._objects[resource][self._key(resource, namespace, name)]
        except KeyError:
            raise NotFound.of(resource, name) from None

    def list(self, resource: Resource, namespace: str | None = None) -> tuple[Sequence[Object], int]:
        """Return the objects, sorted by namespace and name, and the resource version they stand for."""
        return [item.object for item in self.encoded_list(resource, namespace)], self._version

    def encoded_list(self, resource: Resource, namespace: str | None = None) -> Sequence[Encoded]:
        """Return the objects with their shared JSON, sorted by namespace and name."""
        objects = self._objects[resource]
        keys = sorted(objects) if namespace is None else sorted(k for k in objects if k[0] == namespace)
        return [objects[key] for key in keys]

    # -- writing -----------------------------------------------------------------------------------------------

    def create(self, resource: Resource, obj: Mapping[str, Any], *, namespace: str = "") -> Object:
        """Store a new object and return it as stored.

        Sets uid, creationTimestamp, resourceVersion, generation, apiVersion and kind; completes `generateName`.
        `namespace` fills `metadata.namespace` where absent (then `default`). Raises `AlreadyExists`, `Invalid`,
        `BadRequest`.
        """
        created = self.prepared(resource, obj, namespace=namespace)
        key = (namespace_of(created), name_of(created))
        if key in self._objects[resource]:
            raise AlreadyExists.of(resource, key[1])
        return self._commit("ADDED", resource, key, created)

    def prepared(self, resource: Resource, obj: Mapping[str, Any], *, namespace: str = "") -> Object:
        """Return what `create` would store, without a resource version. Raises `Invalid`, `BadRequest`."""
        created: Object = editable(obj)
        metadata: dict[str, Any] = dict(created.get("metadata") or {})
        if not metadata.get("name") and metadata.get("generateName"):
            suffix = "".join(self._random.choices(_SUFFIX, k=5))
            metadata["name"] = f"{metadata['generateName'][:58]}{suffix}"
        if resource.namespaced:
            metadata["namespace"] = metadata.get("namespace") or namespace or "default"
            if namespace and metadata["namespace"] != namespace:
                raise BadRequest(
                    "the namespace of the provided object does not match the namespace sent on the request"
                )
        else:
            metadata.pop("namespace", None)
        self._check_name(resource, metadata.get("name"))
        for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "generation"):
            metadata.pop(key, None)
        metadata["uid"] = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        metadata["creationTimestamp"] = timestamp(self.clock())
        if resource.generation != "none":
            metadata["generation"] = 1
        created["metadata"] = metadata
        created["apiVersion"], created["kind"] = resource.api_version, resource.kind
        if resource == NAMESPACES:
            metadata["labels"] = {
                **(metadata.get("labels") or {}),
                "kubernetes.io/metadata.name": metadata["name"],
            }
            created.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
            created.setdefault("status", {}).setdefault("phase", "Active")
        return created

    def update(self, resource: Resource, obj: Mapping[str, Any]) -> Object:
        """Replace an object. With `metadata.resourceVersion` set it must be the present one, else `Conflict`.

        Without a change nothing is written and no version is spent. Raises `NotFound`, `Conflict`, `Invalid`.
        """
        old = self.get(resource, namespace_of(obj), name_of(obj))
        return self._replace(resource, old, editable(obj))

    def replacement(self, resource: Resource, old: Object, obj: Mapping[str, Any]) -> Object:
        """Return what `update` would store in place of `old`, without writing. Raises as `update`."""
        asked, have = obj.get("metadata", {}), old["metadata"]
        if asked.get("resourceVersion") not in {None, "", have["resourceVersion"]}:
            raise Conflict.of(resource, have["name"])
        if asked.get("uid") not in {None, "", have["uid"]}:
            raise Conflict.of(
                resource,
                have["name"],
                f"Precondition failed: UID in precondition: {asked['uid']}, UID in object meta: {have['uid']}",
            )
        kept = {
            key: have.get(key)
            for key in (
                "uid",
                "creationTimestamp",
                "resourceVersion",
                "generation",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
            )
        }
        new = {
            **with_metadata(obj, **kept, name=have["name"], namespace=have.get("namespace")),
            "apiVersion": old["apiVersion"],
            "kind": old["kind"],
        }
        if _generation_changes(resource, old, new):
            new["metadata"]["generation"] = have.get("generation", 0) + 1
        return new

    def mutate(
        self, resource: Resource, namespace: str, name: str, fn: Callable[[dict[str, Any]], object]
    ) -> Object:
        """Let `fn` edit a copy of the present object and store it; return it as stored.

        No write, no version and no event if nothing changed. Never conflicts: nothing runs in between.
        """
        old = self.encoded(resource, namespace, name)
        copy = old.editable()
        fn(copy)
        return self._replace(resource, old.object, copy)

    def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        grace: int | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> Object:
        """Delete as a DELETE request does; return the object, marked or as last stored.

        A pod with a node is marked (`deletionTimestamp`, `deletionGracePeriodSeconds`) until its kubelet calls
        `remove`, at once with `grace=0`; an object with finalizers is marked until a write takes the last one away;
        a namespace is marked until all in it is gone. `uid` and `resource_version` are preconditions.
        Raises `NotFound`, `Conflict`.
        """
        old = self.get(resource, namespace, name)
        self.check_preconditions(resource, old, uid=uid, resource_version=resource_version)
        if resource == NAMESPACES:
            return self._terminate_namespace(name, old)
        match deletion.decide(resource, old, grace=grace, now=self.clock()):
            case deletion.Remove():
                return self._remove(resource, old)
            case deletion.Mark(object=marked):
                if resource.generation != "none" and not old["metadata"].get("deletionTimestamp"):
                    marked["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
                return self._commit("MODIFIED", resource, self._key(resource, namespace, name), marked)
            case None:
                return old

    def check_preconditions(
        self, resource: Resource, obj: Object, *, uid: str | None, resource_version: str | None
    ) -> None:
        """Raise `Conflict` unless the object is the one meant (DeleteOptions.preconditions)."""
        metadata = obj["metadata"]
        for label, asked, have in (
            ("UID", uid, metadata["uid"]),
            ("ResourceVersion", resource_version, metadata["resourceVersion"]),
        ):
            if asked not in {None, have}:
                raise Conflict.of(
                    resource,
                    metadata["name"],
                    f"Precondition failed: {label} in precondition: {asked}, {label} in object meta: {have}",
                )

    def remove(self, resource: Resource, namespace: str, name: str, *, uid: str | None = None) -> Object:
        """Take an object out of the store whatever marks it has: the kubelet's last word on a pod.

        Finalizers still hold it (then it is marked with no grace left). Raises `NotFound`, `Conflict` (other uid).
        """
        old = self.get(resource, namespace, name)
        self.check_preconditions(resource, old, uid=uid, resource_version=None)
        if old["metadata"].get("finalizers"):
            marked = with_metadata(
                old,
                deletionTimestamp=old["metadata"].get("deletionTimestamp") or timestamp(self.clock()),
                deletionGracePeriodSeconds=0,
            )
            if marked == old:
                return old
            return self._commit("MODIFIED", resource, self._key(resource, namespace, name), marked)
        return self._remove(resource, old)

    # -- watching ----------------------------------------------------------------------------------------------

    def subscribe(self, *resources: Resource) -> Subscription:
        """Return a stream of the present objects as ADDED, then of every change, in one order.

        `async with store.subscribe(PODS, NODES) as changes: async for change in changes`. A subscriber that fell
        behind further than the rings reach is caught up from the present state; it never sees `Gone`.
        """
        return Subscription(self, resources)

    def since(self, resource: Resource, version: int) -> Sequence[Change]:
        """Return the changes of one kind after `version`. Raises `Gone`."""
        return self._rings[resource].since(version)

    def listen(self, resource: Resource, wake: asyncio.Event) -> None:
        """Have `wake` set whenever this kind changes."""
        self._listeners[resource][wake] = None

    def unlisten(self, resource: Resource, wake: asyncio.Event) -> None:
        """Undo `listen`."""
        self._listeners[resource].pop(wake, None)

    # -- inside ------------------------------------------------------------------------------------------------

    @staticmethod
    def _key(resource: Resource, namespace: str, name: str) -> Key:
        return (namespace if resource.namespaced else "", name)

    @staticmethod
    def _check_name(resource: Resource, name: object) -> None:
        if not name:
            cause = (
                "FieldValueRequired",
                "metadata.name",
                "Required value: name or generateName is required",
            )
            raise Invalid.of(resource, "", [cause])
        if not isinstance(name, str) or len(name) > 253 or not _SUBDOMAIN.fullmatch(name):
            message = f'Invalid value: "{name}": {_SUBDOMAIN_RULE}'
            raise Invalid.of(resource, str(name), [("FieldValueInvalid", "metadata.name", message)])

    def _replace(self, resource: Resource, old: Object, obj: Object) -> Object:
        new: Object = sharing(self.replacement(resource, old, obj), old)
        if new is old:
            return old
        if deletion.finished(new) and resource != NAMESPACES:
            return self._remove(resource, new, previous=old)
        return self._commit("MODIFIED", resource, (namespace_of(old), name_of(old)), new)

    def _commit(self, what: ChangeType, resource: Resource, key: Key, obj: Object) -> Object:
        version = self._version + 1
        stored = with_metadata(obj, resourceVersion=str(version))
        encoded = Encoded(stored)
        encoded.json()  # before anything changes: what is no JSON fails in the writer's hands
        objects = self._objects[resource]
        previous = objects.get(key)
        self._version = version
        if what == "DELETED":
            del objects[key]
        else:
            objects[key] = encoded
        change = Change(what, resource, stored, version, previous.object if previous else None, encoded)
        self._rings[resource].append(change)
        for wake in self._listeners[resource]:
            wake.set()
        return stored

    def _remove(self, resource: Resource, obj: Object, *, previous: Object | None = None) -> Object:
        key = (namespace_of(obj), name_of(obj))
        removed = self._commit("DELETED", resource, key, obj)
        if resource.namespaced:
            self._finish_namespace(key[0])
        return removed

    def _terminate_namespace(self, name: str, old: Object) -> Object:
        if not old["metadata"].get("deletionTimestamp"):
            marked = with_metadata(
                old, deletionTimestamp=timestamp(self.clock()), deletionGracePeriodSeconds=None
            )
            marked["status"] = {**(old.get("status") or {}), "phase": "Terminating"}
            old = self._commit("MODIFIED", NAMESPACES, ("", name), marked)
        for resource in self._objects:
            if resource.namespaced and resource != EVENTS:
                for item in self.encoded_list(resource, name):
                    self.delete(resource, name, name_of(item.object))
        self._finish_namespace(name)
        return old

    def _finish_namespace(self, name: str) -> None:
        """Remove a terminating namespace once nothing is left in it; its events go last, they report the rest."""
        namespace = self._objects[NAMESPACES].get(("", name)) if NAMESPACES in self._objects else None
        if namespace is None or not namespace.object["metadata"].get("deletionTimestamp"):
            return
        for resource, objects in self._objects.items():
            if resource.namespaced and resource != EVENTS and any(key[0] == name for key in objects):
                return
        for event in self.encoded_list(EVENTS, name):
            self._commit("DELETED", EVENTS, (name, name_of(event.object)), event.object)
        self._commit("DELETED", NAMESPACES, ("", name), namespace.object)


def _generation_changes(resource: Resource, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    if resource.generation == "none":
        return False
    ignored = {"metadata", "apiVersion", "kind"} | ({"status"} if resource.generation == "spec" else set())
    return any(old.get(key) != new.get(key) for key in (old.keys() | new.keys()) - ignored)

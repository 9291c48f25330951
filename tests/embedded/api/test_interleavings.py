"""Any interleaving of writes, lists and watches tells every watcher the store's own story."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from harness.embedded.api.errors import AlreadyExists, Gone, NotFound
from harness.embedded.api.requests import Accept, Target
from harness.embedded.api.resources import NAMESPACES, NODES, PODS
from harness.embedded.api.selectors import selector
from harness.embedded.api.store import Store
from harness.embedded.api.watching import Lines

NAMES = st.sampled_from(["a", "b", "c"])
NAMESPACES_ = st.sampled_from(["x", "y"])
State = dict[tuple[str, str], dict[str, Any]]


class Watcher:
    """A client: it listed at some time, then applies what a watch from that version says; on 410 it lists again."""

    def __init__(self, store: Store, namespace: str | None, labels: str) -> None:
        self.store = store
        self.selected = selector(PODS, labels, "")
        self.namespace = namespace
        self.lines = Lines(
            store,
            Target(resource=PODS, version="v1", namespace=namespace),
            selected=self.selected,
            accept=Accept(),
            include="Metadata",
        )
        self.relist()

    def truth(self) -> State:
        return {
            (o["metadata"]["namespace"], o["metadata"]["name"]): o
            for o in self.store.list(PODS, self.namespace)[0]
            if self.selected is None or self.selected(o)
        }

    def relist(self) -> None:
        self.state = self.truth()
        self.version = self.store.resource_version

    def catch_up(self, count: int | None) -> None:
        try:
            changes = self.store.since(PODS, self.version)
        except Gone:
            self.relist()
            return
        if count is not None:
            changes = changes[:count]
        for line in self.lines.changes(changes):
            event = orjson.loads(b"".join(line))
            obj = event["object"]
            key = (obj["metadata"]["namespace"], obj["metadata"]["name"])
            if event["type"] == "DELETED":
                assert key in self.state, "deleted what was never told of"
                del self.state[key]
            else:
                assert (event["type"] == "ADDED") == (key not in self.state)
                self.state[key] = obj
        if changes:
            self.version = changes[-1].resource_version


class Interleavings(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = Store(seed=1, ring=8)
        for name in ("x", "y"):
            self.store.create(NAMESPACES, {"metadata": {"name": name}})
        self.watchers: list[Watcher] = []
        self.versions = [self.store.resource_version]
        self.handed_out: list[tuple[dict[str, Any], bytes]] = []

    def keep(self, obj: dict[str, Any]) -> None:
        self.handed_out.append((obj, orjson.dumps(obj)))

    @rule(namespace=NAMESPACES_, name=NAMES, app=st.sampled_from(["1", "2"]), node=st.booleans())
    def create(self, namespace: str, name: str, app: str, node: bool) -> None:
        body = {
            "metadata": {
                "name": name,
                "labels": {"app": app},
                **({"finalizers": ["f/f"]} if app == "2" else {}),
            },
            "spec": {"nodeName": "n"} if node else {},
        }
        try:
            self.keep(self.store.create(PODS, body, namespace=namespace))
        except AlreadyExists:
            assert self.store.get(PODS, namespace, name)

    @rule(namespace=NAMESPACES_, name=NAMES, app=st.sampled_from(["1", "2", "3"]))
    def mutate(self, namespace: str, name: str, app: str) -> None:
        with contextlib.suppress(NotFound):
            self.keep(
                self.store.mutate(PODS, namespace, name, lambda o: o["metadata"].update(labels={"app": app}))
            )

    @rule(namespace=NAMESPACES_, name=NAMES, grace=st.sampled_from([None, 0, 5]))
    def delete(self, namespace: str, name: str, grace: int | None) -> None:
        with contextlib.suppress(NotFound):
            self.keep(self.store.delete(PODS, namespace, name, grace=grace))

    @rule(namespace=NAMESPACES_, name=NAMES)
    def let_go(self, namespace: str, name: str) -> None:
        try:
            self.store.mutate(PODS, namespace, name, lambda o: o["metadata"].pop("finalizers", None))
            self.store.remove(PODS, namespace, name)
        except NotFound:
            pass

    @rule()
    def something_else_happens(self) -> None:
        self.store.create(NODES, {"metadata": {"generateName": "n-"}})

    @rule(namespace=st.sampled_from([None, "x"]), labels=st.sampled_from(["", "app=1", "app!=1"]))
    def watch(self, namespace: str | None, labels: str) -> None:
        self.watchers.append(Watcher(self.store, namespace, labels))

    @precondition(lambda self: bool(self.watchers))
    @rule(data=st.data(), count=st.sampled_from([None, 1, 2]))
    def a_watcher_reads(self, data: st.DataObject, count: int | None) -> None:
        data.draw(st.sampled_from(self.watchers)).catch_up(count)

    @invariant()
    def versions_only_grow(self) -> None:
        assert self.store.resource_version >= self.versions[-1]
        self.versions.append(self.store.resource_version)
        written = [int(o["metadata"]["resourceVersion"]) for o in self.store.list(PODS)[0]]
        assert len(set(written)) == len(written)

    def teardown(self) -> None:
        for watcher in self.watchers:
            while watcher.version < self.store.resource_version:
                before = watcher.version
                watcher.catch_up(None)
                if watcher.version == before:
                    break
            assert watcher.state == watcher.truth()
        for obj, as_it_was in self.handed_out:
            assert orjson.dumps(obj) == as_it_was, "an object was changed after it was handed out"


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

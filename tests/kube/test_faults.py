"""The list+watch client against the embedded API server behind a proxy that breaks things: nothing lost, nothing doubled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.embedded.api.resources import NAMESPACES
from harness.embedded.api.resources import PODS as STORED_PODS
from harness.embedded.api.server import ApiServer
from harness.embedded.api.store import Store
from harness.kube.backoff import Backoff
from harness.kube.connection import connect
from harness.kube.errors import TooManyRequests, Unauthorized
from harness.kube.objects import Objects
from harness.kube.resources import PODS
from harness.kube.watch import Seen, StreamNote, Synced, Watcher, WatchItem
from tests.embedded.api.fakes import FakeAdmission, FakeHooks
from tests.faults import LIST_FAULTS, WATCH_FAULTS, Faults, Upstream, faults

QUICK = 0.02


class World:
    """A store, its server (which can be started again), and the log of what was done."""

    def __init__(self) -> None:
        self.store = Store(seed=3)
        self.store.create(NAMESPACES, {"metadata": {"name": "ns"}})
        self.log: list[tuple[str, str, str]] = []
        self.server: ApiServer | None = None

    def upstream(self) -> Upstream:
        if self.server is None:
            return Upstream(url="http://127.0.0.1:1", token="")
        return Upstream(url=self.server.url, token=self.server.token, authority=self.server.authority)

    async def start(self) -> None:
        self.server = ApiServer(
            self.store, hooks=FakeHooks(), admission=FakeAdmission(), bookmark_interval=0.05
        )
        await self.server.start()

    async def stop(self) -> None:
        server, self.server = self.server, None
        if server is not None:
            await server.stop()

    def forget(self) -> None:
        """As after a restore from a backup taken before anything: other versions, other objects."""
        self.store = Store(seed=4)
        self.store.create(NAMESPACES, {"metadata": {"name": "ns"}})

    def names(self) -> dict[str, str]:
        items = [e.object for e in self.store.encoded_list(STORED_PODS, "ns")]
        return {i["metadata"]["name"]: i["metadata"]["resourceVersion"] for i in items}

    def put(self, name: str, *, padding: int = 0) -> None:
        if name in self.names():
            changed = self.store.mutate(
                STORED_PODS, "ns", name, lambda o: o["metadata"].update(labels={"n": str(len(self.log))})
            )
            self.log.append(("MODIFIED", name, changed["metadata"]["resourceVersion"]))
            return
        pod = {
            "metadata": {"name": name, "annotations": {"padding": "x" * padding}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        }
        made = self.store.create(STORED_PODS, pod, namespace="ns")
        self.log.append(("ADDED", name, made["metadata"]["resourceVersion"]))

    def remove(self, name: str) -> None:
        if name in self.names():
            gone = self.store.remove(STORED_PODS, "ns", name)
            assert gone is not None
            self.log.append(("DELETED", name, gone["metadata"]["resourceVersion"]))


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    made = World()
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


def told(items: list[WatchItem]) -> list[tuple[str, str, str]]:
    return [
        (i.type, i.object["metadata"]["name"], i.object["metadata"]["resourceVersion"])
        for i in items
        if isinstance(i, Seen)
    ]


async def follow(watcher: Watcher, until: Any, *, pause: float = 0.0) -> list[WatchItem]:
    seen: list[WatchItem] = []
    async with asyncio.timeout(30), aclosing(watcher.events()) as events:
        async for item in events:
            seen.append(item)
            if pause:
                await asyncio.sleep(pause)
            if isinstance(item, Seen) and until(item):
                return seen
    raise AssertionError("the watch ended")


def is_last(item: Seen) -> bool:
    return bool(item.object["metadata"]["name"] == "last")


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "remove", "pause", "big", "restart"]), st.sampled_from("abc")
    ),
    max_size=18,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    plan=st.lists(st.sampled_from(WATCH_FAULTS), max_size=7),
    lists=st.lists(st.sampled_from(LIST_FAULTS), max_size=3),
    changes=CHANGES,
    slow=st.booleans(),
)
async def test_no_event_is_lost_or_doubled(
    plan: list[str], lists: list[str], changes: list[tuple[str, str]], slow: bool
) -> None:
    # A 401 of renewed credentials is final, so there is one at most.
    plan, lists = (
        [k for i, k in enumerate(kinds) if k != "expired" or k not in kinds[:i]] for kinds in (plan, lists)
    )
    restarts = 0
    async with (
        world() as there,
        faults(there.upstream, plan=plan) as (proxy, document),
        connect(document) as connection,
    ):
        watcher = Watcher(connection, PODS, namespace="ns", backoff=Backoff(first=QUICK, most=0.1))
        synced = asyncio.Event()
        seen: list[WatchItem] = []

        async def watch() -> None:
            async with asyncio.timeout(30), aclosing(watcher.events()) as events:
                async for item in events:
                    seen.append(item)
                    if isinstance(item, Synced):
                        proxy.list_plan += lists
                        synced.set()
                    if slow:
                        await asyncio.sleep(0.002)
                    if isinstance(item, Seen) and is_last(item):
                        return

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watch())
            await synced.wait()
            for what, name in changes:
                match what:
                    case "put":
                        there.put(name)
                    case "big":
                        there.put(name, padding=2 << 20)
                    case "remove":
                        there.remove(name)
                    case "restart" if restarts < 2:
                        restarts += 1
                        await there.stop()
                        await asyncio.sleep(QUICK)
                        await there.start()
                    case _:
                        await asyncio.sleep(QUICK / 4)
            there.put("last")
    check(there, seen)
    # 1 at once, then at least 0.015 s between two of them, and one more for each 401 that is tried again.
    assert proxy.most_a_second() <= 70


def check(there: World, seen: list[WatchItem]) -> None:
    found = told(seen)
    real = [
        item
        for item, raw in zip(found, (i for i in seen if isinstance(i, Seen)), strict=True)
        if not raw.synthetic
    ]
    assert len({version for _, _, version in real}) == len(real), "told twice"
    if "gap" not in [i.what for i in seen if isinstance(i, StreamNote)]:
        assert found == there.log, "without a gap every change is told, in its order"
    belief: dict[str, str] = {}
    for kind, name, version in found:
        if kind == "DELETED":
            belief.pop(name)
        else:
            belief[name] = version
    assert belief == there.names()


async def test_a_server_with_other_versions_makes_us_list_again() -> None:
    async with world() as there, faults(there.upstream) as (_, document), connect(document) as connection:
        there.put("old")
        watcher = Watcher(connection, PODS, namespace="ns", backoff=Backoff(first=QUICK, most=0.1))

        async def restore() -> None:
            await asyncio.sleep(0.1)
            await there.stop()
            there.forget()
            await there.start()
            await asyncio.sleep(0.1)
            there.put("last")

        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(follow(watcher, is_last))
            tasks.create_task(restore())
    seen = following.result()
    assert [(k, n) for k, n, _ in told(seen)] == [
        ("ADDED", "old"),
        ("DELETED", "old"),
        ("ADDED", "last"),
    ] or [(k, n) for k, n, _ in told(seen)] == [("ADDED", "old"), ("DELETED", "old"), ("RELIST", "last")]
    assert [i.synthetic for i in seen if isinstance(i, Seen)] == [False, True, False]


async def test_no_fault_that_lasts_makes_a_tight_loop() -> None:
    """All of them at once, for a second and a half, with the back-off that is used."""
    proxies: dict[str, Faults] = {}
    ended: list[str] = []

    async def suffer(fault: str) -> None:
        async with faults(there.upstream, always=fault) as (proxy, document), connect(document) as connection:
            proxies[fault] = proxy
            watcher = Watcher(connection, PODS, namespace="ns")
            try:
                async with asyncio.timeout(1.5):
                    await follow(watcher, lambda _: False)
            except TimeoutError:
                pass
            except Unauthorized:  # a 401 that lasts ends the watch
                ended.append(fault)

    async with world() as there:
        for name in "abc":
            there.put(name)
        async with asyncio.TaskGroup() as tasks:
            for fault in WATCH_FAULTS:
                tasks.create_task(suffer(fault))

            async def stir() -> None:
                for _ in range(140):
                    there.put("a")
                    await asyncio.sleep(0.01)

            tasks.create_task(stir())
    assert ended == ["expired"]
    # At once, then 0.1 s (less a quarter) between two; a re-list follows each 410. `drop` sees progress each time.
    assert {
        fault: proxy.most_a_second() for fault, proxy in proxies.items() if proxy.most_a_second() > 30
    } == {}
    assert len(proxies["drop"].asked) >= 4


async def test_one_shot_calls_are_repeated_no_faster_than_their_back_off() -> None:
    async with (
        world() as there,
        faults(there.upstream, list_plan=["throttle"] * 1000) as (proxy, document),
        connect(document) as connection,
    ):
        with pytest.raises(TooManyRequests):
            await Objects(connection, patience=1.0).list_all(PODS, namespace="ns")
    assert 3 <= len(proxy.asked) <= 8

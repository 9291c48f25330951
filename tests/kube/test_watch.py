from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.kube.backoff import Backoff
from harness.kube.connection import connect
from harness.kube.errors import NotFound, Unauthorized, Unreachable
from harness.kube.resources import NODES, PODS
from harness.kube.watch import Seen, StreamNote, Synced, Watcher, WatchItem
from tests.kube.faulty import FaultyServer, faulty, kubeconfig

QUICK = 0.002


@asynccontextmanager
async def watching(server: FaultyServer) -> AsyncIterator[AsyncIterator[WatchItem]]:
    async with (
        faulty(server),
        connect(kubeconfig(server.url, {"token": server.token})) as connection,
        aclosing(
            Watcher(connection, PODS, namespace="ns", backoff=Backoff(first=QUICK, most=0.02)).events()
        ) as events,
    ):
        yield events


async def take(events: AsyncIterator[WatchItem], until: Any) -> list[WatchItem]:
    """Collect until `until(item)` is true of one, that one included."""
    found: list[WatchItem] = []
    async with asyncio.timeout(10):
        async for item in events:
            found.append(item)
            if until(item):
                return found
    raise AssertionError("the watch ended")


async def drain(watcher: Watcher, *, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), aclosing(watcher.events()) as events:
            async for _ in events:
                pass


def is_pod(name: str, *types: str) -> Any:
    return lambda item: (
        isinstance(item, Seen)
        and item.object["metadata"]["name"] == name
        and item.type in (types or (item.type,))
    )


def told(items: list[WatchItem]) -> list[tuple[str, str]]:
    return [(i.type, i.object["metadata"]["name"]) for i in items if isinstance(i, Seen)]


def notes(items: list[WatchItem]) -> list[str]:
    return [i.what for i in items if isinstance(i, StreamNote)]


async def test_lists_first_then_tells_changes_in_order() -> None:
    server = FaultyServer()
    server.put("a")
    async with watching(server) as events:
        first = await take(events, lambda i: isinstance(i, Synced))
        assert told(first) == [("ADDED", "a")]
        assert first[0].object["kind"] == "Pod"  # type: ignore[union-attr]
        server.put("b")
        server.put("a")
        server.remove("b")
        assert told(await take(events, is_pod("b", "DELETED"))) == [
            ("ADDED", "b"),
            ("MODIFIED", "a"),
            ("DELETED", "b"),
        ]
    assert server.requests == ["list", "watch"]


@pytest.mark.parametrize("fault", ["drop", "half", "close", "error", "garbage", "throttle", "bookmark"])
async def test_a_broken_watch_goes_on_without_listing_again(fault: str) -> None:
    server = FaultyServer(plan=[fault])
    async with watching(server) as events:
        await take(events, lambda i: isinstance(i, Synced))
        for name in "abcd":
            server.put(name)
        items = await take(events, is_pod("d"))
        if fault in {"close", "bookmark"}:  # these send all there is before they end
            items += await take(events, lambda i: isinstance(i, StreamNote))
            server.put("e")
            assert told(await take(events, is_pod("e"))) == [("ADDED", "e")]
    assert told(items) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c"), ("ADDED", "d")]
    assert notes(items) == ["throttled" if fault == "throttle" else "reconnect"]
    assert server.requests == ["list", "watch", "watch"]


@pytest.mark.parametrize("fault", ["gone-http", "gone-event"])
async def test_an_expired_version_lists_again_and_reports_the_gap(fault: str) -> None:
    server = FaultyServer(plan=["close", fault])
    for name in ("stays", "changes", "goes"):
        server.put(name)
    async with watching(server) as events:
        await take(events, lambda i: isinstance(i, Synced))
        # Between two watches, so that only the second list can tell of it.
        server.put("changes")
        server.remove("goes")
        server.put("comes")
        server.history.clear()
        items = await take(events, is_pod("comes"))
        server.put("stays")
        after = await take(events, is_pod("stays"))
    assert told(items) == [("DELETED", "goes"), ("RELIST", "changes"), ("RELIST", "comes")]
    assert [i.synthetic for i in items if isinstance(i, Seen)] == [True, False, False]
    assert "gap" in notes(items)
    assert told(after) == [("MODIFIED", "stays")]


async def test_objects_of_two_mebibytes_pass() -> None:
    server = FaultyServer()
    async with watching(server) as events:
        await take(events, lambda i: isinstance(i, Synced))
        server.put("big", padding=2 << 20)
        server.put("small")
        items = await take(events, is_pod("small"))
    assert told(items) == [("ADDED", "big"), ("ADDED", "small")]
    assert len(items[0].object["metadata"]["annotations"]["padding"]) == 2_097_152  # type: ignore[union-attr]


async def test_a_replayed_event_is_told_once() -> None:
    server = FaultyServer(plan=["close", "replay"])
    async with watching(server) as events:
        await take(events, lambda i: isinstance(i, Synced))
        server.put("a")
        await take(events, is_pod("a"))
        server.put("b")
        assert told(await take(events, is_pod("b"))) == [("ADDED", "b")]


async def test_what_is_older_than_what_was_listed_is_not_told() -> None:
    server = FaultyServer(plan=["replay", "ok"])
    for name in ("a", "a", "b"):  # 101, 102, 103
        server.put(name)
    async with watching(server) as events:
        seen = await take(events, lambda i: isinstance(i, Synced))
        server.put("last")
        seen += await take(events, is_pod("last"))
    versions = [i.object["metadata"]["resourceVersion"] for i in seen if isinstance(i, Seen)]
    assert versions == ["102", "103", "104"]


async def test_a_server_that_only_fails_is_not_asked_in_a_tight_loop() -> None:
    server = FaultyServer(plan=["close"] * 10_000)
    async with faulty(server), connect(kubeconfig(server.url)) as connection:
        watcher = Watcher(connection, PODS, namespace="ns", backoff=Backoff(first=0.05, most=0.2))
        await drain(watcher, seconds=1.0)
    # 0, .05, .1, .2, .2 … (at least three quarters of each): about 8 in a second.
    assert 4 <= server.requests.count("watch") <= 12


async def test_a_server_that_answers_every_watch_with_410_is_not_asked_in_a_tight_loop() -> None:
    server = FaultyServer(plan=["gone-http"] * 10_000)
    async with faulty(server), connect(kubeconfig(server.url)) as connection:
        watcher = Watcher(connection, PODS, namespace="ns", backoff=Backoff(first=0.05, most=0.2))
        await drain(watcher, seconds=1.0)
    assert 4 <= server.requests.count("list") <= 13


async def test_a_failing_second_list_is_repeated() -> None:
    server = FaultyServer(plan=["gone-http"], list_plan=["ok", "error", "throttle"])
    async with watching(server) as events:
        await take(events, lambda i: isinstance(i, Synced))
        server.put("a")
        server.history.clear()
        items = await take(events, is_pod("a"))
    assert notes(items) == ["reconnect", "throttled", "gap"]


async def test_what_can_not_mend_itself_is_raised() -> None:
    server = FaultyServer(token="right")
    async with faulty(server):
        async with connect(kubeconfig(server.url, {"token": "wrong"})) as connection:
            with pytest.raises(Unauthorized, match="told: Unauthorized"):
                await anext(Watcher(connection, PODS, namespace="ns").events())
        async with connect(kubeconfig(server.url, {"token": "right"})) as connection:
            with pytest.raises(NotFound):
                await anext(Watcher(connection, NODES).events())


async def test_a_server_that_was_never_there_is_not_a_reconnect() -> None:
    async with connect(kubeconfig("http://127.0.0.1:1")) as connection:
        watcher = Watcher(connection, PODS, first_patience=0.0)
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1"):
            await anext(watcher.events())


FAULTS = st.sampled_from(
    [
        "ok",
        "drop",
        "half",
        "close",
        "gone-http",
        "gone-event",
        "throttle",
        "error",
        "garbage",
        "replay",
        "bookmark",
    ]
)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["put", "put", "remove", "pause"]), st.sampled_from("abcd")), max_size=25
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plan=st.lists(FAULTS, max_size=8), changes=CHANGES)
async def test_no_change_is_lost_or_doubled_whatever_breaks(
    plan: list[str], changes: list[tuple[str, str]]
) -> None:
    server = FaultyServer(plan=[*plan, "ok"])
    async with watching(server) as events:
        seen: list[WatchItem] = await take(events, lambda i: isinstance(i, Synced))

        async def change() -> None:
            for what, name in changes:
                if what == "pause":
                    await asyncio.sleep(QUICK)
                elif what == "put":
                    server.put(name)
                elif name in server.pods:
                    server.remove(name)
            server.put("last")

        changing = asyncio.create_task(change())
        seen += await take(events, is_pod("last"))
        await changing

    gaps = notes(seen).count("gap")
    told_of = [
        (i.object["metadata"]["name"], i.object["metadata"]["resourceVersion"], i)
        for i in seen
        if isinstance(i, Seen)
    ]
    # Never doubled: one object at one version is told at most once, but for a synthetic end.
    real = [(n, v) for n, v, i in told_of if not i.synthetic]
    assert len(real) == len(set(real))
    # Never lost: without a gap every change of the log was told, in its order.
    if not gaps:
        log = [(e["type"], str(v)) for v, e in server.history]
        assert [(i.type, v) for _, v, i in told_of] == log
    # With or without: what we believe exists is what exists, at its newest version.
    belief: dict[str, str] = {}
    for name, version, item in told_of:
        if item.type == "DELETED":
            belief.pop(name)
        else:
            assert name not in belief or int(belief[name]) < int(version)
            belief[name] = version
    assert belief == {n: p["metadata"]["resourceVersion"] for n, p in server.pods.items()}

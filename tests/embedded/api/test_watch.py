from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from harness.embedded.api.resources import EVENTS, NAMESPACES, NODES, PODS, VIRTUALMACHINEINSTANCES
from harness.embedded.api.server import ApiServer
from harness.embedded.api.store import Store
from tests.embedded.api.fakes import FakeHooks, until

Make = Callable[..., dict[str, Any]]
PODS_PATH = "/api/v1/pods"
WATCH_LIST = "watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=300"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


class Stream:
    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            line = await self.answer.content.readline()
        assert line.endswith(b"\n"), "the stream ended"
        event: dict[str, Any] = json.loads(line)
        return event

    async def take(self, count: int) -> list[tuple[str, str]]:
        events = [await self.next() for _ in range(count)]
        return [(e["type"], e["object"]["metadata"].get("name", "")) for e in events]

    async def ended(self) -> bool:
        async with asyncio.timeout(5):
            return await self.answer.content.read() == b""


@asynccontextmanager
async def watching(
    http: aiohttp.ClientSession, query: str, path: str = PODS_PATH, **headers: str
) -> AsyncIterator[Stream]:
    async with http.get(f"{path}?{query}", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        yield Stream(answer)


@asynccontextmanager
async def serving(store: Store, **options: Any) -> AsyncIterator[tuple[ApiServer, aiohttp.ClientSession]]:
    async with ApiServer(store, hooks=FakeHooks(), **options) as server:
        context = ssl.create_default_context(cadata=server.authority.decode())
        async with aiohttp.ClientSession(
            server.url,
            connector=aiohttp.TCPConnector(ssl=context),
            headers={"Authorization": f"Bearer {server.token}"},
        ) as session:
            yield server, session


@pytest.mark.parametrize("query", ["watch=true", "watch=1&resourceVersion=0"])
async def test_without_a_version_the_present_comes_first(
    http: aiohttp.ClientSession, store: Store, pod: Make, query: str
) -> None:
    store.create(PODS, pod("a"))
    async with watching(http, query) as stream:
        assert await stream.take(1) == [("ADDED", "a")]
        store.create(PODS, pod("b"))
        store.mutate(PODS, "default", "a", lambda o: o.update(status={"phase": "Running"}))
        store.delete(PODS, "default", "a")
        assert await stream.take(3) == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_from_a_version_only_later_changes_come(
    http: aiohttp.ClientSession, store: Store, pod: Make
) -> None:
    store.create(PODS, pod("a"))
    version = store.resource_version
    store.create(PODS, pod("b"))
    async with watching(http, f"watch=true&resourceVersion={version}") as stream:
        event = await stream.next()
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "b")
        assert event["object"] == store.get(PODS, "default", "b")


async def test_a_deletion_carries_its_own_version(
    http: aiohttp.ClientSession, store: Store, pod: Make
) -> None:
    store.create(PODS, pod("a"))
    async with watching(http, f"watch=true&resourceVersion={store.resource_version}") as stream:
        store.delete(PODS, "default", "a")
        event = await stream.next()
    assert event["type"] == "DELETED"
    assert event["object"]["metadata"]["resourceVersion"] == "4"


async def test_objects_enter_and_leave_a_selection(
    http: aiohttp.ClientSession, store: Store, pod: Make
) -> None:
    store.create(PODS, pod("a"))
    store.create(PODS, pod("b", labels={"app": "x"}))
    async with watching(http, "watch=true&labelSelector=app%3Dx") as stream:
        assert await stream.take(1) == [("ADDED", "b")]

        def label(name: str, value: str) -> None:
            store.mutate(PODS, "default", name, lambda o: o["metadata"].update(labels={"app": value}))

        label("a", "x")
        label("a", "y")
        label("a", "z")
        label("b", "y")
        store.delete(PODS, "default", "b")
        store.create(PODS, pod("c", labels={"app": "x"}))
        assert await stream.take(4) == [("ADDED", "a"), ("DELETED", "a"), ("DELETED", "b"), ("ADDED", "c")]


async def test_a_namespace_sees_its_own(http: aiohttp.ClientSession, store: Store, pod: Make) -> None:
    store.create(NAMESPACES, {"metadata": {"name": "x"}})
    async with watching(http, "watch=true", "/api/v1/namespaces/x/pods") as stream:
        store.create(PODS, pod("a"))
        store.create(PODS, pod("b"), namespace="x")
        assert await stream.take(1) == [("ADDED", "b")]


async def test_one_object_by_path_and_by_field(http: aiohttp.ClientSession, store: Store, pod: Make) -> None:
    for name in ("a", "b"):
        store.create(PODS, pod(name))
    async with watching(http, "watch=true&fieldSelector=metadata.name%3Db&resourceVersion=0") as stream:
        assert await stream.take(1) == [("ADDED", "b")]
    async with watching(http, "watch=true", "/api/v1/namespaces/default/pods/a") as stream:
        assert await stream.take(1) == [("ADDED", "a")]


async def test_watch_list_ends_its_beginning_with_a_bookmark(
    http: aiohttp.ClientSession, store: Store, pod: Make
) -> None:
    store.create(PODS, pod("a"))
    async with watching(http, WATCH_LIST) as stream:
        assert await stream.take(1) == [("ADDED", "a")]
        assert await stream.next() == {
            "type": "BOOKMARK",
            "object": {
                "kind": "Pod",
                "apiVersion": "v1",
                "metadata": {
                    "resourceVersion": "3",
                    "annotations": {"k8s.io/initial-events-end": "true"},
                },
            },
        }
        store.create(PODS, pod("b"))
        assert await stream.take(1) == [("ADDED", "b")]


async def test_watch_list_of_a_version_from_another_life_is_answered(
    http: aiohttp.ClientSession, store: Store, pod: Make
) -> None:
    store.create(PODS, pod("a"))
    async with watching(http, f"{WATCH_LIST}&resourceVersion=999") as stream:
        assert await stream.take(2) == [("ADDED", "a"), ("BOOKMARK", "")]


@pytest.mark.parametrize(
    "query",
    [
        "watch=true&sendInitialEvents=true",
        "watch=true&resourceVersionMatch=NotOlderThan",
        "watch=true&sendInitialEvents=true&resourceVersionMatch=Exact",
    ],
)
async def test_watch_list_needs_both_parameters(http: aiohttp.ClientSession, query: str) -> None:
    async with http.get(f"{PODS_PATH}?{query}") as answer:
        assert (answer.status, (await answer.json())["reason"]) == (422, "Invalid")


async def test_bookmarks_come_when_asked_for(store: Store, pod: Make) -> None:
    async with serving(store, bookmark_interval=0.02) as (_, http):
        async with watching(http, "watch=true&resourceVersion=2&allowWatchBookmarks=true") as stream:
            store.create(NODES, {"metadata": {"name": "n"}})
            while (event := await stream.next())["object"]["metadata"]["resourceVersion"] == "2":
                assert event["type"] == "BOOKMARK"
            assert event["object"]["metadata"]["resourceVersion"] == "3"
        async with watching(http, "watch=true&resourceVersion=2") as stream:
            await asyncio.sleep(0.1)
            store.create(PODS, pod("a"))
            assert await stream.take(1) == [("ADDED", "a")]


async def test_a_watch_ends_when_its_time_is_over(http: aiohttp.ClientSession, server: ApiServer) -> None:
    async with watching(
        http, "watch=true&resourceVersion=2&timeoutSeconds=1&allowWatchBookmarks=true"
    ) as stream:
        assert await stream.take(1) == [("BOOKMARK", "")]
        assert await stream.ended()
    await until(lambda: server.open_watches == 0)


async def test_a_forgotten_version_is_gone(pod: Make) -> None:
    store = Store(ring=8)
    store.create(NAMESPACES, {"metadata": {"name": "default"}})
    for number in range(40):
        store.create(PODS, pod(f"p{number}"))
    async with serving(store) as (_, http), watching(http, "watch=true&resourceVersion=3") as stream:
        event = await stream.next()
        assert event["type"] == "ERROR"
        assert event["object"]["code"] == 410
        assert event["object"]["reason"] == "Expired"
        assert await stream.ended()


async def test_a_version_from_another_life_is_gone(http: aiohttp.ClientSession) -> None:
    async with watching(http, "watch=true&resourceVersion=999") as stream:
        assert (await stream.next())["object"]["code"] == 410


async def test_a_version_that_is_none(http: aiohttp.ClientSession) -> None:
    async with http.get(f"{PODS_PATH}?watch=true&resourceVersion=x") as answer:
        assert answer.status == 400


async def test_tables_are_watched_row_by_row(http: aiohttp.ClientSession, store: Store, pod: Make) -> None:
    store.create(PODS, pod("a"))
    async with watching(http, "watch=true", Accept=TABLE) as stream:
        first = await stream.next()
        store.mutate(PODS, "default", "a", lambda o: o.update(status={"phase": "Running"}))
        second = await stream.next()
    assert (first["type"], second["type"]) == ("ADDED", "MODIFIED")
    assert first["object"]["columnDefinitions"]
    assert second["object"]["columnDefinitions"] == []
    assert second["object"]["rows"][0]["cells"][:3] == ["a", "0/1", "Running"]


async def test_old_versions_are_watched_as_such(http: aiohttp.ClientSession, store: Store, vmi: Make) -> None:
    store.create(VIRTUALMACHINEINSTANCES, vmi("v"))
    path = "/apis/kubevirt.io/v1alpha3/virtualmachineinstances"
    async with watching(http, "watch=true", path) as stream:
        assert (await stream.next())["object"]["apiVersion"] == "kubevirt.io/v1alpha3"


async def test_many_present_objects_come_whole(http: aiohttp.ClientSession, store: Store, pod: Make) -> None:
    for number in range(1000):
        store.create(PODS, pod(f"p{number:04}"))
    async with watching(http, "watch=true") as stream:
        seen = await stream.take(1000)
    assert seen == [("ADDED", f"p{number:04}") for number in range(1000)]


async def test_many_past_changes_come_whole(http: aiohttp.ClientSession, store: Store, pod: Make) -> None:
    for number in range(700):
        store.create(PODS, pod(f"p{number:04}"))
    async with watching(http, "watch=true&resourceVersion=2") as stream:
        seen = await stream.take(700)
    assert seen == [("ADDED", f"p{number:04}") for number in range(700)]


# -- clients that don't behave -----------------------------------------------------------------------------------


async def test_a_client_that_goes_leaves_nothing(
    http: aiohttp.ClientSession, server: ApiServer, store: Store
) -> None:
    tasks = len(asyncio.all_tasks())
    for _ in range(5):
        async with watching(http, "watch=true&resourceVersion=2") as stream:
            await until(lambda: server.open_watches == 1)
            stream.answer.close()
        await until(lambda: server.open_watches == 0)
    assert store._listeners[PODS] == {}
    await until(lambda: len(asyncio.all_tasks()) <= tasks + 1)


@asynccontextmanager
async def deaf_reader(server: ApiServer, query: str) -> AsyncIterator[asyncio.StreamReader]:
    """A client that sends a request and reads next to nothing."""
    context = ssl.create_default_context(cadata=server.authority.decode())
    host, port = server.url.removeprefix("https://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context, limit=1024)
    request = (
        f"GET /api/v1/events?{query} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {server.token}\r\n\r\n"
    )
    writer.write(request.encode())
    try:
        yield reader
    finally:
        writer.transport.abort()


def _events(store: Store, start: int, count: int) -> None:
    for number in range(start, start + count):
        store.create(
            EVENTS,
            {"metadata": {"name": f"e{number}"}, "involvedObject": {}, "message": "x" * 4000},
            namespace="default",
        )


async def test_a_slow_client_is_told_to_list_again_and_costs_no_memory() -> None:
    store = Store(ring=64)
    store.create(NAMESPACES, {"metadata": {"name": "default"}})
    async with serving(store, write_deadline=20) as (server, _):
        async with deaf_reader(server, "watch=true&resourceVersion=2") as reader:
            await until(lambda: server.open_watches == 1)
            for batch in range(60):
                _events(store, batch * 50, 50)
                await asyncio.sleep(0)
            assert len(store._rings[EVENTS]._changes) <= 80
            text = b""
            async with asyncio.timeout(10):
                while b'"reason":"Expired"' not in text:
                    chunk = await reader.read(1 << 16)
                    assert chunk, "closed without a word"
                    text += chunk
            assert b'"ERROR"' in text
            await until(lambda: server.open_watches == 0)
        assert b'"e2999"' not in text, "it read everything: the test no longer makes a slow client"


async def test_a_client_that_reads_nothing_is_cut(store: Store) -> None:
    async with serving(store, write_deadline=0.2) as (server, _), deaf_reader(server, "watch=true") as reader:
        await until(lambda: server.open_watches == 1)
        for batch in range(100):
            _events(store, batch * 50, 50)
            await asyncio.sleep(0)
        await until(lambda: server.open_watches == 0)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError, ssl.SSLError)):
            await reader.readexactly(1 << 30)


async def test_stopping_with_open_watches_takes_less_than_a_second(store: Store) -> None:
    loop = asyncio.get_running_loop()
    async with ApiServer(store, hooks=FakeHooks()) as server:
        context = ssl.create_default_context(cadata=server.authority.decode())
        async with aiohttp.ClientSession(
            server.url,
            connector=aiohttp.TCPConnector(ssl=context),
            headers={"Authorization": f"Bearer {server.token}"},
        ) as http:
            answers = [await http.get(f"{PODS_PATH}?watch=true") for _ in range(20)]
            assert server.open_watches == 20
            began = loop.time()
            await server.stop()
            took = loop.time() - began
            for answer in answers:
                assert await answer.content.read() == b""
    assert took < 2.0  # one second, and one for a busy machine; waiting for a client would take thirty
    assert server.open_watches == 0


async def test_stopping_does_not_wait_for_a_client_that_reads_nothing(store: Store) -> None:
    loop = asyncio.get_running_loop()
    async with serving(store) as (server, _), deaf_reader(server, "watch=true"):
        await until(lambda: server.open_watches == 1)
        for batch in range(60):
            _events(store, batch * 50, 50)
            await asyncio.sleep(0)
        began = loop.time()
        await server.stop()
        took = loop.time() - began
        assert server.open_watches == 0
    assert took < 2.0  # one second, and one for a busy machine; waiting for a client would take thirty

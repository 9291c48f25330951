"""The harness's own client against the server: what `kube` sends is what is served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.embedded.api.resources import NAMESPACES, NODES, PODS, VIRTUALMACHINEINSTANCES
from harness.embedded.api.server import ApiServer
from harness.embedded.api.store import Store
from harness.kube import resources as kinds
from harness.kube.connection import Connection, connect
from harness.kube.console import Console, ConsoleLine
from harness.kube.errors import Conflict, Invalid
from harness.kube.node import configz, stats_summary, version
from harness.kube.objects import Objects
from harness.kube.watch import Seen, StreamNote, Synced, Watcher
from tests.embedded.api.fakes import FakeAdmission, FakeHooks, until

Make = Callable[..., dict[str, Any]]


@asynccontextmanager
async def connected(server: ApiServer, directory: Path) -> AsyncIterator[Connection]:
    kubeconfig = directory / "kubeconfig"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(server.kubeconfig_yaml, encoding="utf-8")
    async with connect(kubeconfig) as connection:
        yield connection


async def test_objects(server: ApiServer, store: Store, vmi: Make, tmp_path: Path) -> None:
    store.create(NODES, {"metadata": {"name": "n"}})
    async with connected(server, tmp_path) as connection:
        objects = Objects(connection)
        created = await objects.create(kinds.VMIS, vmi("v"), namespace="default")
        assert (
            created["metadata"]["uid"]
            == store.get(VIRTUALMACHINEINSTANCES, "default", "v")["metadata"]["uid"]
        )
        with pytest.raises(Conflict):
            await objects.create(kinds.VMIS, vmi("v"), namespace="default")
        with pytest.raises(Invalid, match="denied the request: no"):
            await objects.create(kinds.VMIS, vmi("forbidden"), namespace="default")
        items, at = await objects.list_all(kinds.VMIS, namespace="default")
        assert [item["metadata"]["name"] for item in items] == ["v"]
        assert at == str(store.resource_version)
        assert (await stats_summary(objects, "n"))["node"]["nodeName"] == "n"
        assert "evictionHard" in (await configz(objects, "n"))
        assert (await version(objects))["gitVersion"] == "v1.36.2+density.embedded"


async def test_a_watcher_is_told_everything_across_the_ends_of_watches(
    server: ApiServer, store: Store, pod: Make, tmp_path: Path
) -> None:
    store.create(PODS, pod("a"))
    async with connected(server, tmp_path) as connection:
        watcher = Watcher(connection, kinds.PODS, namespace="default", watch_seconds=1)
        told: list[Any] = []
        async with asyncio.timeout(10), aclosing(watcher.events()) as events:
            async for item in events:
                told.append(item)
                if isinstance(item, Synced):
                    store.create(PODS, pod("b"))
                elif isinstance(item, StreamNote):  # the server ended the watch: change something meanwhile
                    store.delete(PODS, "default", "a")
                elif item.type == "DELETED":
                    break
    seen = [(item.type, item.object["metadata"]["name"]) for item in told if isinstance(item, Seen)]
    assert seen == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]
    assert [item.what for item in told if isinstance(item, StreamNote)] == ["reconnect"]


async def test_a_watcher_that_lost_changes_lists_again(pod: Make, tmp_path: Path) -> None:
    store = Store(ring=8)
    store.create(NAMESPACES, {"metadata": {"name": "default"}})
    store.create(PODS, pod("a"))
    async with (
        ApiServer(store, hooks=FakeHooks(), admission=FakeAdmission()) as server,
        connected(server, tmp_path) as connection,
    ):
        watcher = Watcher(connection, kinds.PODS)
        told: list[Any] = []
        async with asyncio.timeout(10), aclosing(watcher.events()) as events:
            async for item in events:
                told.append(item)
                if isinstance(item, Synced):
                    for _ in range(50):  # in one turn of the loop: more than the ring holds
                        store.create(PODS, {**pod("x"), "metadata": {"generateName": "x-"}})
                    store.delete(PODS, "default", "a")
                if isinstance(item, Seen) and item.type == "DELETED":
                    break
    seen = [item for item in told if isinstance(item, Seen)]
    assert seen[-1].synthetic
    assert seen[-1].object["metadata"]["name"] == "a"
    assert "gap" in [item.what for item in told if isinstance(item, StreamNote)]


async def test_a_console(
    server: ApiServer, store: Store, vmi: Make, hooks: FakeHooks, tmp_path: Path
) -> None:
    store.create(VIRTUALMACHINEINSTANCES, vmi("v"))
    guest = hooks.console("default", "v")
    async with connected(server, tmp_path) as connection:
        console = Console(connection, namespace="default", name="v")
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:

            async def start_later() -> None:
                await asyncio.sleep(0.05)
                store.mutate(
                    VIRTUALMACHINEINSTANCES, "default", "v", lambda o: o.update(status={"phase": "Running"})
                )
                await until(lambda: bool(guest.readers))
                await console.send(b"1 hello\n")
                await until(lambda: guest.typed == [b"1 hello\n"])
                guest.say(b"@ hello proto=1\r\n")

            group.create_task(start_later())
            async with aclosing(console.lines()) as lines:
                async for item in lines:
                    if item == ConsoleLine("@ hello proto=1"):
                        break

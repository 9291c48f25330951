"""Credentials that expire while many requests are under way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from harness.kube.backoff import Backoff
from harness.kube.connection import connect
from harness.kube.console import Console
from harness.kube.errors import ConfigError, Forbidden, Unauthorized
from harness.kube.objects import Objects
from harness.kube.resources import PODS
from harness.kube.watch import Seen, Watcher
from tests.kube.faulty import FaultyServer, faulty, kubeconfig, serve, status


@dataclass
class Counted:
    """Gives a new token each time it is asked to renew, as slowly as a plugin that opens a browser."""

    token: str = "t0"
    renewed: int = 0

    async def headers(self, *, renew: bool) -> Mapping[str, str]:
        if renew:
            await asyncio.sleep(0.05)
            self.renewed += 1
            self.token = f"t{self.renewed}"
        return {"Authorization": f"Bearer {self.token}"}


async def test_many_refused_requests_renew_once() -> None:
    good = "Bearer t1"

    async def handle(request: web.Request) -> web.Response:
        await asyncio.sleep(0.01)
        return (
            web.Response(text="{}")
            if request.headers["Authorization"] == good
            else status(401, "Unauthorized")
        )

    app = web.Application()
    app.router.add_get("/version", handle)
    async with serve(app) as url, connect(kubeconfig(url)) as connection:
        credentials = Counted()
        connection.credentials = credentials
        async with asyncio.TaskGroup() as tasks:
            for _ in range(10):
                tasks.create_task(Objects(connection).raw("/version"))
        assert credentials.renewed == 1
        good = "Bearer t2"  # expired again, later
        await Objects(connection).raw("/version")
        assert credentials.renewed == 2
        good = "Bearer never"
        with pytest.raises(Unauthorized):
            await Objects(connection).raw("/version")
        assert credentials.renewed == 3, "once a request, not for ever"


async def test_a_watch_goes_on_with_a_new_token() -> None:
    server = FaultyServer(plan=["drop"], token="t0")
    async with faulty(server), connect(kubeconfig(server.url)) as connection:
        credentials = Counted()
        connection.credentials = credentials
        seen: list[str] = []
        watcher = Watcher(connection, PODS, namespace="ns", backoff=Backoff(first=0.01, most=0.02))
        async with asyncio.timeout(10), aclosing(watcher.events()) as events:
            async for item in events:
                if not isinstance(item, Seen):
                    if not seen:
                        server.put("a")
                        server.put("b")  # then the connection drops, and the token has expired
                        server.token = "t1"
                    continue
                seen.append(item.object["metadata"]["name"])
                if seen == ["a", "b"]:
                    server.put("c")
                if seen[-1] == "c":
                    break
    assert seen == ["a", "b", "c"]
    assert credentials.renewed == 1


async def test_a_token_file_that_is_gone_is_one_line(tmp_path: Path) -> None:
    user = {"tokenFile": str(tmp_path / "token")}
    async with connect(kubeconfig("http://127.0.0.1:1", user)) as connection:
        with pytest.raises(ConfigError, match=r"token file .*/token: .*No such file"):
            await Objects(connection).raw("/version")


async def test_a_console_that_may_not_be_opened_is_not_waited_for() -> None:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return status(403, "Forbidden")

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    async with serve(app) as url, connect(kubeconfig(url)) as connection:
        console = Console(connection, namespace="ns", name="vm")
        with pytest.raises(Forbidden, match="RBAC denies get virtualmachineinstances/console"):
            await asyncio.wait_for(anext(console.lines()), 5)


def test_no_more_than_one_immediate_retry_a_second() -> None:
    now = 100.0
    backoff = Backoff(first=0.1, most=1.0, clock=lambda: now)
    delays = []
    for _ in range(5):  # progress each time, and each time the server hangs up
        delays.append(backoff.next())
        backoff.reset()
        now += 0.05
    assert delays[0] == 0.0
    assert all(0.075 <= delay <= 0.1 for delay in delays[1:])
    now += 1.0
    assert backoff.next() == 0.0

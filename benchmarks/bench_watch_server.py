"""What serving watches costs, as ratios to baselines measured in the same run.

* `serving`: what each further watcher costs over HTTPS, against the same bytes written by a bare aiohttp handler
  to as many clients. 1.0 would mean that ring, selection and lines cost nothing.
* `sharing`: ten watchers against ten times one. Serialising and storing are shared, so it must be well below 1.
* `mutating`: `Store.mutate`, event and JSON included, against `copy.deepcopy` plus `json.dumps` of the same object.

Run: `python benchmarks/bench_watch_server.py`; exits 1 when a ratio is worse than its bound.
"""

from __future__ import annotations

import asyncio
import copy
import json
import ssl
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
from aiohttp import web

from harness.embedded.api.certificate import server_context
from harness.embedded.api.resources import NAMESPACES, PODS
from harness.embedded.api.server import ApiServer
from harness.embedded.api.store import Store

EVENTS = 4000
WATCHERS = 10
BATCH = 50
BOUNDS = {"serving": 6.0, "sharing": 0.6, "mutating": 0.8}


class NoHooks:
    """Nothing runs behind this server."""

    def console(self, namespace: str, name: str) -> Any:
        raise NotImplementedError

    def stats_summary(self, node: str) -> Mapping[str, Any]:
        raise NotImplementedError

    def configz(self, node: str) -> Mapping[str, Any]:
        raise NotImplementedError

    def pod_log(self, namespace: str, name: str, container: str, follow: bool) -> AsyncIterator[bytes]:
        raise NotImplementedError


def pod(number: int) -> dict[str, Any]:
    return {
        "metadata": {"name": f"p{number}", "namespace": "default", "labels": {"app": "x"}},
        "spec": {
            "containers": [
                {"name": "c", "image": "i", "env": [{"name": f"E{i}", "value": "v"} for i in range(12)]}
            ]
        },
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }


def client(url: str, authority: bytes, token: str) -> aiohttp.ClientSession:
    context = ssl.create_default_context(cadata=authority.decode())
    return aiohttp.ClientSession(
        url, connector=aiohttp.TCPConnector(ssl=context), headers={"Authorization": f"Bearer {token}"}
    )


async def read_lines(answer: aiohttp.ClientResponse, count: int) -> int:
    seen = size = 0
    while seen < count:
        chunk = await answer.content.readany()
        seen += chunk.count(b"\n")
        size += len(chunk)
    return size


async def serve_store(watchers: int) -> tuple[float, int]:
    """Return the CPU seconds per run of the store's watches, and the bytes each watcher got."""
    store = Store(seed=1)
    store.create(NAMESPACES, {"metadata": {"name": "default"}})
    async with (
        ApiServer(store, hooks=NoHooks()) as server,
        client(server.url, server.authority, server.token) as http,
    ):
        answers = [await http.get("/api/v1/pods?watch=true") for _ in range(watchers)]
        began = time.process_time()
        async with asyncio.TaskGroup() as group:
            readers = [group.create_task(read_lines(answer, EVENTS)) for answer in answers]
            for start in range(0, EVENTS, BATCH):
                for number in range(start, start + BATCH):
                    store.create(PODS, pod(number))
                await asyncio.sleep(0)
        took = time.process_time() - began
        for answer in answers:
            answer.close()
    return took, readers[0].result()


@asynccontextmanager
async def bare(line: bytes) -> AsyncIterator[tuple[str, bytes, list[asyncio.Event]]]:
    """A server that writes the same bytes in the same batches, made once, with nothing behind it."""
    starts: list[asyncio.Event] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        start = asyncio.Event()
        starts.append(start)
        await start.wait()
        for _ in range(0, EVENTS, BATCH):
            await response.write(line * BATCH)
        await response.write_eof()
        return response

    context, authority = server_context()
    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}", authority, starts
    finally:
        await runner.cleanup()


async def serve_bare(watchers: int, size: int) -> float:
    line = b"x" * (size // EVENTS - 1) + b"\n"
    async with bare(line) as (url, authority, starts), client(url, authority, "") as http:
        answers = [await http.get("/") for _ in range(watchers)]
        while len(starts) < watchers:  # noqa: ASYNC110 - handlers are entered within a few turns of the loop
            await asyncio.sleep(0)
        began = time.process_time()
        for start in starts:
            start.set()
        async with asyncio.TaskGroup() as group:
            for answer in answers:
                group.create_task(read_lines(answer, EVENTS))
        return time.process_time() - began


def _count(number: int, obj: dict[str, Any]) -> None:
    obj["status"]["n"] = number


def mutating() -> float:
    store = Store(seed=1)
    obj = store.create(PODS, pod(1))
    rounds = 3000
    began = time.process_time()
    for number in range(rounds):
        store.mutate(PODS, "default", "p1", partial(_count, number))
    ours = time.process_time() - began
    began = time.process_time()
    for number in range(rounds):
        copied = copy.deepcopy(obj)
        copied["status"]["n"] = number
        json.dumps(copied)
    return ours / (time.process_time() - began)


async def ratios() -> dict[str, float]:
    """Return every ratio; each time is the least of three, so that a busy machine disturbs little."""
    one = min([(await serve_store(1))[0] for _ in range(3)])
    tens = [await serve_store(WATCHERS) for _ in range(3)]
    ten, size = min(took for took, _ in tens), tens[0][1]
    baseline = min([await serve_bare(WATCHERS, size) for _ in range(3)])
    further = (ten - one) / (WATCHERS - 1)
    return {
        "serving": further / (baseline / WATCHERS),
        "sharing": ten / (one * WATCHERS),
        "mutating": min(mutating() for _ in range(3)),
    }


def main() -> int:
    found = asyncio.run(ratios())
    for name, ratio in found.items():
        print(f"{name:10} {ratio:5.2f}  (bound {BOUNDS[name]})")
    return int(any(ratio > BOUNDS[name] for name, ratio in found.items()))


if __name__ == "__main__":
    sys.exit(main())

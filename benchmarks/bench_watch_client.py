"""Watching with the harness's own client against the official one, which decodes every event into its model.

Both read the same events (a pod of a recorded real cluster, changed over and over) from the same bare server, which runs
in a process of its own, so that the time measured is the client's alone. The ratio is of events per CPU second.

Run: `python benchmarks/bench_watch_client.py`; exits 1 when the ratio is below its bound.
"""

from __future__ import annotations

import asyncio
import gzip
import multiprocessing
import sys
import time
from contextlib import aclosing
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from kubernetes import client
from kubernetes import watch as official_watch

from harness.kube.connection import connect
from harness.kube.resources import PODS
from harness.kube.watch import Seen, Watcher

RECORDING = Path(__file__).parents[1] / "tests/recordings/kind-1.36-kubevirt-hard-eviction.ndjson.gz"
EVENTS = {"ours": 10_000, "official": 700}
"""About a second of each."""
BOUND = 10.0
ROUNDS = 3


def recorded_pod() -> dict[str, Any]:
    """A running virt-launcher pod as a real cluster served it."""
    with gzip.open(RECORDING) as lines:
        for line in lines:
            record = orjson.loads(line)
            found: dict[str, Any] = record.get("object") or {}
            if found.get("kind") == "Pod" and found["metadata"]["name"].startswith("virt-launcher-"):
                return found
    raise LookupError(f"{RECORDING}: no virt-launcher pod in it")


def serve(pipe: Pipe) -> None:
    """Serve an empty list, and on each watch as many events as its labelSelector says."""

    async def pods(request: web.Request) -> web.StreamResponse:
        if request.query.get("watch") not in {"true", "True"}:
            body = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []}
            return web.json_response(body)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        count = int(request.query["labelSelector"].partition("=")[2])
        for start in range(0, count, 100):
            await response.write(b"".join(event(number) for number in range(start, min(start + 100, count))))
        await asyncio.sleep(3600)
        return response

    pod = recorded_pod()

    def event(number: int) -> bytes:
        meta = {**pod["metadata"], "resourceVersion": str(number + 2)}
        kind = "MODIFIED" if number else "ADDED"
        return orjson.dumps({"type": kind, "object": {**pod, "metadata": meta}}) + b"\n"

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/api/v1/namespaces/default/pods", pods)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        pipe.send(runner.addresses[0][1])
        await asyncio.sleep(3600)

    asyncio.run(main())


def ours(url: str, count: int) -> float:
    """Return events per CPU second of `harness.kube.watch`."""
    document = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": url}}],
        "users": [],
    }

    async def watch() -> None:
        seen = 0
        async with connect(document) as connection:
            watcher = Watcher(connection, PODS, namespace="default", labels=f"n={count}")
            async with aclosing(watcher.events()) as events:
                async for item in events:
                    seen += isinstance(item, Seen)
                    if seen == count:
                        return

    began = time.process_time()
    asyncio.run(watch())
    return count / (time.process_time() - began)


def official(url: str, count: int) -> float:
    """Return events per CPU second of `kubernetes.watch` on a typed list call."""
    api = client.CoreV1Api(client.ApiClient(client.Configuration(host=url)))
    make: Any = official_watch.Watch
    watch = make()
    began = time.process_time()
    stream = watch.stream(
        api.list_namespaced_pod, "default", label_selector=f"n={count}", resource_version="1"
    )
    for seen, _ in enumerate(stream, start=1):
        if seen == count:
            watch.stop()
            break
    stream.close()
    return count / (time.process_time() - began)


def measure() -> dict[str, float]:
    """Return the best rate of each, in turns, so that a busy machine disturbs both alike."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    try:
        url = f"http://127.0.0.1:{here.recv()}"
        ours(url, 100)
        official(url, 100)  # imports and connections are not what is measured
        rates: dict[str, list[float]] = {"ours": [], "official": []}
        for _ in range(ROUNDS):
            rates["ours"].append(ours(url, EVENTS["ours"]))
            rates["official"].append(official(url, EVENTS["official"]))
    finally:
        server.terminate()
        server.join()
    return {name: max(found) for name, found in rates.items()}


def main() -> int:
    found = measure()
    ratio = found["ours"] / found["official"]
    for name, rate in found.items():
        print(f"{name:9} {rate:9.0f} events per CPU second")
    print(f"watching  {ratio:5.1f} times the official client (bound {BOUND:g})")
    return int(ratio < BOUND)


if __name__ == "__main__":
    sys.exit(main())

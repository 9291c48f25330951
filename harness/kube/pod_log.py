"""A pod's log as it is written (`GET …/pods/<name>/log?follow=true`), line by line."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import aiohttp

from harness.kube.connection import CONNECT_TIMEOUT, Connection, describe
from harness.kube.errors import Unreachable
from harness.kube.lines import LineSplitter
from harness.kube.resources import PODS

MAX_LINE = 1 << 20
"""Bytes. A container runtime cuts lines at 16 KiB anyway."""


async def read(connection: Connection, *, namespace: str, pod: str, container: str = "") -> str:
    """Return what a container has written so far. Raises KubeError."""
    params = {"container": container} if container else {}
    path = PODS.path(namespace=namespace, name=pod, subresource="log")
    async with connection.request("GET", path, params=params) as response:
        try:
            return (await response.read()).decode("utf-8", errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"log of {namespace}/{pod}: {describe(error)}") from error


async def follow(
    connection: Connection,
    *,
    namespace: str,
    pod: str,
    container: str = "",
    since: int | None = None,
    silence: float = 30.0,
) -> AsyncGenerator[str]:
    """Yield lines until the log ends (the container has, or somebody between us and the node closed the stream).

    `since`: seconds back from now to begin at, None: the beginning. Raises KubeError, also after `silence` seconds.
    """
    params = {"follow": "true"}
    if container:
        params["container"] = container
    if since is not None:
        params["sinceSeconds"] = str(max(1, since))
    path = PODS.path(namespace=namespace, name=pod, subresource="log")
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=silence)
    splitter = LineSplitter(limit=MAX_LINE)
    async with connection.request("GET", path, params=params, timeout=timeout) as response:
        try:
            async for chunk in response.content.iter_any():
                for line in splitter.feed(chunk):
                    yield line.decode("utf-8", errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"log of {namespace}/{pod}: {describe(error)}") from error

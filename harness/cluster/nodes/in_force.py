"""Waiting until a kubelet that was restarted runs as asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from harness.cluster.nodes.settings import kubelet_differing
from harness.kube import node as kubelet
from harness.kube.errors import KubeError
from harness.kube.objects import Objects

IN_FORCE = 90.0
"""Seconds until a restarted kubelet serves its settings and has reported its capacity."""
AGAIN = 0.5
"""Seconds between two looks."""

Look = Callable[[], Awaitable[str]]
"""Says what is not as asked, '' if all is."""


async def until_right(look: Look) -> str:
    """Look again and again until all is right: ''; else return what was wrong when IN_FORCE seconds were over.

    A look that the API does not answer is one at something wrong.
    """
    wrong = "the kubelet does not answer"
    try:
        async with asyncio.timeout(IN_FORCE):
            while True:
                try:
                    wrong = await look()
                except KubeError as error:
                    wrong = f"the kubelet does not answer ({error})"
                if not wrong:
                    return ""
                await asyncio.sleep(AGAIN)
    except TimeoutError:
        return wrong


async def wrong_settings(objects: Objects, node: str, asked: Mapping[str, Any]) -> str:
    """Say which settings a node's kubelet does not run with, '' if it runs with all of them. Raises KubeError.

    What asks for a default (null) is taken to be in force: whatever is served then is it.
    """
    differing = kubelet_differing(asked, await kubelet.configz(objects, node))
    return "; ".join(
        f"{path}: wanted {wanted}, is {'unset' if has is None else has}"
        for path, wanted, has in differing
        if wanted is not None
    )

"""Undoing on a cluster is asked for by code that is not asynchronous: how it talks to an API all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from harness.cluster.errors import ClusterError
from harness.kube.errors import KubeError


def in_a_loop_of_its_own(work: Coroutine[Any, Any, bool], what: str) -> bool:
    """Do it and return what it returns. Raises ClusterError, naming `what`, in place of KubeError."""
    # An undo file may be closed inside a running event loop, which can't run another.
    with ThreadPoolExecutor(max_workers=1) as pool:
        try:
            return pool.submit(asyncio.run, work).result()
        except KubeError as error:
            raise ClusterError(f"{what}: {error}") from error

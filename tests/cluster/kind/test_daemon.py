"""A daemon of a kind node's own: what is run in the node, what goes in and comes out, and that it ends with its input."""

from __future__ import annotations

import asyncio

import pytest

from harness.cluster.base import NodeHandle, RunsDaemons
from harness.cluster.errors import ClusterError
from harness.cluster.kind.source import KindCluster
from harness.units import GIB, Bytes
from tests.cluster.kind.world import Scene

# In place of systemd's: what follows the options is run.
SYSTEMD_RUN = 'while case "$1" in --*) true;; *) false;; esac; do shift; done; exec "$@"'
AGENT = """#!/bin/sh
test "$1" = --stdio || exit 2
echo "@ hello proto=1"
while read -r number verb rest; do echo "@ ok id=$number held=5 ms=1"; done
touch "$ROOT/ended"
"""


async def test_a_daemon_is_a_service_of_the_nodes_system_slice(kind: Scene) -> None:
    kind.world._program(kind.world.root / "node-bin/systemd-run", SYSTEMD_RUN)
    (kind.world.root / "agent").write_text(AGENT)
    pool = kind.world.pool(allowance="0", guest_allowance="0")
    async with pool, KindCluster(undo=lambda _: None, run="1", pool=pool) as made:
        assert isinstance(made, RunsDaemons)
        handle = NodeHandle(name="target", kube_name=f"{made.live.name}-worker", memory=Bytes(GIB))
        node = kind.world.node(handle.kube_name)
        with pytest.raises(ClusterError, match=r"daemon sshd on node .*density-agent.new"):
            await made.start_daemon(handle, "sshd")  # no directory
        (node / "var/tmp").mkdir(parents=True)
        daemon = await made.start_daemon(handle, "sshd")
        lines = daemon.lines()
        async with asyncio.timeout(10):
            assert await anext(lines) == "@ hello proto=1"
            await daemon.send("7 grow to=5")
            assert await anext(lines) == "@ ok id=7 held=5 ms=1"
        await daemon.end()
        await daemon.end()
        assert (node / "ended").exists()
        assert [line async for line in lines] == []
        await daemon.send("8 stat")  # to one that is gone
    (call,) = [call for call in kind.world.calls("docker") if "systemd-run" in call]
    assert call[1:] == [
        "exec",
        "--interactive",
        handle.kube_name,
        "systemd-run",
        "--quiet",
        "--collect",
        "--pipe",
        "--slice=system.slice",
        "--unit=density-sshd",
        "/var/tmp/density-agent",
        "--stdio",
    ]

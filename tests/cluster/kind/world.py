"""A world of fake programs around the embedded API server: what a fake kind cluster is reached by."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from harness.cluster.kind.meminfo import parse
from harness.cluster.kind.pool import Pool
from harness.cluster.kind.settings import KindSettings
from harness.embedded.api.resources import KUBEVIRTS, NAMESPACES, NODES, PODS
from harness.embedded.api.server import ApiServer
from harness.embedded.api.store import Store
from tests.embedded.api.fakes import Clock, FakeAdmission, FakeHooks
from workloads.image import GuestImage
from workloads.image.oci import Archive

FAKE = Path(__file__).with_name("fake_program.py")
INFO = {
    "Architecture": "x86_64",
    "CgroupVersion": "2",
    "MemTotal": 16 << 30,
    "ServerVersion": "28.2.2",
    "DockerRootDir": "/nowhere",
    "SecurityOptions": ["name=seccomp,profile=builtin"],
}
STAND_IN = """
import subprocess
class KindCluster:
    def __init__(self, name, kubeconfig, image, kind_path, kubectl_path):
        self.name, self.kubeconfig, self.image, self.kind = name, kubeconfig, image, str(kind_path)
    def create(self, config_file):
        self.kubeconfig.touch(0o600)
        subprocess.check_output([self.kind, "get", "clusters"])
        image = [f"--image={self.image}"] if self.image else []
        names = [f"--name={self.name}", f"--kubeconfig={self.kubeconfig}", *image, "--config", config_file]
        subprocess.run([self.kind, "create", "cluster", *names], check=True)
    def delete(self):
        names = [f"--name={self.name}", f"--kubeconfig={self.kubeconfig}"]
        subprocess.run([self.kind, "delete", "cluster", *names], check=True)
"""
NODE_PROGRAMS = {
    # `mount` and `umount` write down what is covered; the cover is a symbolic link, so writes in place are seen
    "mount": 'case "$*" in *--bind*) mv "$ROOT/proc/meminfo" "$ROOT/proc/uncovered"; ln -s "$ROOT/run/density/meminfo" "$ROOT/proc/meminfo"; echo covered >> "$ROOT/proc/mountinfo";; *) echo "second proc" >> "$ROOT/proc/mountinfo";; esac',
    "umount": 'rm "$ROOT/proc/meminfo"; mv "$ROOT/proc/uncovered" "$ROOT/proc/meminfo"; grep -v covered "$ROOT/proc/mountinfo" > "$ROOT/m"; cat "$ROOT/m" > "$ROOT/proc/mountinfo"',
    # what it runs with is there, whole, before it is said to have been restarted: others look meanwhile
    "systemctl": 'for f in running.yaml:var/lib/kubelet/config.yaml running-meminfo:proc/meminfo; do cat "$ROOT/${f#*:}" > "$ROOT/${f%%:*}.new" && mv "$ROOT/${f%%:*}.new" "$ROOT/${f%%:*}"; done; echo "$*" >> "$ROOT/restarts"',
    "journalctl": 'echo "E1128 command failed: unknown field in the kubelet configuration"',
}


class World:
    """The directory, and the environment that leads to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.undone: list[Mapping[str, Any]] = []
        self.said: list[str] = []
        self.real_pytest_kind = False
        """Importing the real one takes half a second each time; its stand-in makes the same calls."""
        (root / "lib/pytest_kind").mkdir(parents=True)
        (root / "lib/pytest_kind/__init__.py").write_text(STAND_IN, encoding="utf-8")
        for folder in (self.bin, root / "node-bin", root / "state"):
            folder.mkdir()
        for name in ("kind", "docker", "podman", "kubectl"):
            self._program(self.bin / name, f'exec {sys.executable} -I -S {FAKE} {name} {root} "$@"')
        for name, text in NODE_PROGRAMS.items():
            self._program(root / "node-bin" / name, text)
        self.write("info.json", INFO)
        (root / "kubeconfig").write_text("{}", encoding="utf-8")
        (root / "kernel").write_bytes(b"kernel")
        (root / "initramfs").write_bytes(b"initramfs")
        (root / "agent.tar").write_bytes(b"archive")

    @staticmethod
    def _program(path: Path, text: str) -> None:
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "XDG_STATE_HOME": str(self.root / "state"),
            "HOME": str(self.root),
            "PYTHONPATH": "" if self.real_pytest_kind else str(self.root / "lib"),
        }

    def write(self, name: str, content: Any) -> None:
        (self.root / name).write_text(json.dumps(content), encoding="utf-8")

    def fault(self, prefix: str, **what: Any) -> None:
        self.write("faults.json", {prefix: what})

    def calls(self, program: str = "") -> list[list[str]]:
        path = self.root / "calls.ndjson"
        if not path.exists():
            return []
        found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [[item["program"], *item["arguments"]] for item in found if program in {"", item["program"]}]

    def environments(self) -> list[dict[str, str]]:
        found = [json.loads(line) for line in (self.root / "calls.ndjson").read_text().splitlines()]
        return [{"docker_host": item["docker_host"], "provider": item["provider"]} for item in found]

    @property
    def clusters(self) -> dict[str, Any]:
        path = self.root / "state.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"clusters": {}}
        clusters: dict[str, Any] = found["clusters"]
        return clusters

    def node(self, name: str) -> Path:
        return self.root / "nodes" / name

    def applied(self) -> list[dict[str, Any]]:
        path = self.root / "applied.ndjson"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def pool(self, *, environment: Mapping[str, str] | None = None, **settings: Any) -> Pool:
        manifests = self.root / "manifests"
        if not manifests.exists():
            write_manifests(manifests)
        given = {
            "kubevirt_manifests": str(manifests),
            "workers": 1,
            "logs": str(self.root / "logs"),
            **settings,
        }
        return Pool(
            KindSettings(**given),
            undo=self.undone.append,
            environment={**self.environment, **(environment or {})},
            progress=self.said.append,
            agent=self._agent,
        )

    async def _agent(self) -> tuple[GuestImage, Archive]:
        guest = GuestImage(
            kernel=self.root / "kernel",
            initramfs=self.root / "initramfs",
            release="6.1.0",
            agent=self.root / "agent",
        )
        return guest, Archive(path=self.root / "agent.tar", image="density-agent:abc")


def container(role: str = "worker") -> dict[str, Any]:
    """A container as `state.json` has them."""
    return {"id": "f" * 64, "role": role}


def write_manifests(directory: Path) -> None:
    directory.mkdir()
    developer: dict[str, Any] = {"properties": {"useEmulation": {}, "disabledFeatureGates": {}}}
    schema: dict[str, Any] = {"properties": {"developerConfiguration": developer}}
    schema = {"properties": {"configuration": schema}}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "kubevirts.kubevirt.io"},
        "spec": {
            "versions": [{"name": "v1", "schema": {"openAPIV3Schema": {"properties": {"spec": schema}}}}]
        },
    }
    operator = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "virt-operator", "namespace": "kubevirt"},
        "spec": {
            "replicas": 2,
            "template": {
                "spec": {
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"}],
                    "containers": [
                        {"name": "virt-operator", "image": "quay.io/kubevirt/virt-operator:v1.9.0"}
                    ],
                }
            },
        },
    }
    cr = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "KubeVirt",
        "metadata": {"name": "kubevirt", "namespace": "kubevirt"},
        "spec": {
            "configuration": {"developerConfiguration": {"featureGates": []}},
            "imagePullPolicy": "IfNotPresent",
        },
    }
    text = yaml.safe_dump_all([crd, operator], sort_keys=False)
    (directory / "kubevirt-operator.yaml").write_text(text, encoding="utf-8")
    (directory / "kubevirt-cr.yaml").write_text(yaml.safe_dump(cr, sort_keys=False), encoding="utf-8")


class WorldHooks(FakeHooks):
    """A fake node's kubelet: what it runs with is what its files said when it was last restarted."""

    def __init__(self, world: World, store: Store) -> None:
        super().__init__()
        self.world = world
        self.store = store
        self.blind = False
        """Whether kubelets take no notice of /proc/meminfo."""

    def _memory(self, node: str) -> int:
        path = self.world.node(node) / "running-meminfo"
        if self.blind or not path.exists():
            return 16 << 30
        return parse(path.read_text())["MemTotal"]

    def configz(self, node: str) -> Mapping[str, Any]:
        def update(found: dict[str, Any]) -> dict[str, Any]:
            found.setdefault("status", {})["capacity"] = {"memory": f"{self._memory(node) // 1024}Ki"}
            return found

        path = self.world.node(node) / "running.yaml"
        self.store.mutate(NODES, "", node, update)
        return {"kubeletconfig": yaml.safe_load(path.read_text()) if path.exists() else {}}

    def stats_summary(self, node: str) -> Mapping[str, Any]:
        memory = self._memory(node)
        row = {"time": "2026-11-28T00:00:00Z", "availableBytes": memory - 1000, "workingSetBytes": 1000}
        return {"node": {"nodeName": node, "memory": row}, "pods": []}


class Scene:
    """A world with its API server."""

    def __init__(self, world: World, store: Store, hooks: WorldHooks, server: ApiServer) -> None:
        self.world, self.store, self.hooks, self.server = world, store, hooks, server
        self.kubevirt: Mapping[str, Any] = {
            "conditions": [{"type": "Available", "status": "True"}],
            "observedKubeVirtVersion": "v1.9.0",
            "targetKubeVirtVersion": "v1.9.0",
            "phase": "Deployed",
        }
        """Status a KubeVirt CR gets once it was applied."""
        self.nodes_ready = True
        self.kubevirt_pods: tuple[Mapping[str, Any], ...] = ()

    async def play(self) -> None:
        """Let containers be nodes, and applied CRs be there."""
        while True:
            self._look()
            await asyncio.sleep(0.02)

    def _look(self) -> None:
        there = {node["metadata"]["name"] for node in self.store.list(NODES)[0]}
        wanted = {c for cluster in self.world.clusters.values() for c in cluster["containers"]}
        ready = [{"type": "Ready", "status": "True" if self.nodes_ready else "False"}]
        for name in wanted - there:
            meta = {"name": name, "labels": {"kubevirt.io/schedulable": "true"}}
            self.store.create(
                NODES,
                {"metadata": meta, "status": {"conditions": ready, "capacity": {"memory": "16777216Ki"}}},
            )
        for name in there - wanted:
            self.store.remove(NODES, "", name)
        crs = [document for document in self.world.applied() if document["kind"] == "KubeVirt"]
        if crs and not self.store.list(KUBEVIRTS)[0] and wanted:
            self.store.create(KUBEVIRTS, {**crs[-1], "status": dict(self.kubevirt)}, namespace="kubevirt")
            for pod in self.kubevirt_pods:
                self.store.create(PODS, dict(pod), namespace="kubevirt")


@asynccontextmanager
async def scene(root: Path) -> AsyncIterator[Scene]:
    """Open a world."""
    world = World(root)
    store = Store(clock=Clock(), seed=7)
    for name in ("default", "kubevirt"):
        store.create(NAMESPACES, {"metadata": {"name": name}})
    hooks = WorldHooks(world, store)
    async with ApiServer(store, hooks=hooks, admission=FakeAdmission()) as server:
        (root / "kubeconfig").write_text(yaml.safe_dump(dict(server.kubeconfig)), encoding="utf-8")
        made = Scene(world, store, hooks, server)
        playing = asyncio.create_task(made.play())
        try:
            yield made
            if playing.done():
                playing.result()
        finally:
            playing.cancel()


async def until(holds: Callable[[], object], *, within: float = 20.0) -> None:
    """Wait for something other processes do."""
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 - other processes have no event to set
            await asyncio.sleep(0.02)


def alive(words: str) -> list[int]:
    """Processes with exactly this command line."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                line = Path(entry.path, "cmdline").read_bytes()
                state = Path(entry.path, "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if line.replace(b"\0", b" ").decode(errors="replace").strip() == words and state != "Z":
                found.append(int(entry.name))
    return found

"""`density … --cluster kind` as people type it, against fake programs."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.resources import data_dir
from tests.cluster.kind.world import World, container, write_manifests

SCENARIO = data_dir("suites") / "road/hard-eviction.yaml"


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


async def density(world: World, *arguments: str, **environment: str) -> Said:
    return await python(world, "harness.cli", *arguments, **environment)


async def python(world: World, module: str, *arguments: str, **environment: str) -> Said:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=world.root,
        env={**os.environ, **world.environment, "PYTHONPATH": str(Path(__file__).parents[3]), **environment},
    )
    out, err = await process.communicate()
    return Said(process.returncode or 0, out.decode(), err.decode())


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("docker", "density: docker and podman not found: install docker or podman"),
        ("kind", "density: kind not found: install it, or give its path with --kind-bin"),
    ],
)
async def test_what_is_missing_is_one_line_and_exit_3(world: World, broken: str, message: str) -> None:
    for name in ("docker", "podman") if broken == "docker" else (broken,):
        (world.bin / name).unlink()
    path = f"{world.bin}:{world.root / 'tools'}"
    said = await density(world, "run", str(SCENARIO), "--cluster", "kind", PATH=path)
    assert said.code == 3
    assert said.err.strip().startswith(message)
    assert len(said.err.strip().splitlines()) == 1
    assert not list((world.root / "state/kubevirt-density/undo").iterdir())


async def test_a_flag_reaches_the_cluster(world: World) -> None:
    said = await density(world, "run", str(SCENARIO), "--cluster", "kind", "--kubevirt-manifests", "/nowhere")
    assert said.code == 3
    assert said.err.strip() == (
        "density: --kubevirt-manifests: /nowhere/kubevirt-operator.yaml: No such file or directory"
    )


@pytest.mark.guest  # the image of a real guest is built before the cluster
async def test_pytest_tells_what_the_pool_does_and_why_it_failed(world: World) -> None:
    world.fault("kind create", after=True, stderr="ERROR: failed to create cluster: failed to join node")
    write_manifests(world.root / "manifests")
    given = (
        "--density-cluster=kind",
        f"--density-runs-dir={world.root / 'runs'}",
        "-k",
        "HARD-5",
        "--color=no",
    )
    said = await python(
        world,
        "pytest",
        str(SCENARIO),
        *given,
        DENSITY_KUBEVIRT_MANIFESTS=str(world.root / "manifests"),
        XDG_CACHE_HOME=os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
    )
    assert said.code == 1, said.out + said.err
    assert re.search(r"creating cluster density-\w+ \(1 control plane, 2 workers\)", said.out)
    assert re.search(r"failed to join node(; inotify limits are low.*)? \(logs of the nodes: ", said.out)
    assert world.clusters == {}


async def test_leaked_clusters_are_collected(world: World) -> None:
    clusters = {"density-1": {"containers": {"density-1-worker": container()}, "created": 1.0}}
    world.write("state.json", {"clusters": clusters})
    said = await density(world, "clean", "--kind")
    assert said.code == 0, said.err
    assert "kind cluster density-1 (" in said.out
    assert said.out.rstrip().endswith("h old): deleted")
    assert world.clusters == {}

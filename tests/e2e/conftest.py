from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.embedded.machine.errors import MachineError
from harness.embedded.machine.linux import qemu
from harness.embedded.machine.linux.probe import survey
from tests.e2e.driver import ROAD, Place, Ran, place
from workloads.image import ImageError, build


@pytest.fixture
def here() -> Iterator[Place]:
    """A place of this test's own."""
    with place() as made:
        yield made


@pytest.fixture(scope="session")
def guests() -> Path:
    """The guest kernel; skips where guests can't be booted."""
    try:
        qemu.find()
        return build().kernel
    except (MachineError, ImageError) as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def limits(guests: Path) -> Path:
    """Skips where the kernel's memory limits can't be had."""
    for row in survey(deep=False):
        if row.name == "cgroup-write" and row.value != "yes":
            pytest.skip(f"cgroup-write: {row.why}")
    return guests


@pytest.fixture(scope="session")
def no_threshold(limits: Path) -> Iterator[Ran]:  # noqa: ARG001 - for its skip
    """hard-eviction without a threshold worth the name: the kernel is first, on a busy machine too."""
    with place() as there:
        done = there.density(
            "run",
            ROAD / "hard-eviction.yaml",
            "--no-control",
            "--no-preflight",
            "--set",
            "nodes.target.kubelet.evictionHard.memory.available=1Mi",
            within=400,
        )
        (directory,) = there.run_directories()
        yield Ran(done=done, directory=directory, left=there.left())

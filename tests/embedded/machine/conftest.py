from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.embedded.machine.base import GuestImage
from harness.embedded.machine.errors import MachineError
from harness.embedded.machine.linux import qemu
from harness.embedded.machine.linux.hostlock import HostLock
from harness.run.undo import UndoFile
from tests.embedded.machine import hosttree
from workloads.image import ImageError, build


@pytest.fixture(scope="session")
def image() -> GuestImage:
    """The real guest image; skips where there is no QEMU or the kernel can't be had."""
    try:
        qemu.find()
        built = build()
    except (MachineError, ImageError) as error:
        pytest.skip(str(error))
    return GuestImage(
        kernel=built.kernel, initramfs=built.initramfs, release=built.release, agent=built.agent
    )


@pytest.fixture
def undo(tmp_path: Path) -> Iterator[UndoFile]:
    with UndoFile.create(run="test", where=tmp_path / "undo") as file:
        yield file


@pytest.fixture
def recorder() -> list[Mapping[str, Any]]:
    """Its `append` is an undo that only remembers what it was told."""
    return []


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host's /proc and /sys as files."""
    return hosttree.make(tmp_path / "root")


@pytest.fixture
def lock(root: Path) -> Iterator[HostLock]:
    """The right to change that host's settings."""
    made = HostLock.take(run="r", undo=lambda _entry: None, root=root)
    yield made
    made.release()

"""Which kernel modules a guest needs, and the order they load in.

An unpacked kernel package has no `modules.dep` (depmod runs when it is installed), so dependencies are read from the
`depends=` field each module carries in its `.modinfo` section. A module that is built into the kernel is not needed.
"""

from __future__ import annotations

import gzip
import lzma
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from workloads.image.errors import KernelError

WANTED = ("virtio_pci", "virtio_balloon", "virtio_blk", "button", "evdev")
"""Free page reporting needs the first two, records and page-cache churn the third, the power button the others."""

_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")
_SUFFIX = re.compile(r"\.ko(\.xz|\.gz|\.zst)?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Modules:
    """Modules in load order, uncompressed, and the wanted ones that are neither there nor built in."""

    files: Mapping[str, bytes]
    missing: tuple[str, ...] = ()


def module_name(path: str) -> str:
    """`kernel/drivers/char/virtio-rng.ko.xz` → `virtio_rng`: the kernel takes `-` and `_` for the same."""
    return _SUFFIX.sub("", path.rsplit("/", 1)[-1]).replace("-", "_")


def collect(tree: Path | None, wanted: Iterable[str] = WANTED) -> Modules:
    """Read the wanted modules and what they depend on from `lib/modules/<release>`; None: no modules at all.

    Raises:
        KernelError: a module that can't be unpacked.
    """
    if tree is None or not tree.is_dir():
        return Modules(files={}, missing=tuple(wanted))
    paths = {
        module_name(path.name): path
        for path in sorted(tree.rglob("*.ko*"))
        if path.is_file() and _SUFFIX.search(path.name)
    }
    builtin = _builtin(tree)
    files: dict[str, bytes] = {}
    missing: list[str] = []

    def add(name: str, trail: tuple[str, ...]) -> None:
        if name in files or name in builtin or name in trail:
            return
        path = paths.get(name)
        if path is None:
            if name not in missing:
                missing.append(name)
            return
        data = _read(path)
        for needed in depends(data):
            add(needed, (*trail, name))
        files[name] = data

    for name in wanted:
        add(name, ())
    return Modules(files=files, missing=tuple(missing))


def depends(module: bytes) -> tuple[str, ...]:
    """Names of the modules that must be loaded before this one (ELF image, uncompressed)."""
    found = _DEPENDS.search(module)
    return tuple(name.replace("-", "_") for name in found[1].decode().split(",") if name) if found else ()


def _builtin(tree: Path) -> frozenset[str]:
    try:
        lines = (tree / "modules.builtin").read_text().splitlines()
    except FileNotFoundError:
        return frozenset()
    return frozenset(module_name(line) for line in lines)


def _read(path: Path) -> bytes:
    data = path.read_bytes()
    try:
        if path.suffix == ".xz":
            return lzma.decompress(data)
        if path.suffix == ".gz":
            return gzip.decompress(data)
    except (lzma.LZMAError, EOFError, OSError) as error:
        raise KernelError(
            f"module {path} can't be unpacked: {error}; unpack the kernel package again"
        ) from error
    if path.suffix == ".zst":
        raise KernelError(f"module {path} is zstd-compressed, which is not supported: run `unzstd {path}`")
    return data

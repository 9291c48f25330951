"""Where a guest's kernel comes from: a given file, or the distribution's cloud kernel, unpacked but not installed."""

from __future__ import annotations

import contextlib
import platform
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from workloads.image import cache, command
from workloads.image.apt import Apt
from workloads.image.errors import KernelError

_ALTERNATIVE = "or give a kernel with --guest-kernel PATH"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A kernel image QEMU can boot, its release, and `lib/modules/<release>` if there is one."""

    image: Path
    release: str
    modules: Path | None


def given(image: Path) -> Kernel:
    """Use a kernel someone has. Modules: `lib/modules/<release>` beside its directory, else this machine's.

    Raises:
        KernelError: not a readable x86 boot image.
    """
    release = read_release(image)
    return Kernel(
        image=image, release=release, modules=_modules(release, image.resolve().parent.parent, Path("/"))
    )


def read_release(image: Path) -> str:
    """`uname -r` of a bzImage, from its boot header.

    Source: Documentation/x86/boot.rst of Linux 6.1, fields `header` (0x202) and `kernel_version` (0x20e).

    Raises:
        KernelError: unreadable, or not a bzImage.
    """
    try:
        with image.open("rb") as stream:
            head = stream.read(0x10000)
    except OSError as error:
        raise KernelError(f"guest kernel {image}: {error.strerror}; check --guest-kernel") from error
    if head[0x202:0x206] != b"HdrS":
        raise KernelError(f"guest kernel {image} is not an x86 bzImage; --guest-kernel takes a vmlinuz")
    offset = int.from_bytes(head[0x20E:0x210], "little") + 0x200
    release = head[offset : offset + 256].partition(b"\0")[0].decode(errors="replace").partition(" ")[0]
    if not re.fullmatch(r"\d[\w.+~-]*", release):
        raise KernelError(f"guest kernel {image} does not tell its release; --guest-kernel takes a vmlinuz")
    return release


def distribution(cache_dir: Path, *, refresh: bool = False) -> Kernel:
    """The distribution's cloud kernel. One that is in the cache is taken unless `refresh` asks for today's.

    Raises:
        KernelError: not a Debian-like system, no network, or an unexpected package.
    """
    kernels = cache_dir / "kernels"
    if not refresh:
        for place in sorted(kernels.glob("*/boot"), key=lambda path: path.stat().st_mtime, reverse=True):
            with contextlib.suppress(KernelError):
                return _unpacked(place.parent)
    if platform.machine() not in {"x86_64", "AMD64"}:
        raise KernelError(
            f"no guest kernel is known for {platform.machine()}: guests are x86_64; {_ALTERNATIVE}"
        )
    for tool in ("apt-get", "apt-cache", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise KernelError(
                f"{tool} not found, so no guest kernel can be fetched: use a Debian system {_ALTERNATIVE}"
            )
    with cache.locked(kernels, "fetch"):
        return _fetch(kernels, cache_dir / "apt")


def _fetch(kernels: Path, apt_dir: Path) -> Kernel:
    try:
        apt = Apt.usable(apt_dir)
        package = apt.cloud_kernel()
        place = kernels / package

        def fill(target: Path) -> None:
            with tempfile.TemporaryDirectory(prefix=".download-", dir=kernels) as scratch:
                archive = apt.download(package, Path(scratch))
                command.run(["dpkg-deb", "-x", str(archive), str(target)])
            for useless in (*target.glob("boot/System.map*"), target / "usr/share"):
                shutil.rmtree(useless) if useless.is_dir() else useless.unlink(missing_ok=True)

        return _unpacked(cache.make_directory(place, fill))
    except command.CommandError as error:
        if "No space left" in error.stderr:
            raise KernelError(f"{kernels}: no space left: free 150 MB or set XDG_CACHE_HOME") from error
        raise KernelError(
            f"no guest kernel could be fetched ({error}): check the network, {_ALTERNATIVE}"
        ) from error


def _unpacked(place: Path) -> Kernel:
    images = sorted(place.glob("boot/vmlinuz-*"))
    if len(images) != 1:
        raise KernelError(f"{place} holds {len(images)} kernels instead of one: remove it and try again")
    release = read_release(images[0])
    return Kernel(image=images[0], release=release, modules=_modules(release, place))


def _modules(release: str, *roots: Path) -> Path | None:
    # Debian 13 moved lib/modules to usr/lib/modules.
    trees = (root / lib / "modules" / release for root in roots for lib in ("lib", "usr/lib"))
    return next((tree for tree in trees if tree.is_dir()), None)

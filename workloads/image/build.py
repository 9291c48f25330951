"""Building the guest image: kernel, agent, initramfs. Everything is cached; a second call takes milliseconds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from workloads.image import cache, cpio, initramfs, kernel, modules
from workloads.image.agent import compile_agent


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestImage:
    """What a guest boots. `missing`: wanted kernel modules that were not to be had (no power button, say).

    `agent`: the program that is its init; with `--stdio` it runs on any machine.
    """

    kernel: Path
    initramfs: Path
    release: str
    missing: tuple[str, ...] = ()
    agent: Path | None = None


def build(
    cache_dir: Path | None = None, *, guest_kernel: Path | None = None, refresh: bool = False
) -> GuestImage:
    """Build, or find in the cache, the image of a guest.

    Args:
        cache_dir: default `$XDG_CACHE_HOME/kubevirt-density`.
        guest_kernel: a vmlinuz to use instead of the distribution's cloud kernel.
        refresh: look for a newer cloud kernel even if one is in the cache.

    Raises:
        ImageError: one line that ends with what mends it.
    """
    directory = cache_dir if cache_dir is not None else cache.default_directory()
    agent = compile_agent(directory)
    chosen = (
        kernel.given(guest_kernel)
        if guest_kernel is not None
        else kernel.distribution(directory, refresh=refresh)
    )
    needed = modules.collect(chosen.modules)
    content = cpio.archive(initramfs.entries(agent.read_bytes(), needed))
    target = directory / "initramfs" / f"{cache.digest([content])}.cpio"
    return GuestImage(
        kernel=chosen.image,
        initramfs=cache.make_file(target, lambda: content),
        release=chosen.release,
        agent=agent,
        missing=needed.missing,
    )


async def build_async(
    cache_dir: Path | None = None, *, guest_kernel: Path | None = None, refresh: bool = False
) -> GuestImage:
    """`build` in a thread. Its programs have time limits, so a cancelled caller leaves nothing that runs for ever."""
    return await asyncio.to_thread(build, cache_dir, guest_kernel=guest_kernel, refresh=refresh)

"""What lies in a guest's initramfs: the agent as init, its modules and the list that orders them."""

from __future__ import annotations

from workloads.image import cpio
from workloads.image.modules import Modules


def entries(agent: bytes, modules: Modules) -> list[cpio.Entry]:
    """The file tree of a guest, independent of the archive format it ends up in.

    `/dev/console` is there because the kernel opens it before init can mount devtmpfs.
    """
    order = [f"modules/{name}.ko" for name in modules.files]
    return [
        cpio.file("init", agent, mode=0o755),
        cpio.file("modules.list", "".join(f"/{path}\n" for path in order).encode()),
        *(cpio.file(path, data) for path, data in zip(order, modules.files.values(), strict=True)),
        cpio.directory("proc", mode=0o555),
        cpio.directory("sys", mode=0o555),
        cpio.directory("dev"),
        cpio.character_device("dev/console", 5, 1),
    ]

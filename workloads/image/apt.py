"""Asking apt for the cloud kernel package: works without root and without installing anything.

The meta package depends on a dated one (`linux-image-6.1.0-56-cloud-amd64`), whose name has to be resolved first.
Where the machine has no package lists (a fresh container), private ones are fetched into the cache directory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from workloads.image import command
from workloads.image.errors import KernelError

META_PACKAGE = "linux-image-cloud-amd64"

_DATED = re.compile(r"^\s*\|?Depends:\s+(linux-image-\d\S*)\s*$", re.MULTILINE)


def dated_package(depends_output: str) -> str:
    """The dated kernel package in the output of `apt-cache depends linux-image-cloud-amd64`.

    Raises:
        KernelError: there is none.
    """
    found = _DATED.search(depends_output)
    if found is None:
        raise KernelError(
            f"{META_PACKAGE} depends on no kernel image: give a kernel with --guest-kernel PATH"
        )
    return found[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Apt:
    """apt with the directories it may use."""

    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def usable(cls, private: Path) -> Apt:
        """Apt as the system has it, or with private lists under `private` if the system's don't know the kernel.

        Raises:
            CommandError: apt is broken or there is no network.
        """
        system = cls(options=_sandbox())
        try:
            system.cloud_kernel()
        except (command.CommandError, KernelError):
            own = cls(
                options={
                    **_sandbox(),
                    "Dir::State::Lists": f"{private}/lists",
                    "Dir::Cache": f"{private}/cache",
                }
            )
            for path in ("lists/partial", "cache/archives/partial"):
                (private / path).mkdir(parents=True, exist_ok=True)
            command.run(["apt-get", *own.flags(), "update"], timeout=180.0)
            return own
        return system

    def flags(self) -> list[str]:
        """The options as `-o` arguments."""
        return [flag for key, value in self.options.items() for flag in ("-o", f"{key}={value}")]

    def cloud_kernel(self) -> str:
        """Name of today's dated package."""
        return dated_package(command.run(["apt-cache", *self.flags(), "depends", META_PACKAGE]))

    def download(self, package: str, directory: Path) -> Path:
        """Fetch the package file into `directory`. apt checks its signature and hash."""
        command.run(["apt-get", *self.flags(), "-q", "download", package], cwd=directory, timeout=300.0)
        archives = sorted(directory.glob("*.deb"))
        if len(archives) != 1:
            raise KernelError(
                f"apt-get download {package} left {len(archives)} files: give a kernel with --guest-kernel PATH"
            )
        return archives[0]


def _sandbox() -> dict[str, str]:
    # Root's apt downloads as user _apt, who can't enter a cache directory under /root.
    return {"APT::Sandbox::User": "root"} if os.geteuid() == 0 else {}

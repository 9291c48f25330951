"""A node's kubelet settings: by a drop-in where its kubelet reads them, else by patching its configuration file.

Source: kind nodes run `kubelet --config=/var/lib/kubelet/config.yaml`; drop-ins need `--config-dir` (Kubernetes 1.30+,
files ending in .conf, merged in order of name). The file as kubeadm wrote it is kept beside it and put back at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from harness.cluster.errors import ClusterError
from harness.rules.merge_patch import merge

CONFIG = "/var/lib/kubelet/config.yaml"
PRISTINE_SUFFIX = ".density-pristine"
DROP_IN = "99-density.conf"
HEAD = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"}

FIND = (
    'for p in /proc/[0-9]*; do read -r c < "$p/comm" || continue; '
    'if [ "$c" = kubelet ]; then tr "\\0" "\\n" < "$p/cmdline"; break; fi; done 2>/dev/null'
)
"""Prints the kubelet's arguments, one a line; needs no pidof."""
KEEP = 'test -e "$1$2" || cp -p "$1" "$1$2"'
REPLACE = 'cat > "$1.density-new" && mv "$1.density-new" "$1"'
"""A rename, so that a kubelet that restarts just then reads the old file or the new one."""
RESTORE = (
    "changed=0; "
    'if grep -q "/density/meminfo /proc/meminfo " /proc/self/mountinfo; then umount /proc/meminfo && changed=1; fi; '
    'if [ -e "$1$2" ]; then mv "$1$2" "$1" && changed=1; fi; '
    'if [ -n "$3" ] && [ -e "$3" ]; then rm "$3" && changed=1; fi; '
    'if [ "$changed" = 1 ]; then systemctl restart kubelet && echo restored; fi'
)
"""Arguments: configuration file, suffix of its pristine copy, drop-in or ''. Says `restored` if there was anything."""
JOURNAL = ("journalctl", "--unit", "kubelet", "--no-pager", "--output", "cat", "--lines", "60")


@dataclass(frozen=True, slots=True)
class Files:
    """Where a kubelet's settings are. `drop_in` is '' where its kubelet reads no drop-ins."""

    config: str = CONFIG
    drop_in: str = ""

    @property
    def pristine(self) -> str:
        """The configuration as it was before us."""
        return self.config + PRISTINE_SUFFIX


def files(arguments: str) -> Files:
    """Read the kubelet's arguments (one a line)."""
    config, directory = CONFIG, ""
    for line in arguments.splitlines():
        name, _, value = line.partition("=")
        if name == "--config" and value:
            config = value
        elif name == "--config-dir" and value:
            directory = value
    return Files(config, f"{directory.rstrip('/')}/{DROP_IN}" if directory else "")


def drop_in(fragment: Mapping[str, Any]) -> str:
    """Return the content of a drop-in."""
    return yaml.safe_dump({**HEAD, **fragment}, sort_keys=False)


def patched(pristine: str, fragment: Mapping[str, Any]) -> str:
    """Return the configuration with a fragment merged in (RFC 7386). Raises ClusterError."""
    try:
        document = yaml.safe_load(pristine)
    except yaml.YAMLError as error:
        raise ClusterError(
            f"the node's kubelet configuration is not YAML: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(document, dict):
        raise ClusterError("the node's kubelet configuration is not a mapping")
    return yaml.safe_dump(merge(document, fragment), sort_keys=False)


def restore_arguments(config: str, drop_in: str) -> tuple[str, ...]:
    """Return the command that puts a node's kubelet back, for the node and for undoing later."""
    return ("sh", "-c", RESTORE, "sh", config, PRISTINE_SUFFIX, drop_in)


def why_dead(journal: str) -> str:
    """Return the last thing a kubelet that does not start has said."""
    lines = [line for line in journal.splitlines() if line.strip()]
    telling = [
        line
        for line in lines
        if "command failed" in line or "failed to" in line.lower() or line.startswith("E")
    ]
    return " ".join((telling or lines or ["its journal is empty"])[-1].split())[:300]

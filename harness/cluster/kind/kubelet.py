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
from harness.rules.durations import parse_duration
from harness.rules.errors import RulesError
from harness.rules.quantities import parse_bytes

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


def merge(target: Any, patch: Any) -> Any:
    """Return target with an RFC 7386 merge patch applied; neither is changed."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def differences(fragment: Mapping[str, Any], effective: Mapping[str, Any], path: str = "") -> list[str]:
    """Return what of a fragment is not in force, as `path: wanted …, is …`. Durations and quantities by value."""
    found: list[str] = []
    for key, wanted in fragment.items():
        here, present = f"{path}{key}", effective.get(key)
        if isinstance(wanted, Mapping):
            found += differences(wanted, present if isinstance(present, Mapping) else {}, f"{here}.")
        elif wanted is not None and not _same(wanted, present):
            found.append(f"{here}: wanted {wanted}, is {'unset' if present is None else present}")
    return found


def _same(wanted: Any, present: Any) -> bool:
    if wanted == present:
        return True
    if present is None:
        # zero values are left out of what is served
        return wanted in (0, False, "", "0s", [], {})
    for read in (parse_duration, parse_bytes):
        try:
            return bool(read(str(wanted)) == read(str(present)))
        except RulesError:
            continue
    return False


def why_dead(journal: str) -> str:
    """Return the last thing a kubelet that does not start has said."""
    lines = [line for line in journal.splitlines() if line.strip()]
    telling = [
        line
        for line in lines
        if "command failed" in line or "failed to" in line.lower() or line.startswith("E")
    ]
    return " ".join((telling or lines or ["its journal is empty"])[-1].split())[:300]

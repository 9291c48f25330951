"""Finding a kubeconfig, merging several, choosing a context.

As kubectl does it (k8s.io/client-go/tools/clientcmd): `$KUBECONFIG` may list several files, of which the first to name
a context, cluster or user wins, and the first non-empty `current-context`; relative paths are relative to the file
they stand in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.kube.errors import ConfigError

_SECTIONS = ("clusters", "users", "contexts")
_PATHS = {"cluster": ("certificate-authority",), "user": ("client-certificate", "client-key", "tokenFile")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A context, ready to connect to: `document` has it as its current one, and no relative paths."""

    document: Mapping[str, Any]
    context: str
    cluster: str
    server: str
    namespace: str
    files: tuple[Path, ...]
    """The files it came from, in their order; none for a document."""


def load(path: Path | None = None) -> Mapping[str, Any]:
    """Read a kubeconfig file, or (None) those of $KUBECONFIG, else ~/.kube/config. Raises ConfigError naming the file."""
    return load_files(_users_files() if path is None else (path,))


def load_files(files: Sequence[Path]) -> Mapping[str, Any]:
    """Read and merge files, of which the first to name something wins. Raises ConfigError naming the file."""
    documents = [_read(file) for file in files]
    if len(documents) == 1:
        return documents[0]
    merged: dict[str, Any] = {"apiVersion": "v1", "kind": "Config"}
    merged["current-context"] = next(
        (d["current-context"] for d in documents if d.get("current-context")), ""
    )
    for section in _SECTIONS:
        seen: dict[str, Any] = {}
        for document in documents:
            for item in document.get(section) or ():
                seen.setdefault(str(item.get("name")), item)
        merged[section] = list(seen.values())
    return merged


def choose(source: Path | Mapping[str, Any] | None, *, context: str | None = None) -> Chosen:
    """Return a context of a document, a file or (None) the user's kubeconfig. Raises ConfigError."""
    document = source if isinstance(source, Mapping) else load(source)
    name = context or str(document.get("current-context") or "")
    entry = _named(document, "contexts", name)
    if entry is None:
        known = ", ".join(str(c.get("name")) for c in document.get("contexts") or ()) or "none"
        raise ConfigError(f"kubeconfig: no context {name!r} (known: {known})")
    details = entry.get("context") or {}
    cluster = _named(document, "clusters", str(details.get("cluster") or "")) or {}
    files = () if isinstance(source, Mapping) else (source,) if source is not None else _users_files()
    return Chosen(
        document={**document, "current-context": name},
        context=name,
        cluster=str(details.get("cluster") or ""),
        server=str((cluster.get("cluster") or {}).get("server") or ""),
        namespace=str(details.get("namespace") or ""),
        files=tuple(file.absolute() for file in files),
    )


def _users_files() -> tuple[Path, ...]:
    listed = [Path(p) for p in os.environ.get("KUBECONFIG", "").split(os.pathsep) if p]
    files = [p for p in listed if p.is_file()] or ([] if listed else [Path.home() / ".kube" / "config"])
    if not files:
        raise ConfigError(
            f"kubeconfig: none of the files of $KUBECONFIG is there ({os.environ['KUBECONFIG']})"
        )
    return tuple(files)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"kubeconfig {path}: {' '.join(str(error).split())}") from error
    if not isinstance(document, Mapping):
        raise ConfigError(f"kubeconfig {path}: not a mapping")
    for section in _SECTIONS:
        items = document.get(section)
        if items is not None and not (isinstance(items, list) and all(isinstance(i, Mapping) for i in items)):
            raise ConfigError(f"kubeconfig {path}: {section} is not a list of mappings")
    return _absolute(document, path.absolute().parent)


def _absolute(document: Mapping[str, Any], base: Path) -> Mapping[str, Any]:
    made = dict(document)
    for section, inner in (("clusters", "cluster"), ("users", "user")):
        if made.get(section):
            made[section] = [
                {**item, inner: _absolute_entry(item[inner], _PATHS[inner], base)}
                if isinstance(item.get(inner), Mapping)
                else item
                for item in made[section]
            ]
    return made


def _absolute_entry(entry: Mapping[str, Any], keys: tuple[str, ...], base: Path) -> dict[str, Any]:
    made = dict(entry)
    for key in keys:
        if isinstance(made.get(key), str) and made[key]:
            made[key] = str(base / made[key])
    plugin = made.get("exec")
    # A command with a separator is relative to the file, a bare one is looked up in PATH (as client-go does).
    if isinstance(plugin, Mapping) and isinstance(plugin.get("command"), str) and "/" in plugin["command"]:
        made["exec"] = {**plugin, "command": str(base / plugin["command"])}
    return made


def _named(document: Mapping[str, Any], section: str, name: str) -> Mapping[str, Any] | None:
    return next((item for item in document.get(section) or () if item.get("name") == name), None)

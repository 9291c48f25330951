"""Undoing what a dead run left of kind clusters, and finding clusters nobody's undo file knows.

Called by undo operations, where there is no event loop to use: everything here blocks, with deadlines.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.cluster import kubevirt
from harness.cluster.errors import ClusterError
from harness.cluster.kind.engine import CLUSTER_LABEL, Engine
from harness.cluster.kind.names import Claim, read_note, state_directory
from harness.cluster.kind.processes import Call, CallError, run_blocking
from harness.cluster.kind.settings import PREFIX
from harness.cluster.nodes.kubelet_files import restore_arguments
from harness.cluster.undoing import in_a_loop_of_its_own
from harness.kube.connection import connect
from harness.kube.objects import Objects

_DELETE = 180.0
_ENGINE = 60.0


def delete_cluster(entry: Mapping[str, Any]) -> str | None:
    """Delete the cluster of an undo entry. Returns what was done, None if it is gone already. Raises ClusterError."""
    name, kind = str(entry["target"]), str(entry["kind"])
    if not name.startswith(PREFIX):
        raise ClusterError(f"{name} is not a cluster of ours")
    environment = _environment(entry)
    found = run_blocking(
        Call(arguments=[kind, "get", "clusters"], seconds=_ENGINE, environment=environment)
    ).split()
    if name not in found:
        _forget(name)
        return None
    _delete(kind, name, state_directory(), environment)
    _forget(name)
    return "deleted"


def _delete(kind: str, name: str, directory: Path, environment: Mapping[str, str]) -> None:
    """Delete a cluster. Its own kubeconfig is given, so that the user's is left alone. Raises CallError."""
    file = directory / f"{name}.kubeconfig"
    arguments = [kind, "delete", "cluster", "--name", name, "--kubeconfig", str(file)]
    run_blocking(Call(arguments=arguments, seconds=_DELETE, environment=environment))


def _forget(name: str) -> None:
    for suffix in ("json", "kubeconfig"):
        (state_directory() / f"{name}.{suffix}").unlink(missing_ok=True)


def restore_node(entry: Mapping[str, Any]) -> str | None:
    """Put a node's kubelet, meminfo and limit back. None if the node is gone or untouched. Raises ClusterError."""
    engine, node, environment = str(entry["engine"]), str(entry["target"]), _environment(entry)

    def call(*arguments: str) -> str:
        return run_blocking(Call(arguments=[engine, *arguments], seconds=_ENGINE, environment=environment))

    known = call("ps", "--filter", f"label={CLUSTER_LABEL}", "--format", "{{.Names}}").split()
    if node not in known:
        return None
    did = call("exec", node, *restore_arguments(str(entry["config"]), str(entry["drop-in"])))
    call("update", "--memory", str(entry["memory"]), "--memory-swap", "-1", node)
    return "restored" if "restored" in did else None


def restore_kubevirt(entry: Mapping[str, Any]) -> str | None:
    """Put a KubeVirt CR's configuration back. None if it is as it was, or the cluster is gone. Raises ClusterError."""
    path = Path(str(entry["kubeconfig"]))
    if not path.exists():
        return None
    namespace, _, name = str(entry["target"]).partition("/")

    async def restore() -> bool:
        async with connect(path, context=str(entry.get("context") or "") or None) as connection:
            return await kubevirt.restore(
                Objects(connection, patience=10.0),
                namespace=namespace,
                name=name,
                configuration=entry.get("configuration"),
            )

    return "restored" if in_a_loop_of_its_own(restore(), f"KubeVirt {namespace}/{name}") else None


def _environment(entry: Mapping[str, Any]) -> dict[str, str]:
    address = {str(k): str(v) for k, v in (entry.get("environment") or {}).items()}
    inherited = {k: v for k, v in os.environ.items() if k not in {"DOCKER_HOST", "DOCKER_CONTEXT"}}
    programs = {str(Path(str(entry[key])).parent) for key in ("engine", "kind") if entry.get(key)}
    return {**inherited, **address, "PATH": ":".join([*sorted(programs), inherited.get("PATH", "")])}


# -- leaked clusters --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaked:
    """A cluster `gc` looked at. `state`: deleted, in-use, young, kept, failed."""

    name: str
    age: float
    """Seconds; of its oldest container."""
    state: str
    why: str = ""


def collect(
    *,
    kind: str,
    engine: str,
    environment: Mapping[str, str],
    older_than: float = 3600.0,
    kept: bool = False,
) -> tuple[Leaked, ...]:
    """Delete clusters of ours (by kind's label and our prefix) that no living harness uses. Raises ClusterError.

    `older_than` in seconds; `kept`: also those that were left on purpose.
    """
    env = {**environment}
    listed = run_blocking(
        Call(
            arguments=[
                engine,
                "ps",
                "--all",
                "--filter",
                f"label={CLUSTER_LABEL}",
                "--format",
                "{{.Names}}",
            ],
            seconds=_ENGINE,
            environment=env,
        )
    ).split()
    oldest: dict[str, float] = {}
    if listed:
        inspected = json.loads(
            run_blocking(Call(arguments=[engine, "inspect", *listed], seconds=_ENGINE, environment=env))
        )
        for item in inspected:
            name = str(((item.get("Config") or {}).get("Labels") or {}).get(CLUSTER_LABEL, ""))
            if name.startswith(PREFIX):
                age = time.time() - epoch(str(item.get("Created", "")))
                oldest[name] = max(age, oldest.get(name, 0.0))
    return tuple(
        _collect(name, age, kind=kind, environment=env, older_than=older_than, kept=kept)
        for name, age in sorted(oldest.items())
    )


def _collect(
    name: str, age: float, *, kind: str, environment: Mapping[str, str], older_than: float, kept: bool
) -> Leaked:
    directory = state_directory(environment)
    claim = Claim.take(name, directory)
    if claim is None:
        return Leaked(name=name, age=age, state="in-use")
    try:
        if read_note(directory, name).get("kept") and not kept:
            return Leaked(name=name, age=age, state="kept")
        if age < older_than:
            return Leaked(name=name, age=age, state="young")
        _delete(kind, name, directory, environment)
        claim.forget()
    except CallError as error:
        return Leaked(name=name, age=age, state="failed", why=str(error))
    finally:
        claim.release()
    return Leaked(name=name, age=age, state="deleted")


def forget_gone(*, kind: str, engine: Engine) -> tuple[str, ...]:
    """Forget clusters of an engine that somebody else has deleted: what is to be undone in them is gone with them.

    Returns their names. Raises ClusterError.
    """
    environment, directory = engine.environment, state_directory(engine.environment)
    mine = {"engine": engine.flavour, "address": engine.identity}
    known = [
        path.stem
        for path in sorted(directory.glob(f"{PREFIX}*.kubeconfig"))
        if mine.items() <= read_note(directory, path.stem).items()
    ]
    if not known:
        return ()
    call = Call(arguments=[kind, "get", "clusters"], seconds=_ENGINE, environment=environment)
    there = run_blocking(call).split()
    gone: list[str] = []
    for name in (name for name in known if name not in there):
        claim = Claim.take(name, directory)
        if claim is not None:
            claim.forget()
            claim.release()
            gone.append(name)
    return tuple(gone)


def epoch(text: str) -> float:
    """Return the seconds of an engine's RFC 3339 time (podman's has an offset); of one that can't be read, now."""
    with suppress(ValueError):
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return time.time()

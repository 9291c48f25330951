"""The container engine under kind: docker or podman, by its command line, with a deadline each.

`DOCKER_HOST`, `DOCKER_CONTEXT` and the like are inherited and go into undo entries, so that `density clean` speaks to
the same engine. Commands in a node are argument lists or a `sh -c` program as one argument; no local shell is used.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from harness.cluster.errors import ClusterError
from harness.cluster.kind.processes import Call, CallError, CallTimeout, run

QUICK = 30.0
"""Seconds for what an engine answers at once when it is well."""
CLUSTER_LABEL = "io.x-k8s.kind.cluster"
ROLE_LABEL = "io.x-k8s.kind.role"
"""Labels kind puts on its containers (kind pkg/cluster/constants, internal/providers/common)."""
KEPT_ENVIRONMENT = (
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS_VERIFY",
    "CONTAINER_HOST",
    "KIND_EXPERIMENTAL_PROVIDER",
    "XDG_RUNTIME_DIR",
)
"""What decides which engine is spoken to."""

ADDRESSES = ("DOCKER_HOST", "DOCKER_CONTEXT", "CONTAINER_HOST")
"""What tells one engine from another."""

Flavour = Literal["docker", "podman"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A node's container."""

    name: str
    id: str
    cluster: str
    role: str
    created: str
    """RFC 3339, as the engine says it."""
    running: bool
    image: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """The engine's machine."""

    architecture: str
    cgroup: Literal["v1", "v2"]
    memory: int
    version: str
    root: str
    """Where it stores images."""
    rootless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """An engine's program and the environment it is called in."""

    program: str
    flavour: Flavour
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def find(cls, wanted: str, environment: Mapping[str, str]) -> Engine:
        """Return the engine asked for; '' is $KIND_EXPERIMENTAL_PROVIDER, docker or podman. Raises ClusterError."""
        provider = environment.get("KIND_EXPERIMENTAL_PROVIDER", "")
        names = [wanted] if wanted else [provider] if provider else ["docker", "podman"]
        for name in names:
            base = Path(name).name
            if base not in {"docker", "podman"}:
                raise ClusterError(f"container engine {name!r}: kind works with docker or podman here")
            program = shutil.which(name, path=environment.get("PATH"))
            if program:
                program = str(Path(program).absolute())  # kind is called in another working directory
                flavour: Flavour = "podman" if base == "podman" else "docker"
                # kind looks the engine up on PATH itself
                extra = {
                    "KIND_EXPERIMENTAL_PROVIDER": flavour,
                    "PATH": f"{Path(program).parent}:{environment.get('PATH', '')}",
                }
                return cls(program=program, flavour=flavour, environment={**environment, **extra})
        raise ClusterError(
            f"{' and '.join(names)} not found: install docker or podman, or name one with --container-engine"
        )

    @property
    def host(self) -> str:
        """Host name of a remote engine, '' for one of this machine."""
        address = self.environment.get("DOCKER_HOST" if self.flavour == "docker" else "CONTAINER_HOST", "")
        parts = urlsplit(address)
        if parts.scheme in {"tcp", "ssh", "http", "https"}:
            return parts.hostname or ""
        return ""

    @property
    def address(self) -> dict[str, str]:
        """The environment that leads to this engine, for undo entries."""
        return {name: self.environment[name] for name in KEPT_ENVIRONMENT if self.environment.get(name)}

    @property
    def identity(self) -> dict[str, str]:
        """What tells this engine from another."""
        return {name: value for name, value in self.address.items() if name in ADDRESSES}

    def call(
        self, *arguments: str, seconds: float = QUICK, stdin: bytes = b"", name: str = "", hold: bool = False
    ) -> Call:
        """Return a call of the engine."""
        return Call(
            arguments=[self.program, *arguments],
            seconds=seconds,
            environment=self.environment,
            stdin=stdin,
            hold_stdin=hold,
            name=name,
        )

    async def info(self) -> Info:
        """Ask the engine about its machine. Raises ClusterError that says what is wrong with it, in one line."""
        try:
            text = await run(self.call("info", "--format", "{{json .}}", name=f"{self.flavour} info"))
            answer = json.loads(text)
        except CallError as error:
            raise ClusterError(self._why_unusable(error)) from error
        except ValueError as error:
            raise ClusterError(f"{self.flavour} info: the answer is not JSON") from error
        if self.flavour == "docker" and answer.get("ServerErrors"):
            raise ClusterError(self._why_unusable(CallError("; ".join(map(str, answer["ServerErrors"])))))
        return _podman_info(answer) if "host" in answer else _docker_info(answer)

    def _why_unusable(self, error: CallError) -> str:
        said = f"{error} {error.output}".lower()
        if isinstance(error, CallTimeout):
            return f"{error}: is its daemon stuck?"
        if "permission denied" in said:
            return (
                f"{self.flavour} refuses this user (permission denied): add yourself to its group and log in again, "
                "or run as root"
            )
        if "cannot connect" in said or "is the docker daemon running" in said or "connection refused" in said:
            where = self.environment.get("DOCKER_HOST", "") or "its default socket"
            return f"no {self.flavour} daemon answers at {where}: start it (systemctl start docker) or set DOCKER_HOST"
        return str(error)

    async def containers(self, cluster: str = "") -> tuple[Container, ...]:
        """List node containers of one kind cluster, or of all. Raises CallError."""
        label = f"{CLUSTER_LABEL}={cluster}" if cluster else CLUSTER_LABEL
        names = (
            await run(
                self.call(
                    "ps", "--all", "--filter", f"label={label}", "--format", "{{.Names}}", seconds=QUICK
                )
            )
        ).split()
        if not names:
            return ()
        return tuple(_container(item) for item in json.loads(await run(self.call("inspect", *names))))

    async def execute(
        self, node: str, *command: str, seconds: float = QUICK, stdin: bytes | None = None
    ) -> str:
        """Run a command in a node and return its output. Raises CallError."""
        flags = ["--interactive"] if stdin is not None else []
        return await run(
            self.call(
                "exec",
                *flags,
                node,
                *command,
                seconds=seconds,
                stdin=stdin or b"",
                name=f"{self.flavour} exec {node} {' '.join(command)[:60]}",
            )
        )

    async def limit(self, node: str, memory: int, *, swap: int | None = None) -> None:
        """Set a container's memory limit; with swap None the limit holds for memory and swap together.

        docker's default for swap is twice the memory; equal values leave none. Raises CallError.
        """
        both = memory if swap is None else swap
        await run(self.call("update", "--memory", str(memory), "--memory-swap", str(both), node))


def _docker_info(answer: Mapping[str, Any]) -> Info:
    return Info(
        architecture=str(answer.get("Architecture", "")),
        cgroup="v2" if str(answer.get("CgroupVersion", "1")) == "2" else "v1",
        memory=int(answer.get("MemTotal") or 0),
        version=str(answer.get("ServerVersion", "")),
        root=str(answer.get("DockerRootDir", "")),
        rootless=any("rootless" in str(option) for option in answer.get("SecurityOptions") or ()),
    )


def _podman_info(answer: Mapping[str, Any]) -> Info:
    host = answer["host"]
    return Info(
        architecture=str(host.get("arch", "")),
        cgroup="v2" if host.get("cgroupVersion") == "v2" else "v1",
        memory=int(host.get("memTotal") or 0),
        version=str((answer.get("version") or {}).get("Version", "")),
        root=str((answer.get("store") or {}).get("graphRoot", "")),
        rootless=bool((host.get("security") or {}).get("rootless")),
    )


def _container(item: Mapping[str, Any]) -> Container:
    labels = (item.get("Config") or {}).get("Labels") or {}
    state = item.get("State") or {}
    return Container(
        name=str(item.get("Name", "")).lstrip("/"),
        id=str(item.get("Id", "")),
        cluster=str(labels.get(CLUSTER_LABEL, "")),
        role=str(labels.get(ROLE_LABEL, "")),
        created=str(item.get("Created", "")),
        image=str((item.get("Config") or {}).get("Image") or ""),
        running=bool(state.get("Running", state.get("Status") == "running")),
    )


def x86(architecture: str) -> bool:
    """Whether an architecture as engines name it is the guests'."""
    return architecture in {"x86_64", "amd64"}

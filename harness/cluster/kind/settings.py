"""Every input of a kind cluster: one field, one flag, one environment variable each.

An empty value in the environment counts as not given. Flags win over the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from harness.cluster.errors import ClusterError
from harness.rules.errors import RulesError
from harness.rules.quantities import parse_bytes

KUBEVIRT_RELEASE = "https://github.com/kubevirt/kubevirt/releases/download/v1.9.0"
"""Where `kubevirt-operator.yaml` and `kubevirt-cr.yaml` come from unless told otherwise."""
PREFIX = "density-"
"""Of every cluster this package makes; nothing else is ever deleted."""

Switch = Literal["auto", "yes", "no"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KindSettings:
    """Inputs. The environment variable of a field is `DENSITY_` and its `env` metadata; the flag is derived from it."""

    kind_bin: str = field(default="", metadata={"env": "KIND_BIN", "help": "the kind binary (PATH)"})
    kubectl_bin: str = field(default="", metadata={"env": "KUBECTL_BIN", "help": "the kubectl binary (PATH)"})
    engine: str = field(
        default="",
        metadata={
            "env": "CONTAINER_ENGINE",
            "help": "docker or podman, by name or path (docker, else podman)",
        },
    )
    image: str = field(
        default="",
        metadata={
            "env": "KIND_IMAGE",
            "help": "node image, name@sha256:… (the kind binary's own, pinned by digest)",
        },
    )
    config: str = field(
        default="",
        metadata={"env": "KIND_CONFIG", "help": "kind config to start from (kind-config/cluster.yaml)"},
    )
    workers: int = field(default=2, metadata={"env": "KIND_WORKERS", "help": "worker nodes, at least (2)"})
    api_address: str = field(
        default="",
        metadata={
            "env": "KIND_API_ADDRESS",
            "help": "host of the API server as seen from here (of DOCKER_HOST)",
        },
    )
    keep: bool = field(
        default=False, metadata={"env": "KIND_KEEP", "help": "leave the cluster for the next run"}
    )
    allowance: str = field(
        default="auto",
        metadata={
            "env": "KIND_ALLOWANCE",
            "help": "memory a sized node gets for its own daemons: auto (measured idle), or a quantity",
        },
    )
    guest_allowance: str = field(
        default="60Mi",
        metadata={
            "env": "KIND_GUEST_ALLOWANCE",
            "help": "the same for each guest: what a launcher pod uses more",
        },
    )
    node_size: Literal["auto", "meminfo", "threshold", "none"] = field(
        default="auto",
        metadata={
            "env": "KIND_NODE_SIZE",
            "help": "how nodes are sized: meminfo (limit and /proc/meminfo), threshold (calibrated), auto",
        },
    )
    kubevirt_manifests: str = field(
        default=KUBEVIRT_RELEASE,
        metadata={
            "env": "KUBEVIRT_MANIFESTS",
            "help": "directory or URL of kubevirt-operator.yaml and kubevirt-cr.yaml, or `installed`",
        },
    )
    kubevirt_column: str = field(
        default="",
        metadata={
            "env": "KUBEVIRT_COLUMN",
            "help": "version whose constants hold, where the observed one misleads (main for a local build)",
        },
    )
    kubevirt_images: str = field(
        default="",
        metadata={
            "env": "KUBEVIRT_IMAGES",
            "help": "directory of image archives (*.tar) to load into the nodes",
        },
    )
    kubevirt_images_loaded: bool = field(
        default=False,
        metadata={
            "env": "KUBEVIRT_IMAGES_LOADED",
            "help": "every image is in the nodes: a pull is an error at once",
        },
    )
    emulation: Switch = field(
        default="auto",
        metadata={"env": "KUBEVIRT_EMULATION", "help": "useEmulation: auto (no working KVM), yes, no"},
    )
    create_timeout: float = field(
        default=600.0,
        metadata={"env": "KIND_CREATE_TIMEOUT", "help": "seconds for `kind create cluster` (600)"},
    )
    kubevirt_timeout: float = field(
        default=900.0,
        metadata={"env": "KUBEVIRT_TIMEOUT", "help": "seconds for KubeVirt to be Available (900)"},
    )
    logs: str = field(
        default="",
        metadata={"env": "KIND_LOGS", "help": "where `kind export logs` goes after a failure (runs)"},
    )

    @classmethod
    def from_options(cls, environment: Mapping[str, str], **given: Any) -> KindSettings:
        """Return settings: what is given (not None), else the environment, else defaults. Raises ClusterError."""
        known = {f.name: f for f in fields(cls)}
        unknown = set(given) - set(known)
        if unknown:
            raise TypeError(f"unknown settings: {', '.join(sorted(unknown))}")
        values: dict[str, Any] = {}
        for name, item in known.items():
            variable = f"DENSITY_{item.metadata['env']}"
            text = environment.get(variable, "").strip()
            if given.get(name) is not None:
                values[name] = given[name]
            elif text:
                values[name] = _read(variable, text, item.default)
        made = cls(**values)
        made.check()
        return made

    def check(self) -> None:
        """Raise ClusterError for a value that can't be meant."""
        choices = {
            "DENSITY_KIND_NODE_SIZE": (self.node_size, ("auto", "meminfo", "threshold", "none")),
            "DENSITY_KUBEVIRT_EMULATION": (self.emulation, ("auto", "yes", "no")),
        }
        for variable, (value, allowed) in choices.items():
            if value not in allowed:
                raise ClusterError(f"{variable}={value}: it is one of {', '.join(allowed)}")
        for variable, amount in (
            ("DENSITY_KIND_ALLOWANCE", self.allowance),
            ("DENSITY_KIND_GUEST_ALLOWANCE", self.guest_allowance),
        ):
            if amount != "auto" or variable.endswith("GUEST_ALLOWANCE"):
                try:
                    parse_bytes(amount)
                except RulesError as error:
                    raise ClusterError(f"{variable}={amount}: {error}") from error
        if self.workers < 1:
            raise ClusterError(f"DENSITY_KIND_WORKERS={self.workers}: at least one worker is needed")
        for path, variable in ((self.config, "KIND_CONFIG"), (self.kubevirt_images, "KUBEVIRT_IMAGES")):
            if path and not Path(path).exists():
                raise ClusterError(f"DENSITY_{variable}={path}: there is no such file or directory")


def _read(variable: str, text: str, default: object) -> Any:
    """Return the value of an environment variable, of the type of the field's default."""
    if isinstance(default, bool):
        if text.lower() in {"1", "true", "yes", "on"}:
            return True
        if text.lower() in {"0", "false", "no", "off"}:
            return False
        raise ClusterError(f"{variable}={text}: it is 1 or 0")
    if isinstance(default, int | float):
        try:
            return type(default)(text)
        except ValueError as error:
            raise ClusterError(f"{variable}={text}: it is a number") from error
    return text

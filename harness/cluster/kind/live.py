"""A kind cluster that is up: what it is called, how it is reached, what was found out about it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from harness.cluster.errors import ClusterError
from harness.cluster.kind.engine import Engine, Info
from harness.cluster.kind.names import Claim
from harness.cluster.kind.node import Node
from harness.cluster.kind.processes import CallError
from harness.cluster.kind.tools import Tools

MARKER = "density.dev/embedded"
"""Annotation of our own API server's objects: such a cluster is no evidence of real ones (design.md §2)."""
FACTS = (
    'test -e /sys/fs/cgroup/cgroup.controllers && echo "cgroup v2" || echo "cgroup v1"; '
    'test -c /dev/kvm && test -r /dev/kvm && test -w /dev/kvm && echo "kvm yes" || echo "kvm no"; '
    '(exec 9</dev/kmsg) 2>/dev/null && echo "kmsg yes" || echo "kmsg no"; '
    'test -w /sys/kernel/mm/ksm/run && echo "ksm yes" || { test -e /sys/kernel/mm/ksm/run && echo "ksm ro" || echo "ksm no"; }; '
    '(echo -1 > /proc/self/oom_score_adj) 2>/dev/null && echo "adj yes" || echo "adj no"; '
    'echo "kernel $(uname -r)"'
)
"""Prints one `key value` a line about a node."""


@dataclass(slots=True, kw_only=True)
class Live:
    """One cluster. `nodes`: workers, in order."""

    tools: Tools
    info: Info
    claim: Claim
    kubeconfig: Mapping[str, Any]
    nodes: tuple[Node, ...]
    ids: Mapping[str, str]
    """Container id → node name, of all nodes."""
    image: str
    """The agent's, as pods name it."""
    facts: Mapping[str, str] = field(default_factory=dict)
    emulation: bool = True
    why_no_kvm: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    evidence: Literal["real", "predicted"] = "real"
    agent: Path | None = None
    """The guest agent as a program."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Qualifiers found while it came up."""

    @property
    def name(self) -> str:
        """Its name."""
        return self.claim.name

    @property
    def engine(self) -> Engine:
        """Its engine."""
        return self.tools.engine


def worker_order(name: str) -> tuple[int, str]:
    """Sort `…-worker`, `…-worker2`, …, `…-worker10` as kind numbers them."""
    digits = name.rpartition("worker")[2]
    return (int(digits) if digits.isdigit() else 1, name)


async def facts(engine: Engine, node: str) -> dict[str, str]:
    """Ask a node about itself. Raises ClusterError."""
    try:
        text = await engine.execute(node, "sh", "-c", FACTS)
    except CallError as error:
        raise ClusterError(f"node {node} does not answer: {error}") from error
    pairs = (line.partition(" ") for line in text.splitlines())
    return {key: value.strip() for key, _, value in pairs if value}


def reachable(document: Mapping[str, Any], host: str) -> dict[str, Any]:
    """Return a kubeconfig whose server is at `host`; its certificate is then checked against `localhost`."""
    clusters = []
    for item in document.get("clusters") or ():
        cluster = dict(item.get("cluster") or {})
        parts = urlsplit(str(cluster.get("server", "")))
        address = f"[{host}]" if ":" in host else host
        cluster["server"] = urlunsplit(parts._replace(netloc=f"{address}:{parts.port or 443}"))
        # kind's certificates name localhost and the address it was told to publish on
        cluster["tls-server-name"] = "localhost"
        clusters.append({**item, "cluster": cluster})
    return {**document, "clusters": clusters}


def published_on(host: str) -> str:
    """Return the address an engine at `host` must publish the API server on: '' for one on this machine."""
    if not host:
        return ""
    try:
        addresses = {item[4][0] for item in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise ClusterError(f"DOCKER_HOST names {host}, which can't be resolved: {error.strerror}") from error
    if all(ipaddress.ip_address(str(address)).is_loopback for address in addresses):
        return ""
    return "0.0.0.0"  # noqa: S104 - the engine's machine is another one; the API server has its own authentication


def capabilities(live: Live, sizes: Mapping[str, str]) -> dict[str, str]:
    """Return capability → yes, or why not. Host-wide things are never `yes`: other nodes and the host share them."""
    found = live.facts
    v2 = found.get("cgroup") == "v2"
    return {
        "cgroup-write": "yes",
        "cgroup-v2": "yes" if v2 else "the nodes' memory controller is on a version 1 hierarchy",
        "kvm": "yes" if not live.why_no_kvm else live.why_no_kvm,
        "ksm": (
            "KSM belongs to the whole host on kind: /sys is read-only in a node, virt-handler can't switch it, "
            "and pages of all nodes merge together"
        ),
        "swap": (
            "swap belongs to the whole host on kind: a node's kubelet sees the host's, and sized nodes are given none"
        ),
        "oom-adj-negative": "yes"
        if found.get("adj") == "yes"
        else "oom_score_adj below 0 is refused in the nodes (no CAP_SYS_RESOURCE)",
        "kmsg": "yes" if found.get("kmsg") == "yes" else "/dev/kmsg is not readable in the nodes",
        "node-size": sizes.get("node-size", "yes"),
        "global-oom": "a kind node runs into its container's limit: its OOM kills are of a cgroup, never the machine's",
    }

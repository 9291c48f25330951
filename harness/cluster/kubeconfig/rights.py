"""Every right the harness uses, why, and the RBAC manifest made of them. Nothing else is asked of an API server.

The manifest is rendered from the same list that is asked for with SelfSubjectAccessReviews before a run begins, and
the tests run against an API that refuses everything the manifest does not grant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import yaml

Scope = Literal["cluster", "namespace", "default", "kubevirt"]
"""Where a right is needed: cluster-wide, in the run's namespace, in `default`, in the KubeVirt CR's namespace."""
Part = Literal["run", "node-stats", "namespaces", "kubevirt-settings", "node-reader", "kubelet-settings"]
PARTS: frozenset[str] = frozenset(get_args(Part))
READ = ("get", "list", "watch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """One rule. `part` other than `run` may be left out; `lack` says what is then not to be had."""

    scope: Scope
    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    why: str
    part: Part = "run"
    required: bool = True
    lack: str = ""


RIGHTS: tuple[Right, ...] = (
    Right(scope="cluster", group="", resources=("nodes",), verbs=READ, why="sizes, conditions, taints"),
    Right(
        scope="cluster",
        group="kubevirt.io",
        resources=("kubevirts",),
        verbs=READ,
        why="KubeVirt's version and settings",
    ),
    Right(
        scope="cluster",
        group="",
        resources=("nodes/proxy",),
        verbs=("get",),
        why="stats/summary and configz. It opens every address of a kubelet that GET reaches: leave it out where"
        " that is too much",
        part="node-stats",
        required=False,
        lack="node truth (memory.available, effective kubelet settings) is not observable",
    ),
    Right(
        scope="default",
        group="",
        resources=("events",),
        verbs=("list", "watch"),
        why="events about nodes (SystemOOM, NodeHasInsufficientMemory) live here",
        required=False,
        lack="events about nodes are not seen",
    ),
    Right(
        scope="namespace",
        group="kubevirt.io",
        resources=("virtualmachineinstances", "virtualmachines"),
        verbs=(*READ, "create", "delete"),
        why="the fleet",
    ),
    Right(
        scope="namespace",
        group="subresources.kubevirt.io",
        resources=("virtualmachineinstances/console",),
        verbs=("get",),
        why="driving the guests",
    ),
    Right(
        scope="namespace",
        group="",
        resources=("pods",),
        verbs=(*READ, "create", "delete"),
        why="launcher pods; one test pod that proves a node healthy again",
    ),
    Right(
        scope="namespace", group="", resources=("events",), verbs=("list", "watch"), why="Evicted, crashed, …"
    ),
    Right(
        scope="namespace",
        group="",
        resources=("resourcequotas", "limitranges"),
        verbs=("get", "list"),
        why="refusing a fleet that does not fit",
        required=False,
        lack="quotas are not checked before the fleet is created",
    ),
    Right(
        scope="cluster",
        group="",
        resources=("namespaces",),
        verbs=("get", "list", "create", "delete"),
        why="a namespace of its own per run",
        part="namespaces",
        required=False,
        lack="runs need --namespace",
    ),
    Right(
        scope="namespace",
        group="apps",
        resources=("daemonsets",),
        verbs=("get", "list", "create", "delete"),
        why="the node reader (--node-reader): privileged pods on the chosen nodes that read and write nothing",
        part="node-reader",
        required=False,
        lack="no node reader: cgroup files, kernel log, KSM and swap of nodes are not observable",
    ),
    Right(
        scope="namespace",
        group="",
        resources=("pods/log",),
        verbs=("get",),
        why="what the node reader has read",
        part="node-reader",
        required=False,
        lack="no node reader: what it reads comes through its log",
    ),
    Right(
        scope="namespace",
        group="",
        resources=("pods/log",),
        verbs=("get",),
        why="what a pod that sets a kubelet (--allow-kubelet-config) has done; it is privileged and restarts the kubelet",
        part="kubelet-settings",
        required=False,
        lack="kubelets are not touched: what came of it could not be read",
    ),
    Right(
        scope="kubevirt",
        group="kubevirt.io",
        resources=("kubevirts",),
        verbs=("get", "patch"),
        why="settings a scenario asks for, restored afterwards (--patch-kubevirt)",
        part="kubevirt-settings",
        required=False,
        lack="scenarios that change KubeVirt's settings are not observable",
    ),
)


def rights(scope: Scope, parts: Iterable[str]) -> tuple[Right, ...]:
    """Return the rights of a scope that the chosen parts need."""
    chosen = set(parts)
    return tuple(right for right in RIGHTS if right.scope == scope and right.part in chosen)


def manifest(
    *,
    namespace: str = "density",
    account: str = "density",
    parts: Iterable[str] = ("run", "node-stats"),
    kubevirt_namespace: str = "kubevirt",
) -> list[dict[str, Any]]:
    """Return the objects to apply: namespace, service account, roles and their bindings.

    With the part `namespaces` (a namespace per run) the namespaced rights must hold everywhere: a ClusterRole.
    """
    chosen = {"run", *parts}
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    made: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": account, "namespace": namespace},
        },
        *_bound(f"{account}-reader", "", _core("cluster", chosen), subject),
    ]
    if "node-stats" in chosen:
        made += _bound(f"{account}-node-stats", "", rights("cluster", ("node-stats",)), subject)
    inside = rights("namespace", chosen & {"run", "node-reader", "kubelet-settings"})
    if "namespaces" in chosen:
        made += _bound(f"{account}-runs", "", (*rights("cluster", ("namespaces",)), *inside), subject)
    else:
        made += _bound(f"{account}-run", namespace, inside, subject)
    made += _bound(f"{account}-node-events", "default", rights("default", ("run",)), subject)
    if "kubevirt-settings" in chosen:
        settings = rights("kubevirt", ("kubevirt-settings",))
        made += _bound(f"{account}-kubevirt-settings", kubevirt_namespace, settings, subject)
    return made


def _core(scope: Scope, chosen: Iterable[str]) -> tuple[Right, ...]:
    return rights(scope, set(chosen) & {"run"})


def _bound(
    name: str, namespace: str, given: tuple[Right, ...], subject: Mapping[str, str]
) -> list[dict[str, Any]]:
    kind = "Role" if namespace else "ClusterRole"
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    rules = [{"apiGroups": [r.group], "resources": list(r.resources), "verbs": list(r.verbs)} for r in given]
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": f"{group}/v1", "kind": kind, "metadata": dict(metadata), "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": f"{kind}Binding",
            "metadata": dict(metadata),
            "roleRef": {"apiGroup": group, "kind": kind, "name": name},
            "subjects": [dict(subject)],
        },
    ]


def manifest_yaml(
    *,
    namespace: str = "density",
    account: str = "density",
    parts: Iterable[str] = ("run", "node-stats"),
    kubevirt_namespace: str = "kubevirt",
) -> str:
    """Return the manifest as commented YAML."""
    chosen = tuple(parts)
    lines = [
        "# What density may do on an existing cluster; made by `density rbac`. Why each right is needed:",
        *(
            f"#   {right.scope}: {', '.join(right.verbs)} {', '.join(right.resources)}: {right.why}"
            for right in RIGHTS
            if right.part in {"run", *chosen}
        ),
        f"# Then: kubectl create token {account} -n {namespace} --duration=2h",
    ]
    objects = manifest(
        namespace=namespace, account=account, parts=chosen, kubevirt_namespace=kubevirt_namespace
    )
    documents = [yaml.safe_dump(item, sort_keys=False) for item in objects]
    return "\n".join(lines) + "\n" + "---\n".join(["", *documents]).removeprefix("\n")

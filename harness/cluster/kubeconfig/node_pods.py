"""Privileged pods on nodes of an existing cluster, as manifests: the reader's DaemonSet, and pods that do one thing.

None of it is made without a flag of the user's: `--node-reader`, `--allow-kubelet-config`. `density rbac` shows it.
Sources: `$` in a command is expanded by the kubelet (k8s.io/kubernetes third_party/forked/golang/expansion: `$$` is a
`$`); a matchFields term takes one value (pkg/apis/core/validation, ValidateNodeFieldSelectorRequirement); a mount at
/sys/fs/cgroup takes the place of the container's own cgroup mount (containerd and CRI-O drop overridden defaults).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.cluster.nodes.looks import LOOKS, PERIOD, remote_command
from harness.kube.resources import Resource

DAEMONSETS = Resource(group="apps", version="v1", plural="daemonsets", kind="DaemonSet")
RUN_LABEL = "density.dev/run"
"""As `run.fleet` puts it on; a cluster source may not import that room."""
ROLE_LABEL = "density.dev/node-pod"
"""`reader` or `kubelet`."""
READER = "density-reader"
CONTAINER = "node"
PRIVILEGED = {"pod-security.kubernetes.io/enforce": "privileged"}
"""Label of a namespace of ours that lets privileged pods in (kubernetes.io/docs/concepts/security/pod-security-admission)."""
NSENTER = ("nsenter", "-t", "1", "-m", "-u", "-i", "-n", "--")
"""Into the host's namespaces: what restarts a kubelet must be the host's own systemctl."""


def reader(*, image: str, namespace: str, run: str, nodes: Iterable[str]) -> dict[str, Any]:
    """Return the DaemonSet that reads `nodes`. It writes nothing; its log is what it has read."""
    labels = {RUN_LABEL: run, ROLE_LABEL: "reader"}
    # The program ends when its standard input does; a pod's is empty, so it is given one that ends after its time.
    command = (
        "sh",
        "-c",
        f'sleep {int(LOOKS * (PERIOD + 0.1))} | "$@"',
        "sh",
        *remote_command(host=True, kmsg=True),
    )
    spec = _pod_spec(image, command, mounts={"/sys/fs/cgroup": "/sys/fs/cgroup"})
    spec["affinity"] = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
                    for node in nodes
                ]
            }
        }
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": f"{READER}-{run}", "namespace": namespace, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "updateStrategy": {"type": "OnDelete"},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def once(
    *, image: str, namespace: str, run: str, node: str, name: str, command: tuple[str, ...]
) -> dict[str, Any]:
    """Return a pod that runs one command in the host's namespaces of one node and ends."""
    spec = _pod_spec(image, (*NSENTER, *command), mounts={})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {RUN_LABEL: run, ROLE_LABEL: "kubelet"},
        },
        # Not by the scheduler: a node under pressure or cordoned must be mended too.
        "spec": {**spec, "nodeName": node, "restartPolicy": "Never"},
    }


def _pod_spec(image: str, command: tuple[str, ...], *, mounts: Mapping[str, str]) -> dict[str, Any]:
    volumes = {path: f"host-{number}" for number, path in enumerate(mounts)}
    return {
        "hostPID": True,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "tolerations": [{"operator": "Exists"}],
        "containers": [
            {
                "name": CONTAINER,
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": [escaped(word) for word in command],
                "securityContext": {"privileged": True, "runAsUser": 0},
                # Below its request it is among the last that a kubelet evicts.
                "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
                "volumeMounts": [
                    {"name": volumes[host], "mountPath": inside, "readOnly": True}
                    for host, inside in mounts.items()
                ],
            }
        ],
        "volumes": [{"name": name, "hostPath": {"path": host}} for host, name in volumes.items()],
    }


def escaped(word: str) -> str:
    """Return a word of a command that the kubelet's expansion of `$(NAME)` leaves as it is."""
    return word.replace("$", "$$")

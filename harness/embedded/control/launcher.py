"""The virt-launcher pod of a VMI, as virt-controller renders it.

Source: KubeVirt pkg/virt-controller/services/template.go (main); shape as recorded on a real kind cluster
(kubevirt-resource-matrix). Resources come from `rules.resources`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from harness.rules import columns
from harness.rules.grace import LAUNCHER_PADDING, pod_grace_seconds
from harness.rules.resources import KERNEL_BOOT_VOLUME, PodResources, render_resources
from harness.rules.vmi import get, grace_seconds, items, mapping

_QEMU_TIMEOUT = (240, 360)
"""Seconds: 4 minutes and up to half as much again (template.go generateQemuTimeoutWithJitter)."""
_MIB = 1 << 20
_USER = 107
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
"""Characters of generated names (apimachinery util/rand)."""

PRIORITIES: Mapping[str, int] = {
    "system-node-critical": 2_000_001_000,
    "system-cluster-critical": 2_000_000_000,
    "kubevirt-cluster-critical": 1_000_000_000,
}
"""PriorityClasses every cluster with KubeVirt has."""


def launcher_image(version: str) -> str:
    """Return the image a virt-launcher pod of that KubeVirt version names. Nothing pulls it."""
    return f"quay.io/kubevirt/virt-launcher:{version}"


def reports_overhead(column: str, configuration: Mapping[str, Any]) -> bool:
    """Whether the calculated overhead is published: on the pod (annotation) and in the VMI's status."""
    version = columns.column(column)
    if version.overhead_report is not None:
        return version.overhead_report
    return columns.gate("VmiMemoryOverheadReport", column=version, configuration=configuration)


def render_pod(
    vmi: Mapping[str, Any],
    *,
    column: str,
    configuration: Mapping[str, Any],
    version: str,
    rng: random.Random,
    priorities: Mapping[str, int] = PRIORITIES,
) -> dict[str, Any]:
    """Return the pod to create. Raises RulesError for a VMI no pod can be rendered of, KeyError for an unknown priority class."""
    spec, metadata = vmi["spec"], vmi["metadata"]
    resources = render_resources(vmi, column=column, configuration=configuration)
    image = launcher_image(version)
    grace = grace_seconds(spec)
    volumes = _volumes(spec, resources, image)
    pod: dict[str, Any] = {
        "metadata": {
            "name": f"virt-launcher-{metadata['name']}-{''.join(rng.choices(_SUFFIX, k=5))}",
            "generateName": f"virt-launcher-{metadata['name']}-",
            "namespace": metadata["namespace"],
            "labels": _labels(vmi),
            "annotations": _annotations(
                vmi, overhead=resources.overhead.total if reports_overhead(column, configuration) else None
            ),
            "ownerReferences": [
                {
                    "apiVersion": "kubevirt.io/v1",
                    "kind": "VirtualMachineInstance",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "volumes": volumes,
            "initContainers": [_init_container(vmi, item, image) for item in resources.init_containers],
            "containers": [
                _compute(
                    vmi,
                    item,
                    image,
                    grace=grace,
                    volumes=volumes,
                    column=column,
                    configuration=configuration,
                    rng=rng,
                )
                if item["name"] == "compute"
                else _init_container(vmi, item, image)
                for item in resources.containers
            ],
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": pod_grace_seconds(vmi),
            "dnsPolicy": "ClusterFirst",
            "nodeSelector": {
                "kubernetes.io/arch": str(spec.get("architecture") or "amd64"),
                "kubevirt.io/schedulable": "true",
                f"machine-type.node.kubevirt.io/{get(spec, 'domain', 'machine', 'type') or 'q35'}": "true",
                **(spec.get("nodeSelector") or {}),
            },
            "serviceAccountName": "default",
            "serviceAccount": "default",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsUser": _USER,
                "runAsGroup": _USER,
                "runAsNonRoot": True,
                "fsGroup": _USER,
            },
            "hostname": metadata["name"][:63],
            "affinity": _affinity(spec),
            "schedulerName": str(spec.get("schedulerName") or "default-scheduler"),
            "tolerations": _tolerations(spec),
            **_priority(spec, priorities),
            "readinessGates": [{"conditionType": "kubevirt.io/virtual-machine-unpaused"}],
            "enableServiceLinks": False,
            "preemptionPolicy": "PreemptLowerPriority",
        },
    }
    if not pod["spec"]["initContainers"]:
        del pod["spec"]["initContainers"]
    return pod


def _labels(vmi: Mapping[str, Any]) -> dict[str, str]:
    metadata = vmi["metadata"]
    return {
        **(metadata.get("labels") or {}),
        "kubevirt.io": "virt-launcher",
        "kubevirt.io/created-by": metadata["uid"],
        "vm.kubevirt.io/name": metadata["name"],
        "vmi.kubevirt.io/id": metadata["name"],
    }


def _annotations(vmi: Mapping[str, Any], *, overhead: int | None) -> dict[str, str]:
    metadata = vmi["metadata"]
    name, namespace = metadata["name"], metadata["namespace"]
    own = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if not key.startswith(("kubectl.kubernetes.io/", "kubevirt.io/"))
    }
    freezer = '["/usr/bin/virt-freezer", "--%s", "--name", "%s", "--namespace", "%s"]'
    return {
        **own,
        "descheduler.alpha.kubernetes.io/request-evict-only": "",
        "kubectl.kubernetes.io/default-container": "compute",
        "kubevirt.io/domain": name,
        **({} if overhead is None else {"kubevirt.io/memory-overhead-bytes": str(overhead)}),
        "kubevirt.io/migrationTransportUnix": "true",
        "kubevirt.io/pci-topology-version": "v3",
        "post.hook.backup.velero.io/command": freezer % ("unfreeze", name, namespace),
        "post.hook.backup.velero.io/container": "compute",
        "pre.hook.backup.velero.io/command": freezer % ("freeze", name, namespace),
        "pre.hook.backup.velero.io/container": "compute",
        "pre.hook.backup.velero.io/timeout": "60s",
    }


def _volumes(spec: Mapping[str, Any], resources: PodResources, image: str) -> list[dict[str, Any]]:
    names = ("private", "public", "sockets", "virt-bin-share-dir", "libvirt-runtime", "ephemeral-disks")
    found: list[dict[str, Any]] = [{"name": name, "emptyDir": {}} for name in names]
    images = [
        {"name": name, "image": {"reference": reference, "pullPolicy": policy}}
        for name, reference, policy in _image_volumes(spec)
    ]
    if images and any(item["name"].startswith("volume") for item in resources.init_containers):
        found += images
        found.append({"name": "launcher-volume", "image": {"reference": image, "pullPolicy": "IfNotPresent"}})
    found.append({"name": "hotplug-disks", "emptyDir": {}})
    return found


def _image_volumes(spec: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    found = [
        (
            str(volume["name"]),
            str(volume["containerDisk"].get("image", "")),
            str(volume["containerDisk"].get("imagePullPolicy") or "IfNotPresent"),
        )
        for volume in items(spec, "volumes")
        if volume.get("containerDisk") is not None
    ]
    boot = get(spec, "domain", "firmware", "kernelBoot", "container")
    if boot is not None:
        found.append(
            (
                KERNEL_BOOT_VOLUME,
                str(boot.get("image", "")),
                str(boot.get("imagePullPolicy") or "IfNotPresent"),
            )
        )
    return found


_CLOSED = {
    "capabilities": {"drop": ["ALL"]},
    "runAsUser": _USER,
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
}


def _init_container(vmi: Mapping[str, Any], item: Mapping[str, Any], image: str) -> dict[str, Any]:
    """Return a container beside `compute`: the console log sidecar, or what holds a container disk."""
    container: dict[str, Any] = {"name": item["name"], "image": image}
    if item["name"] == "guest-console-log":
        path = f"/var/run/kubevirt-private/{vmi['metadata']['uid']}/virt-serial0-log"
        container |= {
            "command": ["/usr/bin/virt-tail"],
            "args": ["--logfile", path],
            "env": [{"name": "VIRT_LAUNCHER_LOG_VERBOSITY", "value": "2"}],
        }
        mounts = [{"name": "private", "readOnly": True, "mountPath": "/var/run/kubevirt-private"}]
    else:
        images = {f"volume{name}": reference for name, reference, _ in _image_volumes(vmi["spec"])}
        container["image"] = images.get(item["name"].removesuffix("-init"), image)
        container |= {"command": ["/container-disk-binary/usr/bin/container-disk"], "args": ["--no-op"]}
        mounts = [{"name": "launcher-volume", "readOnly": True, "mountPath": "/container-disk-binary"}]
    container["resources"] = item["resources"]
    if "restartPolicy" in item:
        container["restartPolicy"] = item["restartPolicy"]
    return container | {
        "volumeMounts": mounts,
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
        "securityContext": _CLOSED,
    }


def _compute(
    vmi: Mapping[str, Any],
    item: Mapping[str, Any],
    image: str,
    *,
    grace: int,
    volumes: list[dict[str, Any]],
    column: str,
    configuration: Mapping[str, Any],
    rng: random.Random,
) -> dict[str, Any]:
    metadata = vmi["metadata"]
    flags = {
        "--qemu-timeout": f"{rng.randrange(*_QEMU_TIMEOUT)}s",
        "--name": metadata["name"],
        "--uid": metadata["uid"],
        "--namespace": metadata["namespace"],
        "--kubevirt-share-dir": "/var/run/kubevirt",
        "--ephemeral-disk-dir": "/var/run/kubevirt-ephemeral-disks",
        "--container-disk-dir": "/var/run/kubevirt/container-disks",
        "--grace-period-seconds": str(grace + LAUNCHER_PADDING),
        "--hook-sidecars": "0",
        "--ovmf-path": "/usr/share/edk2/ovmf",
        "--disk-memory-limit": str(2000 * _MIB),
        "--hypervisor": "kvm",
    }
    arguments = [part for flag in flags.items() for part in flag]
    arguments.append("--run-as-nonroot")
    if columns.image_volume(columns.column(column), configuration):
        arguments.append("--image-volume")
    arguments.append("--upgrade-ordinal-ifaces")
    if get(configuration, "developerConfiguration", "useEmulation"):
        arguments.append("--allow-emulation")
    paths = {
        "private": "/var/run/kubevirt-private",
        "public": "/var/run/kubevirt",
        "ephemeral-disks": "/var/run/kubevirt-ephemeral-disks",
        "libvirt-runtime": "/var/run/libvirt",
        "sockets": "/var/run/kubevirt/sockets",
    }
    mounts: list[dict[str, Any]] = [{"name": name, "mountPath": path} for name, path in paths.items()]
    if any(volume["name"] == KERNEL_BOOT_VOLUME for volume in volumes):
        mounts.append(
            {"name": KERNEL_BOOT_VOLUME, "readOnly": True, "mountPath": "/var/run/kubevirt-kernel-boot"}
        )
    mounts.append(
        {
            "name": "hotplug-disks",
            "mountPath": "/var/run/kubevirt/hotplug-disks",
            "mountPropagation": "HostToContainer",
        }
    )
    environment: list[dict[str, Any]] = [
        {"name": "XDG_CACHE_HOME", "value": "/var/run/kubevirt-private"},
        {"name": "XDG_CONFIG_HOME", "value": "/var/run/kubevirt-private"},
        {"name": "XDG_RUNTIME_DIR", "value": "/var/run"},
        {
            "name": "POD_NAME",
            "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
        },
    ]
    return {
        "name": "compute",
        "image": image,
        "command": ["/usr/bin/virt-launcher-monitor"],
        "args": arguments,
        "env": environment,
        "resources": item["resources"],
        "volumeMounts": mounts,
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {
            "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
        },
    }


def _affinity(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the VMI's affinity with KubeVirt's own node term (only a host-model CPU needs it) added to every term."""
    affinity: dict[str, Any] = dict(mapping(spec.get("affinity")))
    own = {"key": "node-labeller.kubevirt.io/obsolete-host-model", "operator": "DoesNotExist"}
    node: dict[str, Any] = dict(mapping(affinity.get("nodeAffinity")))
    required: dict[str, Any] = dict(mapping(node.get("requiredDuringSchedulingIgnoredDuringExecution")))
    terms = list(required.get("nodeSelectorTerms") or [{}])
    required["nodeSelectorTerms"] = [
        {**term, "matchExpressions": [*(term.get("matchExpressions") or ()), own]} for term in terms
    ]
    node["requiredDuringSchedulingIgnoredDuringExecution"] = required
    affinity["nodeAffinity"] = node
    return affinity


def _tolerations(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the VMI's tolerations and those the DefaultTolerationSeconds admission adds."""
    own = [dict(item) for item in items(spec, "tolerations")]
    keys = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    return own + [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for key in keys
        if all(item.get("key") != key for item in own)
    ]


def _priority(spec: Mapping[str, Any], priorities: Mapping[str, int]) -> dict[str, Any]:
    name = spec.get("priorityClassName")
    if not name:
        return {"priority": 0}
    return {"priorityClassName": name, "priority": priorities[name]}

"""A KubeVirt release's manifests: from a directory or a URL, and what of them a density run applies.

They are `kubevirt-operator.yaml` and `kubevirt-cr.yaml`. Control-plane parts go to the control plane and have one
replica, so that nodes under test hold nothing but virt-handler and guests.
Field names: KubeVirt v1 API (staging/src/kubevirt.io/api/core/v1/types.go).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from harness.cluster.errors import ClusterError
from harness.kube.connection import describe

OPERATOR_FILE = "kubevirt-operator.yaml"
CR_FILE = "kubevirt-cr.yaml"
CRD = "kubevirts.kubevirt.io"
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
TEMPLATE = "Template"
"""Beta gate, on by default since v1.9: deploys pods that a density run has no use for."""
IMAGE_VOLUME = "ImageVolume"
"""Beta gate, on by default since v1.9: mounts container disks and boot kernels as image volumes, which API servers
before 1.35 strip and containerds before 2.1 mount empty (kubevirt pkg/virt-config/featuregate/active.go,
cozystack/cozystack#3190). Where both are newer it is left alone: that is how such clusters are run and recorded."""
_IMAGE_VOLUMES = {"kubelet": (1, 35), "containerd": (2, 1)}
_DOWNLOAD = aiohttp.ClientTimeout(total=120.0, sock_connect=15.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifests:
    """A release's manifests. `gates`: its CRD knows `disabledFeatureGates`."""

    operator: tuple[Mapping[str, Any], ...]
    cr: Mapping[str, Any]
    source: str
    digest: str
    gates: bool

    @property
    def namespace(self) -> str:
        """Where the CR goes."""
        return str((self.cr.get("metadata") or {}).get("namespace") or "kubevirt")


async def load_manifests(source: str) -> Manifests:
    """Read a release's manifests from a directory or URL. Raises ClusterError."""
    if source.startswith(("http://", "https://")):
        async with aiohttp.ClientSession(trust_env=True, timeout=_DOWNLOAD) as session:
            operator = await _download(session, f"{source.rstrip('/')}/{OPERATOR_FILE}")
            cr = await _download(session, f"{source.rstrip('/')}/{CR_FILE}")
    else:
        operator, cr = _file(Path(source) / OPERATOR_FILE), _file(Path(source) / CR_FILE)
    documents = tuple(_documents(operator, OPERATOR_FILE))
    custom = next((d for d in _documents(cr, CR_FILE) if d.get("kind") == "KubeVirt"), None)
    if custom is None:
        raise ClusterError(f"{source}/{CR_FILE} has no KubeVirt object in it")
    if not any(d.get("kind") == "Deployment" for d in documents):
        raise ClusterError(f"{source}/{OPERATOR_FILE} has no Deployment in it")
    return Manifests(
        operator=documents,
        cr=custom,
        source=source,
        digest=hashlib.sha256(operator + b"\0" + cr).hexdigest(),
        gates=_knows_disabled_gates(documents),
    )


async def _download(session: aiohttp.ClientSession, url: str) -> bytes:
    try:
        async with session.get(url) as response:
            if response.status != 200:
                raise ClusterError(
                    f"{url}: HTTP {response.status}; give a directory with --kubevirt-manifests"
                )
            return await response.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise ClusterError(f"{url}: {describe(error)}; offline, give --kubevirt-manifests DIR") from error


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ClusterError(f"--kubevirt-manifests: {path}: {error.strerror}") from error


def _documents(data: bytes, name: str) -> Iterable[dict[str, Any]]:
    try:
        found = list(yaml.load_all(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError as error:
        raise ClusterError(f"{name}: {' '.join(str(error).split())}") from error
    return (document for document in found if isinstance(document, dict))


def _knows_disabled_gates(documents: Iterable[Mapping[str, Any]]) -> bool:
    crd = next((d for d in documents if (d.get("metadata") or {}).get("name") == CRD), None)
    if crd is None:
        return False
    path = ("schema", "openAPIV3Schema", "spec", "configuration", "developerConfiguration")
    for version in (crd.get("spec") or {}).get("versions") or ():
        schema: Any = version
        for key in path:
            schema = (schema or {}).get(key) if key in path[:2] else _property(schema, key)
        if _property(schema, "disabledFeatureGates") is not None:
            return True
    return False


def _property(schema: Any, name: str) -> Any:
    return ((schema or {}).get("properties") or {}).get(name)


# -- what is applied --------------------------------------------------------------------------------------------------


def operator_documents(manifests: Manifests) -> list[dict[str, Any]]:
    """Return the operator's manifests with one replica, on the control plane, pulling only what is not there."""
    return [_operator(dict(document)) for document in manifests.operator]


def _operator(document: dict[str, Any]) -> dict[str, Any]:
    if document.get("kind") != "Deployment":
        return document
    spec = dict(document["spec"])
    template = dict(spec["template"])
    pod = dict(template["spec"])
    placement = _placement()
    pod["nodeSelector"] = {**(pod.get("nodeSelector") or {}), **placement["nodeSelector"]}
    pod["tolerations"] = [*(pod.get("tolerations") or ()), *placement["tolerations"]]
    pod["containers"] = [{**c, "imagePullPolicy": "IfNotPresent"} for c in pod["containers"]]
    return {**document, "spec": {**spec, "replicas": 1, "template": {**template, "spec": pod}}}


def traps(nodes: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the gates to switch off on these nodes."""
    infos = [(node.get("status") or {}).get("nodeInfo") or {} for node in nodes]
    fit = bool(infos) and all(
        _version(str(info.get("kubeletVersion", "")).removeprefix("v")) >= _IMAGE_VOLUMES["kubelet"]
        and str(info.get("containerRuntimeVersion", "")).startswith("containerd://")
        and _version(str(info["containerRuntimeVersion"]).removeprefix("containerd://"))
        >= _IMAGE_VOLUMES["containerd"]
        for info in infos
    )
    return (TEMPLATE,) if fit else (IMAGE_VOLUME, TEMPLATE)


def _version(text: str) -> tuple[int, int]:
    found = re.match(r"v?(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def custom_resource(
    manifests: Manifests,
    *,
    emulation: bool,
    workload_labels: Mapping[str, str],
    off: Iterable[str] = (IMAGE_VOLUME, TEMPLATE),
) -> dict[str, Any]:
    """Return the CR to apply: the release's with what a density run on small nodes needs. `off`: gates to switch off."""
    off = tuple(off)
    spec = dict(manifests.cr.get("spec") or {})
    configuration = dict(spec.get("configuration") or {})
    developer = dict(configuration.get("developerConfiguration") or {})
    developer["useEmulation"] = emulation
    if manifests.gates:
        developer["disabledFeatureGates"] = sorted({*(developer.get("disabledFeatureGates") or ()), *off})
        if developer.get("featureGates"):
            developer["featureGates"] = [g for g in developer["featureGates"] if g not in off]
    configuration["developerConfiguration"] = developer
    return {
        **manifests.cr,
        "spec": {
            **spec,
            "configuration": configuration,
            "imagePullPolicy": "IfNotPresent",
            "infra": {"replicas": 1, "nodePlacement": _placement()},
            "workloads": {"nodePlacement": {"nodeSelector": dict(workload_labels)}},
        },
    }


def _placement() -> dict[str, Any]:
    return {
        "nodeSelector": {CONTROL_PLANE: ""},
        "tolerations": [{"key": CONTROL_PLANE, "operator": "Exists", "effect": "NoSchedule"}],
    }

"""Manifests of fleets: what is checked before anything starts, and what is left to the API server.

Checked: that it is a VMI or VM, that amounts of memory are quantities, and that the paths of `set:` are not near misses of
fields. Everything else inside a manifest is the API server's to refuse, the page's misspelt field included.
Source of the field names: staging/src/kubevirt.io/api/core/v1/schema.go, main after v1.9.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from harness.rules.quantities import Quantity
from harness.spec import read
from harness.spec.errors import closest
from harness.spec.nodes import Fields, Mark, Node, Scalar, kind_of
from harness.spec.paths import split

KINDS: Final = ("VirtualMachineInstance", "VirtualMachine")
_META: Final = ("name", "namespace", "labels", "annotations")
_VMI: Final[Mapping[str, tuple[str, ...]]] = {
    "": ("apiVersion", "kind", "metadata", "spec"),
    "metadata": _META,
    "spec": tuple(
        """accessCredentials affinity architecture dnsConfig dnsPolicy domain evictionStrategy hostname livenessProbe
        networks nodeSelector priorityClassName readinessProbe resourceClaims schedulerName serviceAccountName startStrategy subdomain
        terminationGracePeriodSeconds tolerations topologySpreadConstraints utilityVolumes volumes""".split()  # noqa: SIM905
    ),
    "spec.domain": tuple(
        """chassis clock cpu devices features firmware ioThreads ioThreadsPolicy launchSecurity machine memory
        rebootPolicy resources""".split()  # noqa: SIM905
    ),
    "spec.domain.memory": ("guest", "hugepages", "maxGuest", "reservedOverhead"),
    "spec.domain.resources": ("limits", "overcommitGuestOverhead", "requests"),
    "spec.domain.devices": tuple(
        """autoattachGraphicsDevice autoattachInputDevice autoattachMemBalloon autoattachPodInterface
        autoattachSerialConsole autoattachVSOCK blockMultiQueue clientPassthrough disableHotplug disks downwardMetrics
        filesystems gpus hostDevices inputs interfaces logSerialConsole networkInterfaceMultiqueue panicDevices rng sound
        tpm useVirtioTransitional video watchdog""".split()  # noqa: SIM905
    ),
}
"""Path inside a VMI → the fields there, where a near miss is worth telling."""
_VM: Final[Mapping[str, tuple[str, ...]]] = {
    "": _VMI[""],
    "metadata": _META,
    "spec": (
        "dataVolumeTemplates",
        "instancetype",
        "preference",
        "runStrategy",
        "running",
        "template",
        "updateVolumesStrategy",
    ),
    "spec.template": ("metadata", "spec"),
    **{f"spec.template.{path}": fields for path, fields in _VMI.items() if path},
}
_AMOUNTS: Final = (
    ("memory", "guest"),
    ("memory", "maxGuest"),
    ("resources", "requests", "memory"),
    ("resources", "limits", "memory"),
)
"""Where a domain holds amounts of memory."""
_NEAR: Final = 0.75


def check_manifest(node: Node) -> Fields:
    """Check a manifest and return it. Raises SpecError."""
    if not isinstance(node, Fields):
        raise node.mark.error(f"a manifest is one VMI or VM, not {kind_of(node)}")
    reader = read.Reader(node, "a manifest", tuple(node.fields))
    kind = read.choice(reader.need("kind"), KINDS, "kind")
    version = reader.need("apiVersion")
    if not read.text(version).startswith("kubevirt.io/"):
        raise version.mark.error(
            f"apiVersion '{read.text(version)}' is not KubeVirt's", suggestion="kubevirt.io/v1"
        )
    spec = reader.need("spec")
    if not isinstance(spec, Fields):
        raise spec.mark.error(f"spec must be a mapping, not {kind_of(spec)}")
    for amount in _amounts(spec, kind):
        _check_amount(amount)
    return node


def check_path(path: str, mark: Mark, *, kind: str) -> None:
    """Refuse a `set:` path with a segment that is nearly a field's name. Raises SpecError at `mark`."""
    known = _VM if kind == "VirtualMachine" else _VMI
    try:
        segments = split(path)
    except ValueError as error:
        raise mark.error(str(error)) from error
    for depth, segment in enumerate(segments):
        fields = known.get(".".join(segments[:depth]))
        if fields is None or segment in fields:
            continue
        if (near := closest(segment, fields, cutoff=_NEAR)) is not None:
            raise mark.error(f"unknown field '{segment}' in '{path}'", suggestion=near)
        return


def _amounts(spec: Fields, kind: str) -> Iterator[Scalar]:
    above = ("template", "spec", "domain") if kind == "VirtualMachine" else ("domain",)
    for path in _AMOUNTS:
        node: Node | None = spec
        for key in (*above, *path):
            node = node.fields.get(key) if isinstance(node, Fields) else None
        if isinstance(node, Scalar) and node.value is not None:
            yield node


def _check_amount(node: Scalar) -> None:
    """A quantity of any size; negative ones are KubeVirt's to judge (it accepts some)."""
    try:
        Quantity.parse(node.text)
    except ValueError as error:
        raise node.mark.error(
            f"'{node.text}' is not a quantity", suggestion=read.suggest_quantity(node.text)
        ) from error

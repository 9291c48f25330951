"""What differs between KubeVirt versions, one column each.

Source: `git show <tag>:…` of kubevirt/kubevirt: pkg/hypervisor/kvm/hypervisorbackend.go (v1.8+) and
pkg/virt-controller/services/renderresources.go (v1.6, v1.7), pkg/defaults/defaults.go,
pkg/virt-config/featuregate/{active,inactive,feature-gates}.go. `main` is d923fdb815 (2026-08-22, after v1.9.0).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from harness.rules.errors import ColumnError
from harness.units import Bytes

_MI: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Constants (bytes) and switches of one KubeVirt version."""

    name: str
    qemu: Bytes
    """`QemuOverhead`: 30Mi up to v1.9.0, 50Mi since c822873795."""
    webhook_writes_request: bool
    """The mutating webhook writes `resources.requests.memory` (v1.6); later the pod renderer alone does."""
    overcommits_every_request: bool = False
    """v1.6.2 alone: the renderer divides the memory request by the percentage, even one that was written (reverted in v1.6.3)."""
    beta_gates_on: bool
    """Beta feature gates are on unless disabled (since v1.9, 6a8dfaf64c)."""
    reserved_overhead: bool
    """`spec.domain.memory.reservedOverhead` counts."""
    older_checks: bool
    """Up to v1.7: the create validator says `hugepages.size`, and gates other architectures and virtiofs of config volumes."""
    tdx_device: bool
    """TDX and IOMMUFD ask for devices of their own (since v1.9)."""
    sev_by_snp_and_es: bool
    """SEV-SNP and SEV-ES also count 256Mi."""
    overhead_report: bool | None
    """VMI `status.memory.memoryOverhead` and the pod annotation: always, never, or None: by a Beta gate."""
    storage_checked_twice: bool
    """The create validator lists what is wrong with disks twice (as it always does with interfaces)."""
    fails_at_once: bool
    """A running VMI whose domain vanishes becomes Failed at once; on main only once its launcher stopped answering."""
    arm64_secure_boot: bool = False
    """arm64 may boot UEFI with SecureBoot (since v1.8.3)."""
    hugepages_of_request_alone: bool = False
    """The create validator holds the page size against the memory request alone (up to v1.6.3)."""

    def since(self, name: str) -> bool:
        """Whether this is a minor version or a later one (`v1.8`)."""
        order = list(COLUMNS)
        return order.index(self.name) >= order.index(name)


COLUMNS: Final[Mapping[str, Column]] = {
    column.name: column
    for column in (
        Column(
            name="v1.6",
            qemu=Bytes(30 * _MI),
            hugepages_of_request_alone=True,
            webhook_writes_request=True,
            beta_gates_on=False,
            reserved_overhead=False,
            older_checks=True,
            tdx_device=False,
            sev_by_snp_and_es=False,
            overhead_report=False,
            storage_checked_twice=False,
            fails_at_once=True,
        ),
        Column(
            name="v1.7",
            qemu=Bytes(30 * _MI),
            webhook_writes_request=False,
            beta_gates_on=False,
            reserved_overhead=False,
            older_checks=True,
            tdx_device=False,
            sev_by_snp_and_es=True,
            overhead_report=False,
            storage_checked_twice=False,
            fails_at_once=True,
        ),
        Column(
            name="v1.8",
            qemu=Bytes(30 * _MI),
            webhook_writes_request=False,
            beta_gates_on=False,
            reserved_overhead=True,
            older_checks=False,
            tdx_device=False,
            sev_by_snp_and_es=True,
            overhead_report=None,
            storage_checked_twice=False,
            fails_at_once=True,
        ),
        Column(
            name="v1.9",
            qemu=Bytes(30 * _MI),
            webhook_writes_request=False,
            beta_gates_on=True,
            reserved_overhead=True,
            older_checks=False,
            tdx_device=True,
            sev_by_snp_and_es=True,
            overhead_report=None,
            storage_checked_twice=False,
            fails_at_once=True,
            arm64_secure_boot=True,
        ),
        Column(
            name="main",
            qemu=Bytes(50 * _MI),
            webhook_writes_request=False,
            beta_gates_on=True,
            reserved_overhead=True,
            older_checks=False,
            tdx_device=True,
            sev_by_snp_and_es=True,
            overhead_report=True,
            storage_checked_twice=True,
            fails_at_once=False,
            arm64_secure_boot=True,
        ),
    )
}
_BETA_ON_MAIN_ONLY: Final = frozenset(("DecentralizedLiveMigration",))
DEFAULT_COLUMN: Final = "main"
_ALIASES: Final = {"latest": "main", "v1.10": "main"}
_VERSION: Final = re.compile(r"v?(1\.\d+)(?:\.(\d+))?(?:[.\-+].*)?", re.ASCII)
_RELEASE: Final = re.compile(r"v\d+\.\d+\.\d+(-(alpha|beta|rc)\.\d+)?", re.ASCII)
NEWEST_RELEASE: Final = "v1.9"
_RENDERS_SINCE: Final = 4
"""Of v1.6: v1.6.4 got v1.7's renderer, which makes requests from the guest's memory, instead of the webhook."""

_SECURE_BOOT_SINCE: Final = 3
"""Of v1.8: v1.8.3 no longer refuses SecureBoot on arm64."""


def column(name: str) -> Column:
    """Return the column of a KubeVirt version (`v1.9`, `1.9.0`, `v1.9.0-local`, `main`). Raises ColumnError."""
    key = _ALIASES.get(name, name)
    if (match := _VERSION.fullmatch(name)) is not None:
        key = _ALIASES.get(f"v{match[1]}", f"v{match[1]}")
    try:
        return _patched(COLUMNS[key], None if match is None else match[2])
    except KeyError:
        raise ColumnError(f"no KubeVirt version column {name!r}; known are {', '.join(COLUMNS)}") from None


def observed(version: str) -> Column:
    """Return the column of a running build by what it calls itself (`observedKubeVirtVersion`). Raises ColumnError.

    What calls itself after the newest release and is none (`v1.9.0-local`, `v1.9.0-12-gabc`) is a build of what came after:
    so it was on every recorded cluster, whose v1.9.0-local has main's constants.
    """
    found = column(version)
    return COLUMNS["main"] if found.name == NEWEST_RELEASE and not is_release(version) else found


def observed_name(version: str) -> str:
    """Return that column's name, '' where none is known for what a build calls itself."""
    try:
        return observed(version).name
    except ColumnError:
        return ""


def is_release(version: str) -> bool:
    """Tell a release or its candidates (`v1.9.0`, `v1.9.0-rc.1`) from builds of somebody's own."""
    return _RELEASE.fullmatch(version) is not None


def _patched(column: Column, patch: str | None) -> Column:
    """Column of a patch release; only some of v1.6's and v1.8's differ in what is kept here."""
    if column.name == "v1.8" and patch is not None and int(patch) >= _SECURE_BOOT_SINCE:
        return replace(column, arm64_secure_boot=True)
    if column.name != "v1.6" or patch is None:
        return column
    if int(patch) >= _RENDERS_SINCE:
        return replace(column, webhook_writes_request=False, hugepages_of_request_alone=False)
    return replace(column, overcommits_every_request=True) if patch == "2" else column


def gate(name: str, *, column: Column, configuration: Mapping[str, Any], beta: bool = True) -> bool:
    """Whether a feature gate is on: explicit enable, explicit disable, Beta default (featuregate/feature-gates.go IsEnabled).

    `disabledFeatureGates` counts only where Beta gates are on by default (v1.9 and later).
    """
    developer = configuration.get("developerConfiguration") or {}
    if name in (developer.get("featureGates") or ()):
        return True
    if not column.beta_gates_on or name in (developer.get("disabledFeatureGates") or ()):
        return False
    return beta and (column.name == "main" or name not in _BETA_ON_MAIN_ONLY)


@dataclass(frozen=True, slots=True)
class Gates:
    """The feature gates of one cluster, as create validators ask for them."""

    column: Column
    configuration: Mapping[str, Any]

    def closed(self, name: str, *, beta: bool = False) -> bool:
        """Whether a gate is off; `beta`: one that is on by default where Beta gates are."""
        return not gate(name, column=self.column, configuration=self.configuration, beta=beta)


def image_volume(column: Column, configuration: Mapping[str, Any]) -> bool:
    """Whether containerDisks are native image volumes (gate `ImageVolume`, Beta since v1.8; v1.6 and v1.7 have Alpha)."""
    return gate("ImageVolume", column=column, configuration=configuration)

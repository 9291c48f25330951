"""What KubeVirt's create validator refuses of networks and interfaces, with its words.

Source: KubeVirt pkg/network/admitter/{validator,netsource,binding,netiface}.go (main). Not here: MAC and PCI addresses,
ports, DHCP options, interface states, DRA.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from harness.rules import columns
from harness.rules.causes import DUPLICATE, INVALID, NOT_SUPPORTED, REQUIRED, Cause
from harness.rules.vmi import get, items, mapping

_BINDINGS: Final = ("bridge", "masquerade", "sriov", "passtBinding", "binding")
_DISCONTINUED: Final = {
    "slirp": "Slirp interface support has been",
    "passt": "Passt network binding has been",
    "macvtap": "Macvtap network binding has been",
}
_MODELS: Final = frozenset(("e1000", "e1000e", "igb", "ne2k_pci", "pcnet", "rtl8139", "virtio"))
_NAME: Final = re.compile(r"[A-Za-z0-9\-_]+", re.ASCII)


def discontinued_causes(vmi_spec: Mapping[str, Any], field: str) -> Iterator[Cause]:
    """Bindings that no longer exist: refused on creation only."""
    for index, interface in enumerate(items(vmi_spec, "domain", "devices", "interfaces")):
        for name, text in _DISCONTINUED.items():
            if interface.get(name) is not None:
                path = f"{field}.domain.devices.interfaces[{index}].{name}"
                yield Cause(INVALID, f"{text} discontinued since v1.3", path)


def network_causes(
    vmi_spec: Mapping[str, Any], configuration: Mapping[str, Any], version: columns.Column, field: str
) -> Iterator[Cause]:
    """List what is refused, in the validator's order. `field`: where the VMI spec stands."""
    networks = tuple(items(vmi_spec, "networks"))
    interfaces = tuple(items(vmi_spec, "domain", "devices", "interfaces"))
    at = f"{field}.domain.devices.interfaces"
    yield from _sources(networks, field)
    by_name = {str(network.get("name", "")): network for network in networks}
    for index, interface in enumerate(interfaces):
        yield from _binding(interface, by_name, configuration, version, at=f"{at}[{index}]")
    yield from _unique_networks(networks, field)
    names = [str(interface.get("name", "")) for interface in interfaces]
    for index, network in enumerate(networks):
        name = str(network.get("name", ""))
        if name not in names:
            path = f"{field}.networks[{index}].name"
            yield Cause(REQUIRED, f"{path} '{name}' not found.", path)
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Cause(
                DUPLICATE,
                "Only one interface can be connected to one specific network",
                f"{at}[{index}].name",
            )
    for index, name in enumerate(names):
        if name not in by_name:
            yield Cause(INVALID, f"{at}[{index}].name '{name}' not found.", f"{at}[{index}].name")
    for index, interface in enumerate(interfaces):
        yield from _fields(interface, at=f"{at}[{index}]")


def _sources(networks: tuple[Mapping[str, Any], ...], field: str) -> Iterator[Cause]:
    pods = sum(network.get("pod") is not None for network in networks)
    defaults = sum(bool(mapping(network.get("multus")).get("default")) for network in networks)
    if pods > 1:
        text = f"more than one interface is connected to a pod network in {field}.interfaces"
        yield Cause(DUPLICATE, text, f"{field}.interfaces")
    if defaults > 1:
        yield Cause(INVALID, "Multus CNI should only have one default network", f"{field}.networks")
    if pods and defaults:
        text = "Pod network cannot be defined when Multus default network is defined"
        yield Cause(INVALID, text, f"{field}.networks")
    for index, network in enumerate(networks):
        count = sum(network.get(source) is not None for source in ("pod", "multus", "resourceClaim"))
        if count != 1:
            text = "should have only one network type" if count else "should have a network type"
            yield Cause(REQUIRED, text, f"{field}.networks[{index}]")
    for index, network in enumerate(networks):
        if network.get("multus") is not None and not mapping(network["multus"]).get("networkName"):
            yield Cause(
                REQUIRED, "CNI delegating plugin must have a networkName", f"{field}.networks[{index}]"
            )
            return


def _binding(
    interface: Mapping[str, Any],
    networks: Mapping[str, Mapping[str, Any]],
    configuration: Mapping[str, Any],
    version: columns.Column,
    *,
    at: str,
) -> Iterator[Cause]:
    name = str(interface.get("name", ""))
    if sum(interface.get(binding) is not None for binding in _BINDINGS) != 1:
        text = f"logical {name} interface must have exactly one binding method or binding plugin"
        yield Cause(INVALID, text, at)
    pod = mapping(networks.get(name)).get("pod") is not None
    if interface.get("masquerade") is not None and not pod:
        yield Cause(INVALID, "Masquerade interface only implemented with pod network", f"{at}.name")
    permitted = get(configuration, "network", "permitBridgeInterfaceOnPodNetwork") is not False
    if interface.get("bridge") is not None and pod and not permitted:
        text = "Bridge on pod network configuration is not enabled under kubevirt-config"
        yield Cause(INVALID, text, f"{at}.name")
    if interface.get("passtBinding") is None:
        return
    if not columns.gate("PasstBinding", column=version, configuration=configuration):
        yield Cause(INVALID, "PasstBinding feature gate is not enabled", f"{at}.name")
    if not pod:
        yield Cause(INVALID, "PasstBinding interface only implemented with pod network", f"{at}.name")


def _unique_networks(networks: tuple[Mapping[str, Any], ...], field: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, network in enumerate(networks):
        name = str(network.get("name", ""))
        if name in seen:
            text = f'Network with name "{name}" already exists, every network must have a unique name'
            yield Cause(DUPLICATE, text, f"{field}.networks[{index}].name")
        seen.add(name)


def _fields(interface: Mapping[str, Any], *, at: str) -> Iterator[Cause]:
    if not _NAME.fullmatch(str(interface.get("name", ""))):
        text = "Network interface name can only contain alphabetical characters, numbers, dashes (-) or underscores (_)"
        yield Cause(INVALID, text, f"{at}.name")
    model = interface.get("model")
    if model and model not in _MODELS:
        text = f"interface {at}.name uses model {model} that is not supported."
        yield Cause(NOT_SUPPORTED, text, f"{at}.model")

"""What KubeVirt's create validator refuses of networks and how interfaces bind to them, with its words.

Source: KubeVirt pkg/network/admitter/{validator,netsource,admit,binding,passt,dra,discontinued}.go (main), slirp.go and
macvtap.go (v1.7), pkg/virt-config/featuregate/{passt,macvtap}.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from harness.rules import columns
from harness.rules.admission_interfaces import interface_causes
from harness.rules.causes import DUPLICATE, INVALID, NOT_FOUND, NOT_SUPPORTED, REQUIRED, Cause
from harness.rules.vmi import get, items, mapping

_BINDINGS: Final = ("bridge", "masquerade", "sriov", "passtBinding")
_DISCONTINUED: Final = {
    "slirp": "Slirp interface support has been",
    "passt": "Passt network binding has been",
    "macvtap": "Macvtap network binding has been",
}
_STATES: Final = ("", "absent", "down", "up")
_BRIDGE_MAC: Final = "02:00:00:00:00:00"
Interface = Mapping[str, Any]
Networks = Mapping[str, Mapping[str, Any]]


def creation_causes(
    vmi_spec: Mapping[str, Any], configuration: Mapping[str, Any], version: columns.Column, field: str
) -> list[Cause]:
    """What is refused of new objects only: bindings that no longer exist. `field` is `spec` for a VM too."""
    gates = get(configuration, "developerConfiguration", "featureGates") or ()
    interfaces = tuple(items(vmi_spec, "domain", "devices", "interfaces"))
    causes = [
        Cause(
            NOT_SUPPORTED,
            f"{gate} network binding is discontinued since v1.3. "
            "Please refer to Kubevirt user guide for alternatives.",
        )
        for gate in gates
        if gate in {"Passt", "Macvtap"}
        and any(interface.get(gate.lower()) is not None for interface in interfaces)
    ]
    at = f"{field}.domain.devices.interfaces"
    for index, interface in enumerate(interfaces):
        for name, text in _DISCONTINUED.items():
            if interface.get(name) is not None and (name == "slirp" or version.since("v1.8")):
                causes.append(Cause(INVALID, f"{text} discontinued since v1.3", f"{at}[{index}].{name}"))
    return causes


def network_causes(
    vmi_spec: Mapping[str, Any], configuration: Mapping[str, Any], version: columns.Column, field: str
) -> Iterator[Cause]:
    """List what is refused, in the validator's order. `field`: where the VMI spec stands."""
    networks = tuple(items(vmi_spec, "networks"))
    interfaces = tuple(items(vmi_spec, "domain", "devices", "interfaces"))
    at = f"{field}.domain.devices.interfaces"
    by_name = {str(network.get("name", "")): network for network in networks}
    yield from _sources(networks, field)
    for index, interface in enumerate(interfaces):
        yield from _state(interface, networks, at=f"{at}[{index}]")
    for index, interface in enumerate(interfaces):
        yield from _binding(interface, by_name, configuration, version, at=f"{at}[{index}]")
    yield from _unique_networks(networks, field)
    if version.since("v1.9"):
        yield from _claimed(vmi_spec, configuration, version, field)
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
        on_pod = mapping(by_name.get(names[index])).get("pod") is not None
        yield from interface_causes(
            interface, configuration, version, on_pod=on_pod, field=field, at=f"{at}[{index}]"
        )


def _state(interface: Interface, networks: tuple[Mapping[str, Any], ...], *, at: str) -> Iterator[Cause]:
    state, name = str(interface.get("state") or ""), str(interface.get("name", ""))
    if state not in _STATES:
        text = f"logical {name} interface state value is unsupported: {state}"
        yield Cause(INVALID, text, f"{at}.state")
    words = f'"{name}" interface\'s state "{state}" is'
    if interface.get("sriov") is not None and state in {"down", "up"}:
        yield Cause(INVALID, f"{words} not supported for SR-IOV NICs", f"{at}.state")
    if state != "absent":
        return
    if interface.get("bridge") is None:
        yield Cause(INVALID, f"{words} supported only for bridge binding", f"{at}.state")
    default = next(
        (
            str(network.get("name", ""))
            for network in networks
            if network.get("pod") is not None or mapping(network.get("multus")).get("default")
        ),
        None,
    )
    if default == name:
        yield Cause(INVALID, f"{words} not supported on default networks", f"{at}.state")


def _claimed(
    vmi_spec: Mapping[str, Any], configuration: Mapping[str, Any], version: columns.Column, field: str
) -> Iterator[Cause]:
    """Networks of resource claims (`validateNetworkDevicesWithDRA`)."""
    networks = tuple(items(vmi_spec, "networks"))
    if not any(network.get("resourceClaim") is not None for network in networks):
        return
    if not columns.gate("NetworkDevicesWithDRA", column=version, configuration=configuration, beta=False):
        text = "vmi.spec.networks contains DRA networks but NetworkDevicesWithDRA feature gate is not enabled"
        yield Cause(INVALID, text, f"{field}.networks")
        return
    if any(network.get("multus") is not None for network in networks):
        text = "mixing Multus and DRA resourceClaim networks in the same VMI is not supported"
        yield Cause(INVALID, text, f"{field}.networks")
        return
    claims = {str(claim.get("name", "")) for claim in items(vmi_spec, "resourceClaims")}
    first: dict[tuple[str, str], int] = {}
    for index, network in enumerate(networks):
        if network.get("resourceClaim") is None:
            continue
        name, at = str(network.get("name", "")), f"{field}.networks[{index}]"
        for interface in items(vmi_spec, "domain", "devices", "interfaces"):
            if interface.get("name") == name:
                if interface.get("sriov") is None and interface.get("binding") is None:
                    text = f'DRA network "{name}" requires an SR-IOV or binding plugin interface'
                    yield Cause(INVALID, text, f"{field}.domain.devices.interfaces")
                break
        source = mapping(network["resourceClaim"])
        claim, request = (str(source.get(key) or "") for key in ("claimName", "requestName"))
        for key, value in (("claimName", claim), ("requestName", request)):
            if not value:
                yield Cause(REQUIRED, f"{key} is required for DRA network", f"{at}.resourceClaim.{key}")
        if not claim or not request:
            continue
        if claim not in claims:
            text = f'network references resourceClaim "{claim}" which is not defined in spec.resourceClaims'
            yield Cause(NOT_FOUND, text, f"{at}.resourceClaim.claimName")
        if first.setdefault((claim, request), index) != index:
            text = f'duplicate claimName/requestName combination "{claim}/{request}"'
            yield Cause(DUPLICATE, text, at)


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
    interface: Interface,
    networks: Networks,
    configuration: Mapping[str, Any],
    version: columns.Column,
    *,
    at: str,
) -> Iterator[Cause]:
    name = str(interface.get("name", ""))
    yield from _methods(interface, version, at=at)
    network = mapping(networks.get(name))
    pod = network.get("pod") is not None
    if interface.get("masquerade") is not None and not pod:
        yield Cause(INVALID, "Masquerade interface only implemented with pod network", f"{at}.name")
    if interface.get("masquerade") is not None and interface.get("macAddress") == _BRIDGE_MAC:
        text = "The requested MAC address is reserved for the in-pod bridge. Please choose another one."
        yield Cause(INVALID, text, f"{at}.macAddress")
    permitted = get(configuration, "network", "permitBridgeInterfaceOnPodNetwork") is not False
    if interface.get("bridge") is not None and pod and not permitted:
        text = "Bridge on pod network configuration is not enabled under kubevirt-config"
        yield Cause(INVALID, text, f"{at}.name")
    right = {
        "macvtap": (network.get("multus") is not None, "Multus"),
        "passt": (pod, "pod"),
        "passtBinding": (pod, "pod"),
    }
    for binding, (fits, kind) in right.items():
        if interface.get(binding) is None or (binding == "passtBinding") != version.since("v1.8"):
            continue  # macvtap and passt have been refused on creation alone since v1.8
        gate = binding[0].upper() + binding[1:]
        if not columns.gate(
            gate, column=version, configuration=configuration, beta=binding == "passtBinding"
        ):
            yield Cause(INVALID, f"{gate} feature gate is not enabled", f"{at}.name")
        if not fits:
            yield Cause(INVALID, f"{gate} interface only implemented with {kind} network", f"{at}.name")


def _methods(interface: Interface, version: columns.Column, *, at: str) -> Iterator[Cause]:
    """One way to bind: exactly one since v1.9, and up to v1.8 a plugin and nothing else."""
    name = str(interface.get("name", ""))
    known = _BINDINGS if version.since("v1.8") else (*_BINDINGS[:3], *_DISCONTINUED)
    methods = sum(interface.get(binding) is not None for binding in known)
    plugin = interface.get("binding") is not None
    if version.since("v1.9"):
        if methods + plugin != 1:
            text = f"logical {name} interface must have exactly one binding method or binding plugin"
            yield Cause(INVALID, text, at)
    elif plugin and methods:
        text = f"logical {name} interface cannot have both binding plugin and interface binding method"
        yield Cause(INVALID, text, f"{at}.binding")


def _unique_networks(networks: tuple[Mapping[str, Any], ...], field: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, network in enumerate(networks):
        name = str(network.get("name", ""))
        if name in seen:
            text = f'Network with name "{name}" already exists, every network must have a unique name'
            yield Cause(DUPLICATE, text, f"{field}.networks[{index}].name")
        seen.add(name)

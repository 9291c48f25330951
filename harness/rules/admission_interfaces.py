"""What KubeVirt's create validator refuses of one interface: name, model, addresses, ports, DHCP options, with its words.

Source: KubeVirt pkg/network/admitter/netiface.go, pkg/network/link/mac.go, pkg/util/hardware/hw_utils.go (main).
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from harness.rules import columns
from harness.rules.causes import DUPLICATE, INVALID, NOT_SUPPORTED, REQUIRED, Cause
from harness.rules.names import is_port_name
from harness.rules.vmi import items, mapping

_MODELS: Final = frozenset(("e1000", "e1000e", "igb", "ne2k_pci", "pcnet", "rtl8139", "virtio"))
_NAME: Final = re.compile(r"[A-Za-z0-9\-_]+", re.ASCII)
_PCI: Final = re.compile(r"[\da-fA-F]{4}:[\da-fA-F]{2}:[\da-fA-F]{2}\.[0-7]", re.ASCII)
_HEX: Final = "[0-9a-fA-F]"
_MAC: Final = tuple(
    re.compile(pattern, re.ASCII)
    for bytes_ in (6, 8, 20)
    for pattern in (
        f"{_HEX}{{2}}([:-])(?:{_HEX}{{2}}\\1){{{bytes_ - 2}}}{_HEX}{{2}}",
        rf"(?:{_HEX}{{4}}\.){{{bytes_ // 2 - 1}}}{_HEX}{{4}}",
    )
)
_MAC_DIGITS: Final = 12
_PORTS: Final = 65536
_MOST_RANGES: Final = 10
_PRIVATE_OPTIONS: Final = range(224, 255)


def is_pci_address(text: str) -> bool:
    """Domain, bus, slot and function, as libvirt writes them (`0000:81:01.0`)."""
    return _PCI.fullmatch(text) is not None


def interface_causes(
    interface: Mapping[str, Any],
    configuration: Mapping[str, Any],
    version: columns.Column,
    *,
    on_pod: bool,
    field: str,
    at: str,
) -> Iterator[Cause]:
    """List what is refused, in the validator's order. `on_pod`: its network is the pod's. `at`: where it stands."""
    if not _NAME.fullmatch(str(interface.get("name", ""))):
        text = "Network interface name can only contain alphabetical characters, numbers, dashes (-) or underscores (_)"
        yield Cause(INVALID, text, f"{at}.name")
    model = interface.get("model")
    if model and model not in _MODELS:
        text = f"interface {at}.name uses model {model} that is not supported."
        yield Cause(NOT_SUPPORTED, text, f"{at}.model")
    if (mac := str(interface.get("macAddress") or "")) and (wrong := _wrong_mac(mac)):
        yield Cause(INVALID, f"interface {at}.name has {wrong} MAC address ({mac}).", f"{at}.macAddress")
    if (pci := str(interface.get("pciAddress") or "")) and not is_pci_address(pci):
        yield Cause(INVALID, f"interface {at}.name has malformed PCI address ({pci}).", f"{at}.pciAddress")
    if on_pod:
        yield from _ports(interface, version, at)
    if interface.get("portRanges") is not None:
        yield from _port_ranges(interface, configuration, version, on_pod=on_pod, at=at)
    if interface.get("dhcpOptions") is not None:
        yield from _dhcp(mapping(interface["dhcpOptions"]), field, at)


def _wrong_mac(text: str) -> str:
    """What is wrong with a MAC address, or '' (Go's net.ParseMAC knows 6, 8 and 20 bytes; only 6 are accepted)."""
    if not any(pattern.fullmatch(text) for pattern in _MAC):
        return "malformed"
    return "too long" if len(re.sub(r"[:.\-]", "", text)) > _MAC_DIGITS else ""


def _ports(interface: Mapping[str, Any], version: columns.Column, at: str) -> Iterator[Cause]:
    ports = tuple(items(interface, "ports"))
    names: set[str] = set()
    for index, port in enumerate(ports):
        name = str(port.get("name") or "")
        if name and name in names:
            yield Cause(DUPLICATE, f"Duplicate name of the port: {name}", f"{at}.ports[{index}].name")
        if name and not is_port_name(name):
            yield Cause(INVALID, f"Invalid name of the port: {name}", f"{at}.ports[{index}].name")
        names.add(name)
    exact = version.since("v1.9")
    for index, port in enumerate(ports):
        path, number = f"{at}.ports[{index}]", int(port.get("port") or 0)
        if number == 0:
            yield Cause(REQUIRED, "Port field is mandatory.", f"{path}.port" if exact else path)
        if number < 0 or number >= _PORTS + (not exact):
            text = "Port field must be in range 0 < x < 65536."
            yield Cause(INVALID, text, f"{path}.port" if exact else path)
        if (port.get("protocol") or "") not in {"", "TCP", "UDP"}:
            yield Cause(INVALID, "Unknown protocol, only TCP or UDP allowed", f"{path}.protocol")


def _port_ranges(
    interface: Mapping[str, Any],
    configuration: Mapping[str, Any],
    version: columns.Column,
    *,
    on_pod: bool,
    at: str,
) -> Iterator[Cause]:
    if not columns.gate("PortRangesSpec", column=version, configuration=configuration, beta=False):
        text = "portRanges is specified on interface but the PortRangesSpec feature gate is not enabled"
        yield Cause(INVALID, text, f"{at}.name")
        return
    if not on_pod:
        return
    if interface.get("ports") is not None:
        yield Cause(INVALID, "Cannot define both ports and portRanges on interface", f"{at}.name")
    if interface.get("masquerade") is None:
        yield Cause(INVALID, "portRanges are only supported on masquerade interfaces", f"{at}.name")
    ranges = tuple(items(interface, "portRanges"))
    if len(ranges) > _MOST_RANGES:
        yield Cause(INVALID, f"No more than {_MOST_RANGES} portRanges are allowed", f"{at}.portRanges")
        return
    good: dict[str, list[tuple[int, int]]] = {}
    for index, item in enumerate(ranges):
        path, protocol = f"{at}.portRanges[{index}]", str(item.get("protocol") or "")
        start, end = int(item.get("start") or 0), int(item.get("end") or 0)
        if protocol not in {"TCP", "UDP"}:
            yield Cause(INVALID, "Unknown protocol, only TCP or UDP allowed", f"{path}.protocol")
        elif not 0 < start < _PORTS:
            yield Cause(INVALID, "Start must be a valid port number, 0 < x < 65536", f"{path}.start")
        elif not 0 < end < _PORTS:
            yield Cause(INVALID, "End must be a valid port number, 0 < x < 65536", f"{path}.end")
        elif start > end:
            yield Cause(INVALID, "Start must be less than or equal to end", f"{path}.start")
        else:
            good.setdefault(protocol, []).append((start, end))
    for protocol, spans in good.items():
        spans.sort()
        for (start, end), (later, last) in itertools.pairwise(spans):
            if later <= end:
                text = f"{protocol} portRanges [{start}-{end}] and [{later}-{last}] overlap"
                yield Cause(INVALID, text, f"{at}.portRanges")


def _dhcp(options: Mapping[str, Any], field: str, at: str) -> Iterator[Cause]:
    private = [int(option.get("option") or 0) for option in items(options, "privateOptions")]
    if len(set(private)) < len(private):
        text = "Found Duplicates: you have provided duplicate DHCPPrivateOptions"
        yield Cause(INVALID, text, field)
    for option in private:
        if option not in _PRIVATE_OPTIONS:
            text = "provided DHCPPrivateOptions are out of range, must be in range 224 to 254"
            yield Cause(INVALID, text, field)
    for index, server in enumerate(options.get("ntpServers") or ()):
        if not _is_ipv4(str(server)):
            text = "NTP servers must be a list of valid IPv4 addresses."
            yield Cause(INVALID, text, f"{at}.dhcpOptions.ntpServers[{index}]")


def _is_ipv4(text: str) -> bool:
    """As Go's net.ParseIP(…).To4(): an IPv4 address, or one mapped into IPv6."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.version == 4 or address.ipv4_mapped is not None

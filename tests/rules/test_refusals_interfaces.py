"""What the create validator answers to interfaces it refuses: addresses, ports, DHCP options, states, claims, by version.

Source: KubeVirt pkg/network/admitter/{netiface,admit,binding,dra}.go of v1.6.0, v1.7.0, v1.8.0, v1.9.0 and main.
"""

from __future__ import annotations

from typing import Any

import pytest

from harness.rules.admission import validate_vmi
from harness.rules.defaults import default_vmi

_AT = "spec.domain.devices.interfaces[0]"


def _causes(
    interface: dict[str, Any],
    *,
    column: str = "main",
    network: dict[str, Any] | None = None,
    configuration: dict[str, Any] | None = None,
    **spec: Any,
) -> list[tuple[str, str]]:
    """Fields and messages, each once: interfaces are checked twice."""
    vmi = {
        "metadata": {},
        "spec": {
            "domain": {
                "devices": {"interfaces": [{"name": "a", **interface}]},
                "memory": {"guest": "1Gi"},
            },
            "networks": [{"name": "a", **(network or {"pod": {}})}],
            **spec,
        },
    }
    configuration = configuration or {}
    defaulted = default_vmi(vmi, column=column, configuration=configuration)
    causes = validate_vmi(defaulted, column=column, configuration=configuration)
    counts = {cause: causes.count(cause) for cause in causes}
    assert set(counts.values()) <= {1, 2}
    return [(cause.field, cause.message) for cause in counts]


@pytest.mark.parametrize(
    ("mac", "wrong"),
    [
        ("02:00:00:00:00:01", ""),
        ("02-00-00-00-00-01", ""),
        ("0200.0000.0001", ""),
        ("02:00:00:00:00", "malformed"),
        ("02:00:00:00:00:0g", "malformed"),
        ("02:00:00-00:00:01", "malformed"),
        ("0200:0000:0001", "malformed"),
        ("02:00:00:00:00:01:02", "malformed"),
        ("02:00:00:00:00:00:00:01", "too long"),
        ("0200.0000.0000.0001", "too long"),
        (":".join(["02"] * 20), "too long"),
    ],
)
def test_mac_addresses(mac: str, wrong: str) -> None:
    expected = [(f"{_AT}.macAddress", f"interface {_AT}.name has {wrong} MAC address ({mac}).")]
    assert _causes({"bridge": {}, "macAddress": mac}) == (expected if wrong else [])


def test_the_bridges_own_mac_is_reserved_for_masquerade() -> None:
    mac = "02:00:00:00:00:00"
    text = "The requested MAC address is reserved for the in-pod bridge. Please choose another one."
    assert _causes({"masquerade": {}, "macAddress": mac}) == [(f"{_AT}.macAddress", text)]
    assert _causes({"bridge": {}, "macAddress": mac}) == []


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("0000:81:01.0", True),
        ("0000:Af:1f.7", True),
        ("0000:81:01.8", False),
        ("81:01.0", False),
        ("0000:81:01.10", False),
    ],
)
def test_pci_addresses(address: str, good: bool) -> None:
    text = f"interface {_AT}.name has malformed PCI address ({address})."
    expected = [] if good else [(f"{_AT}.pciAddress", text)]
    assert _causes({"bridge": {}, "pciAddress": address}) == expected


def test_ports() -> None:
    ports = [
        {"name": "http", "port": 80},
        {"name": "http", "port": 65536},
        {"name": "No", "port": 0, "protocol": "SCTP"},
        {"name": "a--b", "port": -1},
        {"name": "123", "port": 65535, "protocol": "UDP"},
        {"name": "sixteen-letters-", "port": 1, "protocol": "TCP"},
    ]
    assert _causes({"bridge": {}, "ports": ports}) == [
        (f"{_AT}.ports[1].name", "Duplicate name of the port: http"),
        (f"{_AT}.ports[2].name", "Invalid name of the port: No"),
        (f"{_AT}.ports[3].name", "Invalid name of the port: a--b"),
        (f"{_AT}.ports[4].name", "Invalid name of the port: 123"),
        (f"{_AT}.ports[5].name", "Invalid name of the port: sixteen-letters-"),
        (f"{_AT}.ports[1].port", "Port field must be in range 0 < x < 65536."),
        (f"{_AT}.ports[2].port", "Port field is mandatory."),
        (f"{_AT}.ports[2].protocol", "Unknown protocol, only TCP or UDP allowed"),
        (f"{_AT}.ports[3].port", "Port field must be in range 0 < x < 65536."),
    ]


def test_ports_up_to_v1_8_accept_65536_and_point_to_the_entry() -> None:
    ports = [{"port": 65536}, {"port": 65537}, {}]
    assert _causes({"bridge": {}, "ports": ports}, column="v1.8") == [
        (f"{_AT}.ports[1]", "Port field must be in range 0 < x < 65536."),
        (f"{_AT}.ports[2]", "Port field is mandatory."),
    ]


def test_ports_of_other_networks_are_not_looked_at() -> None:
    multus = {"multus": {"networkName": "b"}}
    assert _causes({"bridge": {}, "ports": [{"port": 0}]}, network=multus) == []


def test_port_ranges_want_a_gate() -> None:
    assert _causes({"masquerade": {}, "portRanges": [{"start": 1, "end": 2, "protocol": "TCP"}]}) == [
        (
            f"{_AT}.name",
            "portRanges is specified on interface but the PortRangesSpec feature gate is not enabled",
        )
    ]


def test_port_ranges() -> None:
    ranges = [
        {"start": 80, "end": 90, "protocol": "TCP"},
        {"start": 1, "end": 2, "protocol": "SCTP"},
        {"start": 0, "end": 2, "protocol": "TCP"},
        {"start": 1, "end": 65536, "protocol": "UDP"},
        {"start": 9, "end": 8, "protocol": "UDP"},
        {"start": 85, "end": 100, "protocol": "TCP"},
        {"start": 85, "end": 100, "protocol": "UDP"},
    ]
    configuration = {"developerConfiguration": {"featureGates": ["PortRangesSpec"]}}
    assert _causes({"bridge": {}, "ports": [], "portRanges": ranges}, configuration=configuration) == [
        (f"{_AT}.name", "Cannot define both ports and portRanges on interface"),
        (f"{_AT}.name", "portRanges are only supported on masquerade interfaces"),
        (f"{_AT}.portRanges[1].protocol", "Unknown protocol, only TCP or UDP allowed"),
        (f"{_AT}.portRanges[2].start", "Start must be a valid port number, 0 < x < 65536"),
        (f"{_AT}.portRanges[3].end", "End must be a valid port number, 0 < x < 65536"),
        (f"{_AT}.portRanges[4].start", "Start must be less than or equal to end"),
        (f"{_AT}.portRanges", "TCP portRanges [80-90] and [85-100] overlap"),
    ]
    many = [{"start": n, "end": n, "protocol": "TCP"} for n in range(1, 12)]
    assert _causes({"masquerade": {}, "portRanges": many}, configuration=configuration) == [
        (f"{_AT}.portRanges", "No more than 10 portRanges are allowed")
    ]


def test_dhcp_options() -> None:
    options = {
        "privateOptions": [
            {"option": 240, "value": "a"},
            {"option": 240, "value": "b"},
            {"option": 255, "value": "c"},
        ],
        "ntpServers": ["10.0.0.1", "::ffff:10.0.0.1", "fe80::1", "time"],
    }
    assert _causes({"bridge": {}, "dhcpOptions": options}) == [
        ("spec", "Found Duplicates: you have provided duplicate DHCPPrivateOptions"),
        ("spec", "provided DHCPPrivateOptions are out of range, must be in range 224 to 254"),
        (f"{_AT}.dhcpOptions.ntpServers[2]", "NTP servers must be a list of valid IPv4 addresses."),
        (f"{_AT}.dhcpOptions.ntpServers[3]", "NTP servers must be a list of valid IPv4 addresses."),
    ]


@pytest.mark.parametrize(
    ("interface", "messages"),
    [
        ({"bridge": {}, "state": "up"}, []),
        ({"bridge": {}, "state": "sideways"}, ["logical a interface state value is unsupported: sideways"]),
        ({"sriov": {}, "state": "down"}, ['"a" interface\'s state "down" is not supported for SR-IOV NICs']),
        (
            {"masquerade": {}, "state": "absent"},
            [
                '"a" interface\'s state "absent" is supported only for bridge binding',
                '"a" interface\'s state "absent" is not supported on default networks',
            ],
        ),
    ],
)
def test_states(interface: dict[str, Any], messages: list[str]) -> None:
    assert [message for _, message in _causes(interface)] == messages


def test_networks_of_resource_claims() -> None:
    claim = {"resourceClaim": {"claimName": "c", "requestName": "r"}}
    assert _causes({"sriov": {}}, network=claim) == [
        (
            "spec.networks",
            "vmi.spec.networks contains DRA networks but NetworkDevicesWithDRA feature gate is not enabled",
        )
    ]
    configuration = {"developerConfiguration": {"featureGates": ["NetworkDevicesWithDRA"]}}
    assert _causes({"bridge": {}}, network=claim, configuration=configuration) == [
        ("spec.domain.devices.interfaces", 'DRA network "a" requires an SR-IOV or binding plugin interface'),
        (
            "spec.networks[0].resourceClaim.claimName",
            'network references resourceClaim "c" which is not defined in spec.resourceClaims',
        ),
    ]
    half = {"resourceClaim": {"claimName": "c"}}
    assert _causes({"sriov": {}}, network=half, configuration=configuration) == [
        ("spec.networks[0].resourceClaim.requestName", "requestName is required for DRA network")
    ]
    claims = [{"name": "c", "resourceClaimName": "x"}]
    assert _causes({"sriov": {}}, network=claim, configuration=configuration, resourceClaims=claims) == []


_GONE = "has been discontinued since v1.3"


@pytest.mark.parametrize(
    ("interface", "column", "messages"),
    [
        ({"slirp": {}}, "v1.6", [f"Slirp interface support {_GONE}"]),
        ({"slirp": {}}, "v1.7", [f"Slirp interface support {_GONE}"]),
        ({"slirp": {}}, "v1.8", [f"Slirp interface support {_GONE}"]),
        ({"passt": {}}, "v1.7", ["Passt feature gate is not enabled"]),
        ({"passt": {}}, "v1.8", [f"Passt network binding {_GONE}"]),
        (
            {"macvtap": {}},
            "v1.7",
            [
                "Macvtap feature gate is not enabled",
                "Macvtap interface only implemented with Multus network",
            ],
        ),
        ({"macvtap": {}}, "v1.8", [f"Macvtap network binding {_GONE}"]),
        (
            {"macvtap": {}},
            "v1.9",
            [
                f"Macvtap network binding {_GONE}",
                "logical a interface must have exactly one binding method or binding plugin",
            ],
        ),
        (
            {"slirp": {}, "binding": {"name": "x"}},
            "v1.7",
            [
                f"Slirp interface support {_GONE}",
                "logical a interface cannot have both binding plugin and interface binding method",
            ],
        ),
        ({"slirp": {}, "binding": {"name": "x"}}, "v1.8", [f"Slirp interface support {_GONE}"]),
        ({"slirp": {}, "bridge": {}}, "v1.8", [f"Slirp interface support {_GONE}"]),
        ({"slirp": {}, "bridge": {}}, "v1.9", [f"Slirp interface support {_GONE}"]),
        ({"bridge": {}, "masquerade": {}}, "v1.8", []),
        (
            {"bridge": {}, "masquerade": {}},
            "v1.9",
            ["logical a interface must have exactly one binding method or binding plugin"],
        ),
        (
            {"bridge": {}, "binding": {"name": "x"}},
            "v1.8",
            ["logical a interface cannot have both binding plugin and interface binding method"],
        ),
        ({}, "v1.8", []),
        ({}, "main", ["logical a interface must have exactly one binding method or binding plugin"]),
    ],
)
def test_bindings_of_each_version(interface: dict[str, Any], column: str, messages: list[str]) -> None:
    assert [message for _, message in _causes(interface, column=column)] == messages


def test_a_discontinued_gate_is_told_where_its_binding_is_used() -> None:
    configuration = {"developerConfiguration": {"featureGates": ["Passt", "Macvtap"]}}
    text = (
        "Passt network binding is discontinued since v1.3. "
        "Please refer to Kubevirt user guide for alternatives."
    )
    assert _causes({"passt": {}}, column="v1.7", configuration=configuration) == [("", text)]
    assert _causes({"bridge": {}}, column="v1.7", configuration=configuration) == []

"""Bad input: one line with file, line and column each, and what was probably meant."""

from __future__ import annotations

import pytest

from harness.explain.settings import read_kubelet, read_kubevirt
from harness.explain.sources import read_manifest, unit

_HEAD = "apiVersion: kubevirt.io/v1\nkind: VirtualMachineInstance\nmetadata: {name: a}\nspec:\n  domain:\n"
_REGEX = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


def _lines(text: str) -> list[str]:
    return [str(mistake) for mistake in read_manifest(text, "a.yaml").mistakes]


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (
            "    devices:\n      autottachGraphicsDevice: false\n",
            "a.yaml:7:7: unknown field \"spec.domain.devices.autottachGraphicsDevice\" (did you mean 'autoattachGraphicsDevice'?)",
        ),
        (
            "    devices: {}\n    memory: {guest: 1GiB}\n",
            f"a.yaml:7:21: spec.domain.memory.guest: '1GiB' is no quantity: {_REGEX} (did you mean '1Gi'?)",
        ),
        (
            "    devices: {}\n    memory:\n      guest: 128Mb\n",
            f"a.yaml:8:14: spec.domain.memory.guest: '128Mb' is no quantity: {_REGEX} (did you mean '128M'?)",
        ),
        (
            "    devices: {}\n    memory: {guest: 64K}\n",
            (
                "a.yaml:7:21: spec.domain.memory.guest: '64K' is no quantity: unable to parse quantity's suffix "
                "(did you mean '64k'?)"
            ),
        ),
        (
            "    devices: {}\n    memory: {guest: -1Mi}\n",
            "a.yaml:7:21: spec.domain.memory.guest: '-1Mi' is negative",
        ),
        (
            "    devices: {}\n    resources: {requests: {memory: -64Mi}}\n",
            "a.yaml:7:36: spec.domain.resources.requests.memory: '-64Mi' is negative",
        ),
        (
            "    devices: {autoattachGraphicsDevice: 'false'}\n",
            (
                "a.yaml:6:41: spec.domain.devices.autoattachGraphicsDevice must be of type boolean, found string "
                "(did you mean 'false'?)"
            ),
        ),
        (
            "    devices: {}\n    cpu: {cores: '2'}\n",
            "a.yaml:7:18: spec.domain.cpu.cores must be of type integer, found string (did you mean '2'?)",
        ),
        (
            "    devices: {}\n    overcommitGuestOverhead: true\n",
            'a.yaml:7:5: unknown field "spec.domain.overcommitGuestOverhead"; there is spec.domain.resources.overcommitGuestOverhead',
        ),
    ],
)
def test_field_mistakes(body: str, line: str) -> None:
    assert _lines(_HEAD + body) == [line]


def test_a_missing_field_points_to_where_it_belongs() -> None:
    assert _lines(_HEAD + "    memory: {guest: 1Gi}\n") == ["a.yaml:5:3: spec.domain.devices is required"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "a.yaml:1:1: the file is empty"),
        ("\n \n", "a.yaml:1:1: the file is empty"),
        ("# nothing\n", "a.yaml:1:1: the file holds only comments"),
        (
            _HEAD + "    devices: {}\n---\nkind: Pod\n",
            "a.yaml:8:1: a second YAML document begins here; one document a file",
        ),
        (
            "apiVersion: v1\nkind: Pod\n",
            "a.yaml:2:7: kind 'Pod' is not a VirtualMachineInstance or a VirtualMachine",
        ),
        (
            "apiVersion: kubevirt.io/v1\nkind: VirtualMachineInstanc\n",
            (
                "a.yaml:2:7: kind 'VirtualMachineInstanc' is not a VirtualMachineInstance or a VirtualMachine "
                "(did you mean 'VirtualMachineInstance'?)"
            ),
        ),
        ("spec: {}\n", "a.yaml:1:1: no kind; expected a VirtualMachineInstance or a VirtualMachine"),
        ("[1, 2]\n", "a.yaml:1:1: a list; expected a VirtualMachineInstance or a VirtualMachine"),
        ("just text\n", "a.yaml:1:1: no mapping; expected a VirtualMachineInstance or a VirtualMachine"),
        (
            "apiVersion: kubevirt.io/v2\nkind: VirtualMachineInstance\n",
            "a.yaml:1:13: apiVersion 'kubevirt.io/v2' is not served (did you mean 'kubevirt.io/v1'?)",
        ),
        ("kind: VirtualMachineInstance\n", "a.yaml:1:1: no apiVersion; expected kubevirt.io/v1"),
        ("apiVersion: kubevirt.io/v1\nkind: VirtualMachineInstance\n", "a.yaml:1:1: spec is missing"),
        (
            "apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nspec:\n  template: {spec: {}}\n",
            "a.yaml:4:14: spec.template.spec.domain is missing",
        ),
        (
            "apiVersion: kubevirt.io/v1\nkind: VirtualMachineInstance\nspec: {domain: 7}\n",
            "a.yaml:3:16: spec.domain is not a mapping",
        ),
        ("a: b: c\n", "a.yaml:1:5: not YAML: mapping values are not allowed here"),
        (
            _HEAD + "    devices: {}\n    devices: {}\n",
            "a.yaml:7:5: duplicate key 'devices', first in line 6",
        ),
    ],
)
def test_other_mistakes(text: str, line: str) -> None:
    assert _lines(text) == [line]


def test_mistakes_stand_in_file_order_and_all_of_them() -> None:
    body = "    memory: {guest: 1GB, gest: 1Gi}\n    devices: {autottachGraphicsDevice: false}\n"
    assert [(m.line, m.column) for m in read_manifest(_HEAD + body, "a").mistakes] == [
        (6, 21),
        (6, 26),
        (7, 15),
    ]


def test_the_quick_parser_agrees_with_the_careful_one() -> None:
    """What PyYAML alone would read otherwise: sexagesimal numbers, dates, keys like `on`."""
    manifest = read_manifest(
        _HEAD.replace("{name: a}", "{name: a, labels: {on: '1', at: 2020-01-01}}")
        + "    devices: {}\n    memory: {guest: 1:30}\n",
        "a",
    )
    assert manifest.object is not None
    assert manifest.object["metadata"]["labels"] == {"on": "1", "at": "2020-01-01"}
    assert [m.line for m in manifest.mistakes] == [7]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1GiB", "1Gi"),
        ("1gb", "1G"),
        ("128Mb", "128M"),
        ("64K", "64k"),
        ("1 Gi", "1Gi"),
        ("x", None),
        ("1foo", None),
        (True, None),
    ],
)
def test_units(written: object, meant: str | None) -> None:
    assert unit(written) == meant


def test_a_quoted_percentage_is_refused_and_not_in_force() -> None:
    text = 'apiVersion: kubevirt.io/v1\nkind: KubeVirt\nspec:\n  configuration:\n    developerConfiguration: {memoryOvercommit: "150"}\n'
    settings = read_kubevirt(text, "cr.yaml")
    assert settings.quoted_overcommit
    assert settings.value == {"developerConfiguration": {}}
    assert [str(m) for m in settings.mistakes] == [
        (
            "cr.yaml:5:48: spec.configuration.developerConfiguration.memoryOvercommit must be of type integer, found string "
            "(did you mean '150'?)"
        )
    ]


@pytest.mark.parametrize(
    ("text", "value", "lines"),
    [
        (
            "developerConfiguration: {memoryOvercommit: 150}\n",
            {"developerConfiguration": {"memoryOvercommit": 150}},
            [],
        ),
        (
            "configuration: {developerConfiguration: {memoryOvercommit: 150}}\n",
            {"developerConfiguration": {"memoryOvercommit": 150}},
            [],
        ),
        (
            "developerConfiguration: {memoryOvercommit: 9}\n",
            {"developerConfiguration": {}},
            [
                "k:1:44: 9: spec.configuration.developerConfiguration.memoryOvercommit in body should be greater than or equal to 10"
            ],
        ),
        (
            "developerConfiguration: {memory-overcommit: 150}\n",
            {"developerConfiguration": {"memory-overcommit": 150}},
            [
                "k:1:26: unknown field \"developerConfiguration.memory-overcommit\" (did you mean 'memoryOvercommit'?)"
            ],
        ),
        (
            "additionalGuestMemoryOverheadRatio: abc\n",
            {},
            [
                'k:1:37: ratio provided, abc, cannot be parsed into float: strconv.ParseFloat: parsing "abc": invalid syntax'
            ],
        ),
        (
            "kind: ConfigMap\ndata: {memory-overcommit: '150'}\n",
            {},
            [
                "k:1:7: ConfigMap kubevirt-config is not read any more; its settings stand in the KubeVirt CR under spec.configuration"
            ],
        ),
        (
            "developerConfiguration: {cpuAllocationRatio: many, useEmulation: true}\n",
            {"developerConfiguration": {"useEmulation": True}},
            ["k:1:46: developerConfiguration.cpuAllocationRatio must be of type integer, found string"],
        ),
        (
            "developerConfiguration: 7\n",
            {},
            ["k:1:25: developerConfiguration must be of type object, found integer"],
        ),
        ("kind: Pod\n", {}, ["k:1:7: kind 'Pod' is not KubeVirt"]),
        ("[]\n", {}, ["k:1:1: expected a KubeVirt CR"]),
        ("", {}, ["k:1:1: the file is empty"]),
    ],
)
def test_kubevirt_settings(text: str, value: dict[str, object], lines: list[str]) -> None:
    settings = read_kubevirt(text, "k")
    assert settings.value == value
    assert [str(m) for m in settings.mistakes] == lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("evictionHard: {memory.available: 200Mi}\n", []),
        ("kind: KubeletConfiguration\napiVersion: kubelet.config.k8s.io/v1beta1\n", []),
        (
            "kubeletReserved: {memory: 1Gi}\n",
            [
                "k:1:1: the kubelet knows no 'kubeletReserved' and goes on without it (did you mean 'kubeReserved'?)"
            ],
        ),
        (
            "evictionHardd: {}\n",
            [
                "k:1:1: the kubelet knows no 'evictionHardd' and goes on without it (did you mean 'evictionHard'?)"
            ],
        ),
        ("maxPods: many\n", ["k:1:10: maxPods must be of type integer, found string"]),
        ("evictionHard: 5\n", ["k:1:15: evictionHard must be of type object, found integer"]),
        ("kind: KubeVirt\n", ["k:1:7: kind 'KubeVirt' is not KubeletConfiguration"]),
        ("- 1\n", ["k:1:1: expected a KubeletConfiguration"]),
    ],
)
def test_kubelet_settings(text: str, lines: list[str]) -> None:
    assert [str(m) for m in read_kubelet(text, "k").mistakes] == lines


def test_a_field_newer_than_the_version_is_named_with_the_version_that_brought_it() -> None:
    text = _HEAD + "    devices: {}\n    memory: {guest: 1Gi, reservedOverhead: {addedOverhead: 1Mi}}\n"
    assert read_manifest(text, "a.yaml", column="v1.8").mistakes == ()
    assert [str(mistake) for mistake in read_manifest(text, "a.yaml", column="v1.7").mistakes] == [
        'a.yaml:7:26: unknown field "spec.domain.memory.reservedOverhead"; KubeVirt has it since v1.8'
    ]
    settings = "developerConfiguration:\n  disabledFeatureGates: [ImageVolume]\n"
    assert read_kubevirt(settings, "k.yaml", column="v1.8").mistakes == ()
    assert [str(mistake) for mistake in read_kubevirt(settings, "k.yaml", column="v1.7").mistakes] == [
        (
            'k.yaml:2:3: unknown field "developerConfiguration.disabledFeatureGates"; KubeVirt has it since v1.8 '
            "(did you mean 'featureGates'?)"
        )
    ]

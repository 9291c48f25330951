from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness.embedded.api.columns import columns
from harness.embedded.api.durations import human, since
from harness.embedded.api.resources import (
    CONFIG_MAPS,
    EVENTS,
    KUBEVIRTS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    VIRTUALMACHINEINSTANCES,
    VIRTUALMACHINES,
)

NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
RECORDED = Path(__file__).parents[2] / "recordings" / "kind-1.36-kubevirt-hard-eviction.ndjson.gz"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-0.5, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (330, "5m30s"),
        (600, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (11520, "3h12m"),
        (28800, "8h"),
        (172799, "47h"),
        (172800, "2d"),
        (187200, "2d4h"),
        (691200, "8d"),
        (2 * 365 * 86400, "2y"),
        (2 * 365 * 86400 + 34 * 86400, "2y34d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    assert human(seconds) == text


@pytest.mark.parametrize(
    ("stamp", "text"),
    [
        (None, "<unknown>"),
        ("soon", "<unknown>"),
        ("2026-05-04T11:59:00Z", "60s"),
        ("2026-05-04T11:59:00.500000Z", "59s"),
        ("2026-05-04T11:59:00", "60s"),
    ],
)
def test_since(stamp: str | None, text: str) -> None:
    assert since(stamp, NOW) == text


def container(name: str, *, ready: bool = True, restarts: int = 0, **state: Any) -> dict[str, Any]:
    return {"name": name, "ready": ready, "restartCount": restarts, "state": state or {"running": {}}}


def pod(
    status: dict[str, Any], *, inits: list[dict[str, Any]] | None = None, **metadata: Any
) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", **metadata},
        "spec": {"containers": [{"name": "c"}], "initContainers": inits or []},
        "status": status,
    }


@pytest.mark.parametrize(
    ("obj", "cells"),
    [
        pytest.param(pod({"phase": "Pending"}), ["0/1", "Pending", "0"], id="pending"),
        pytest.param(
            pod({"phase": "Running", "containerStatuses": [container("c")]}),
            ["1/1", "Running", "0"],
            id="running",
        ),
        pytest.param(
            pod({"phase": "Failed", "reason": "Evicted", "message": "m"}),
            ["0/1", "Evicted", "0"],
            id="evicted",
        ),
        pytest.param(
            pod(
                {"phase": "Running", "containerStatuses": [container("c")]},
                deletionTimestamp="2026-05-04T12:00:00Z",
            ),
            ["1/1", "Terminating", "0"],
            id="terminating",
        ),
        pytest.param(
            pod(
                {
                    "phase": "Failed",
                    "containerStatuses": [
                        container("c", ready=False, terminated={"reason": "OOMKilled", "exitCode": 137})
                    ],
                }
            ),
            ["0/1", "OOMKilled", "0"],
            id="oom",
        ),
        pytest.param(
            pod(
                {
                    "phase": "Failed",
                    "containerStatuses": [
                        container("c", ready=False, restarts=2, terminated={"exitCode": 3})
                    ],
                }
            ),
            ["0/1", "ExitCode:3", "2"],
            id="exit code",
        ),
        pytest.param(
            pod(
                {
                    "phase": "Pending",
                    "initContainerStatuses": [
                        container("i", ready=False, waiting={"reason": "PodInitializing"})
                    ],
                },
                inits=[{"name": "i"}],
            ),
            ["0/1", "Init:0/1", "0"],
            id="initializing",
        ),
        pytest.param(
            pod(
                {
                    "phase": "Running",
                    "initContainerStatuses": [{**container("log"), "started": True}],
                    "containerStatuses": [container("c")],
                },
                inits=[{"name": "log", "restartPolicy": "Always"}],
            ),
            ["2/2", "Running", "0"],
            id="a sidecar counts",
        ),
    ],
)
def test_pods(obj: dict[str, Any], cells: list[str]) -> None:
    assert columns(PODS).row(obj, NOW)[1:4] == cells


def test_nodes() -> None:
    node = {
        "metadata": {
            "name": "n",
            "labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""},
            "creationTimestamp": "2026-05-04T11:00:00Z",
        },
        "spec": {"unschedulable": True},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            "nodeInfo": {"kubeletVersion": "v1.36.2"},
        },
    }
    assert columns(NODES).row(node, NOW)[:6] == [
        "n",
        "Ready,SchedulingDisabled",
        "control-plane,worker",
        "60m",
        "v1.36.2",
        "10.0.0.1",
    ]


def test_vmis_and_kubevirts() -> None:
    vmi = {
        "metadata": {"name": "v", "creationTimestamp": "2026-05-04T11:59:18Z"},
        "status": {
            "phase": "Running",
            "nodeName": "n",
            "interfaces": [{"ipAddress": "10.1.0.9"}],
            "conditions": [
                {"type": "Ready", "status": "True"},
                {"type": "LiveMigratable", "status": "False"},
            ],
        },
    }
    assert [name for name, _, priority in columns(VIRTUALMACHINEINSTANCES).definitions if not priority] == [
        "Name",
        "Age",
        "Phase",
        "IP",
        "NodeName",
        "Ready",
    ]
    assert columns(VIRTUALMACHINEINSTANCES).row(vmi, NOW) == [
        "v", "42s", "Running", "10.1.0.9", "n", "True", "False", "",
    ]  # fmt: skip
    kubevirt = {"metadata": {"name": "kubevirt"}, "status": {"phase": "Deployed"}}
    assert columns(KUBEVIRTS).row(kubevirt, NOW) == ["kubevirt", "<unknown>", "Deployed"]


def test_events() -> None:
    event = {
        "metadata": {"name": "e"},
        "type": "Warning",
        "reason": "Evicted",
        "message": "The node was low on resource: memory. \n",
        "involvedObject": {"kind": "Pod", "name": "p"},
        "source": {"component": "kubelet", "host": "n"},
        "firstTimestamp": "2026-05-04T11:55:00Z",
        "lastTimestamp": "2026-05-04T11:59:30Z",
        "count": 3,
    }
    assert columns(EVENTS).row(event, NOW) == [
        "30s (x3 over 5m)",
        "Warning",
        "Evicted",
        "pod/p",
        "",
        "kubelet, n",
        "The node was low on resource: memory.",
        "5m",
        3,
        "e",
    ]


def test_every_recorded_object_has_a_row_as_long_as_its_header() -> None:
    by_kind = {
        "Node": NODES,
        "Pod": PODS,
        "Event": EVENTS,
        "VirtualMachineInstance": VIRTUALMACHINEINSTANCES,
        "KubeVirt": KUBEVIRTS,
    }
    seen = set()
    with gzip.open(RECORDED) as lines:
        for line in lines:
            record = json.loads(line)
            obj = record.get("object")
            if record.get("stream") != "watch" or obj["kind"] not in by_kind:
                continue
            shape = columns(by_kind[obj["kind"]])
            assert len(shape.row(obj, NOW)) == len(shape.definitions)
            seen.add(obj["kind"])
    assert seen == set(by_kind)


def test_config_maps_count_their_data() -> None:
    meta = {"name": "kubevirt-config", "creationTimestamp": "2026-05-04T09:00:00Z"}
    made = {"metadata": meta, "data": {"a": "1", "b": "2"}, "binaryData": {"c": "AA=="}}
    shape = columns(CONFIG_MAPS)
    assert [name for name, _, _ in shape.definitions] == ["Name", "Data", "Age"]
    assert shape.row(made, NOW) == ["kubevirt-config", "3", "3h"]


@pytest.mark.parametrize("resource", [NAMESPACES, LEASES, CONFIG_MAPS])
def test_sparse_objects_have_rows_too(resource: Any) -> None:
    shape = columns(resource)
    assert len(shape.row({"metadata": {"name": "x"}}, NOW)) == len(shape.definitions)


@pytest.mark.parametrize(
    ("status", "cells"),
    [
        ({}, ["vm-a", "3h", "", ""]),
        (
            {"printableStatus": "ErrorUnschedulable", "conditions": [{"type": "Ready", "status": "False"}]},
            ["vm-a", "3h", "ErrorUnschedulable", "False"],
        ),
    ],
)
def test_virtual_machines(status: dict[str, Any], cells: list[Any]) -> None:
    shape = columns(VIRTUALMACHINES)
    assert [name for name, _, priority in shape.definitions if not priority] == [
        "Name",
        "Age",
        "Status",
        "Ready",
    ]
    vm = {"metadata": {"name": "vm-a", "creationTimestamp": "2026-05-04T09:00:00Z"}, "status": status}
    assert shape.row(vm, NOW) == cells

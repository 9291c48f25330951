"""What QEMU a VMI means."""

from typing import Any

import pytest

from harness.embedded.kubelet.guests import guest_shape
from harness.embedded.kubelet.shapes import pod_shape
from harness.rules.errors import RulesError
from harness.units import Bytes

GI = 1 << 30


def vmi(*, annotations: dict[str, str] | None = None, **domain: Any) -> dict[str, Any]:
    devices = domain.pop("devices", {})
    return {
        "metadata": {"name": "a", "namespace": "ns", "annotations": annotations},
        "spec": {"domain": {"memory": {"guest": "1Gi"}, "devices": devices, **domain}},
    }


def test_a_plain_vmi() -> None:
    shape = guest_shape(vmi(), {})
    assert (shape.name, shape.memory, shape.vcpus) == ("ns_a", GI, 1)
    assert shape.graphics
    assert shape.free_page_reporting
    assert shape.mem_merge
    assert not shape.deaf
    assert not shape.nonce


def test_what_the_harness_asks_of_the_agent_stands_in_annotations() -> None:
    shape = guest_shape(vmi(annotations={"density.dev/nonce": "ab12", "density.dev/deaf": "1"}), {})
    assert (shape.nonce, shape.deaf) == ("ab12", True)


@pytest.mark.parametrize(
    ("manifest", "configuration"),
    [
        (vmi(annotations={"kubevirt.io/free-page-reporting-disabled": "true"}), {}),
        (vmi(devices={"autoattachMemBalloon": False}), {}),
        (vmi(cpu={"dedicatedCpuPlacement": True}), {}),
        (vmi(cpu={"realtime": {}}), {}),
        (vmi(memory={"guest": "1Gi", "hugepages": {"pageSize": "2Mi"}}), {}),
        (vmi(), {"virtualMachineOptions": {"disableFreePageReporting": {}}}),
    ],
)
def test_free_page_reporting_is_off(manifest: dict[str, Any], configuration: dict[str, Any]) -> None:
    assert not guest_shape(manifest, configuration).free_page_reporting


@pytest.mark.parametrize(
    ("devices", "balloon", "reporting"),
    [
        ({}, True, True),
        ({"autoattachMemBalloon": True}, True, True),
        ({"autoattachMemBalloon": None}, True, True),
        ({"autoattachMemBalloon": False}, False, False),
    ],
)
def test_the_balloon_is_there_unless_it_is_said_not_to_be(
    devices: dict[str, Any], balloon: bool, reporting: bool
) -> None:
    shape = guest_shape(vmi(devices=devices), {})
    assert (shape.balloon, shape.free_page_reporting) == (balloon, reporting)


def test_a_balloon_stays_where_only_reporting_is_switched_off() -> None:
    shape = guest_shape(vmi(annotations={"kubevirt.io/free-page-reporting-disabled": "true"}), {})
    assert (shape.balloon, shape.free_page_reporting) == (True, False)


def test_memory_is_not_mergeable_where_it_is_shared() -> None:
    assert not guest_shape(vmi(devices={"filesystems": [{"name": "f", "virtiofs": {}}]}), {}).mem_merge
    assert not guest_shape(vmi(cpu={"realtime": {}, "numa": {}}), {}).mem_merge
    assert guest_shape(vmi(cpu={"realtime": {}}), {}).mem_merge


def test_topology_and_graphics() -> None:
    shape = guest_shape(
        vmi(cpu={"sockets": 2, "cores": 2, "threads": 1}, devices={"autoattachGraphicsDevice": False}), {}
    )
    assert (shape.vcpus, shape.graphics) == (4, False)


@pytest.mark.parametrize("size", ["-1Mi", "0"])
def test_a_size_that_the_api_accepts_and_no_machine_has(size: str) -> None:
    with pytest.raises(RulesError, match=r"spec\.domain\.memory\.guest"):
        guest_shape(vmi(memory={"guest": size}), {})


def test_cgroups_of_a_burstable_pod() -> None:
    pod = {
        "metadata": {"name": "p", "uid": "u"},
        "spec": {
            "containers": [
                {
                    "name": "compute",
                    "resources": {"requests": {"memory": "64Mi"}, "limits": {"memory": "450Mi"}},
                }
            ],
            "initContainers": [
                {
                    "name": "guest-console-log",
                    "restartPolicy": "Always",
                    "resources": {"requests": {"memory": "35M"}, "limits": {"memory": "60M"}},
                },
                {"name": "once", "resources": {"requests": {"memory": "1M"}, "limits": {"memory": "40M"}}},
            ],
        },
    }
    shape = pod_shape(pod, capacity=Bytes(2 * GI))
    assert shape.qos == "Burstable"
    assert shape.limit == (450 << 20) + 60_000_000
    assert set(shape.containers) == {"compute", "guest-console-log"}
    assert shape.containers["compute"].limit == 450 << 20
    # 1000 - 1000 x 64Mi / 2Gi = 968.75, rounded as the kubelet's integers do.
    assert shape.containers["compute"].oom_score_adj == 969
    assert shape.containers["guest-console-log"].oom_score_adj == 969

"""Which disk a VMI's guest gets, and where it lies."""

from pathlib import Path
from typing import Any

import pytest

from harness.embedded.kubelet.disks import disk_shape
from harness.embedded.kubelet.guests import guest_shape
from harness.embedded.machine.base import DiskShape
from harness.rules.errors import ManifestError
from harness.units import Bytes

MI = 1 << 20


def vmi(volume: dict[str, Any], **disk: Any) -> dict[str, Any]:
    disks = [
        {"name": "root", "disk": {"bus": "virtio"}},
        {"name": "data", "serial": "density", "disk": {"bus": "virtio"}, **disk},
    ]
    volumes = [{"name": "root", "containerDisk": {"image": "x"}}, {"name": "data", **volume}]
    return {
        "metadata": {"name": "a", "namespace": "ns"},
        "spec": {
            "domain": {"memory": {"guest": "1Gi"}, "devices": {"disks": disks}},
            "volumes": volumes,
        },
    }


@pytest.mark.parametrize(
    ("volume", "path", "size", "ephemeral"),
    [
        ({"emptyDisk": {"capacity": "64Mi"}}, "u1-data.raw", 64 * MI, True),
        ({"emptyDisk": {"capacity": "100M"}}, "u1-data.raw", 100_000_000, True),
        ({"containerDisk": {"image": "i"}}, "u1-data.raw", 64 * MI, True),
        (
            {"hostDisk": {"path": "/data/a.img", "type": "DiskOrCreate", "capacity": "1Gi"}},
            "hostDisk-ns-data_a.img.raw",
            1024 * MI,
            False,
        ),
        ({"persistentVolumeClaim": {"claimName": "c"}}, "persistentVolumeClaim-ns-c.raw", 64 * MI, False),
        ({"dataVolume": {"name": "d"}}, "dataVolume-ns-d.raw", 64 * MI, False),
    ],
)
def test_what_backs_the_disk(volume: dict[str, Any], path: str, size: int, ephemeral: bool) -> None:
    assert guest_shape(vmi(volume), {}, pod_uid="u1").disk == DiskShape(
        path=Path(path), size=Bytes(size), serial="density", cache="auto", ephemeral=ephemeral
    )


def test_no_two_paths_are_one_file() -> None:
    files = set()
    for path in ("/a/b", "/a_b", "/a__b"):
        shape = disk_shape(vmi({"hostDisk": {"path": path, "type": "DiskOrCreate"}}), pod_uid="u")
        assert shape is not None
        files.add(shape.path)
    assert len(files) == 3


@pytest.mark.parametrize("cache", ["none", "writethrough", "writeback"])
def test_the_cache_mode_that_is_asked_for(cache: str) -> None:
    shape = disk_shape(vmi({"emptyDisk": {"capacity": "1Mi"}}, cache=cache), pod_uid="u")
    assert shape is not None
    assert shape.cache == cache


@pytest.mark.parametrize(
    "disk", [{"serial": "mine"}, {"serial": None}, {"disk": {"bus": "sata"}}, {"disk": None, "cdrom": {}}]
)
def test_a_disk_that_the_agent_does_not_see_is_left_out(disk: dict[str, Any]) -> None:
    assert disk_shape(vmi({"emptyDisk": {"capacity": "64Mi"}}, **disk), pod_uid="u") is None


def test_a_volume_that_can_hold_no_records() -> None:
    with pytest.raises(
        ManifestError, match="disk 'data' with the serial number density needs one of emptyDisk"
    ):
        disk_shape(vmi({"configMap": {"name": "c"}}), pod_uid="u")

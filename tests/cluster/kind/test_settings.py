"""Settings, engines and addresses: what is read from flags and the environment, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cli.kind_options import flag
from harness.cluster.errors import ClusterError
from harness.cluster.kind.calibrate import calibrated
from harness.cluster.kind.kubelet import Files, differences, files, why_dead
from harness.cluster.kind.live import published_on, reachable, worker_order
from harness.cluster.kind.settings import KindSettings
from harness.units import GIB, Bytes
from tests.cluster.kind.world import World


def test_flags_win_over_the_environment_and_it_over_defaults() -> None:
    environment = {
        "DENSITY_KIND_BIN": "/opt/kind",
        "DENSITY_KIND_IMAGE": "kindest/node:v1",
        "DENSITY_KUBEVIRT_IMAGES_LOADED": "1",
        "DENSITY_KIND_WORKERS": "3",
        "DENSITY_KIND_CREATE_TIMEOUT": "90.5",
        "DENSITY_CONTAINER_ENGINE": "",
    }
    found = KindSettings.from_options(environment, image="mine", kubectl_bin=None)
    assert (found.kind_bin, found.image, found.engine, found.kubectl_bin) == ("/opt/kind", "mine", "", "")
    assert (found.kubevirt_images_loaded, found.workers, found.create_timeout) == (True, 3, 90.5)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"DENSITY_KIND_WORKERS": "two"}, "DENSITY_KIND_WORKERS=two: it is a number"),
        ({"DENSITY_KIND_WORKERS": "0"}, "DENSITY_KIND_WORKERS=0: at least one worker is needed"),
        ({"DENSITY_KIND_KEEP": "maybe"}, "DENSITY_KIND_KEEP=maybe: it is 1 or 0"),
        (
            {"DENSITY_KIND_NODE_SIZE": "big"},
            "DENSITY_KIND_NODE_SIZE=big: it is one of auto, meminfo, threshold, none",
        ),
        ({"DENSITY_KIND_ALLOWANCE": "lots"}, "DENSITY_KIND_ALLOWANCE=lots: "),
        (
            {"DENSITY_KUBEVIRT_IMAGES": "/no"},
            "DENSITY_KUBEVIRT_IMAGES=/no: there is no such file or directory",
        ),
    ],
)
def test_what_can_not_be_meant_is_refused(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ClusterError) as caught:
        KindSettings.from_options(environment)
    assert str(caught.value).startswith(message)


def test_flags_are_named_as_documented() -> None:
    names = ("kind_bin", "kubectl_bin", "image", "kubevirt_manifests", "kubevirt_images_loaded", "engine")
    assert [flag(name) for name in names] == [
        "--kind-bin",
        "--kubectl-bin",
        "--kind-image",
        "--kubevirt-manifests",
        "--kubevirt-images-loaded",
        "--container-engine",
    ]


# -- calibrated thresholds ---------------------------------------------------------------------------------------------


def test_thresholds_are_moved_by_what_the_machine_has_more() -> None:
    fragment = {
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0%"},
        "evictionSoft": {"memory.available": "25%"},
        "evictionSoftGracePeriod": {"memory.available": "5s"},
    }
    assert calibrated(fragment, machine=Bytes(16 * GIB), node=GIB) == {
        # 15 GiB + 100 MiB, 15 GiB + 256 MiB
        "evictionHard": {"memory.available": "16210984960", "nodefs.available": "0%"},
        "evictionSoft": {"memory.available": "16374562816"},
        "evictionSoftGracePeriod": {"memory.available": "5s"},
    }


def test_a_threshold_that_can_not_be_read_is_named() -> None:
    with pytest.raises(ClusterError, match="eviction threshold 'much'"):
        calibrated({"evictionHard": {"memory.available": "much"}}, machine=GIB, node=GIB)


# -- the kubelet's files ---------------------------------------------------------------------------------------------------


def test_files_are_found_in_the_kubelets_arguments() -> None:
    assert files("/usr/bin/kubelet\n--config=/var/lib/kubelet/config.yaml\n--node-ip=1.2.3.4\n") == Files()
    assert files("") == Files()
    found = files("kubelet\n--config=/etc/k.yaml\n--config-dir=/etc/kubernetes/kubelet.conf.d/\n")
    assert found == Files("/etc/k.yaml", "/etc/kubernetes/kubelet.conf.d/99-density.conf")


def test_settings_are_compared_by_value() -> None:
    effective = {
        "evictionHard": {"memory.available": "200Mi", "nodefs.available": "0%"},
        "evictionPressureTransitionPeriod": "1m0s",
        "failSwapOn": False,
    }
    same = {
        "evictionHard": {"memory.available": "204800Ki"},
        "evictionPressureTransitionPeriod": "60s",
        "evictionMaxPodGracePeriod": 0,
    }
    assert differences(same, effective) == []
    other = {"evictionHard": {"memory.available": "1Gi"}, "evictionSoft": {"memory.available": "2Gi"}}
    assert differences(other, effective) == [
        "evictionHard.memory.available: wanted 1Gi, is 200Mi",
        "evictionSoft.memory.available: wanted 2Gi, is unset",
    ]


def test_the_last_words_of_a_dead_kubelet() -> None:
    journal = (
        'I1128 10:00:00 server.go] "Kubelet version"\n'
        'E1128 10:00:01 run.go:72] "command failed" err="failed to validate kubelet configuration"\n'
        "kubelet.service: Main process exited, code=exited, status=1/FAILURE\n"
    )
    assert (
        why_dead(journal)
        == 'E1128 10:00:01 run.go:72] "command failed" err="failed to validate kubelet configuration"'
    )
    assert why_dead("") == "its journal is empty"


# -- remote engines ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("", ""),
        ("unix:///run/user/1000/docker.sock", ""),
        ("tcp://10.0.0.5:2376", "10.0.0.5"),
        ("ssh://me@builder", "builder"),
        ("tcp://[fd00::5]:2376", "fd00::5"),
    ],
)
def test_a_remote_engine_is_known_by_its_address(world: World, address: str, host: str) -> None:
    pool = world.pool(environment={"DOCKER_HOST": address})
    from harness.cluster.kind.tools import Tools  # noqa: PLC0415

    assert Tools.find(pool.settings, pool._environment).engine.host == host


def test_the_api_server_of_a_remote_engine_is_reached_at_its_host() -> None:
    assert published_on("") == ""
    assert published_on("127.0.0.1") == ""
    assert published_on("10.0.0.5") == "0.0.0.0"
    with pytest.raises(
        ClusterError, match=r"DOCKER_HOST names no\.such\.host\.invalid, which can't be resolved"
    ):
        published_on("no.such.host.invalid")
    document: dict[str, Any] = {
        "clusters": [{"name": "kind", "cluster": {"server": "https://0.0.0.0:41234"}}]
    }
    assert reachable(document, "10.0.0.5")["clusters"] == [
        {"name": "kind", "cluster": {"server": "https://10.0.0.5:41234", "tls-server-name": "localhost"}}
    ]
    assert reachable(document, "fd00::5")["clusters"][0]["cluster"]["server"] == "https://[fd00::5]:41234"


def test_workers_are_in_kinds_order() -> None:
    found = ["n-worker10", "n-worker", "n-worker2"]
    assert sorted(found, key=worker_order) == ["n-worker", "n-worker2", "n-worker10"]

"""Settings, engines and addresses: what is read from flags and the environment, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cli.kind_options import flag
from harness.cluster.errors import ClusterError
from harness.cluster.kind.live import published_on, reachable, worker_order
from harness.cluster.kind.settings import KindSettings
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

"""What is sent and written, against files that were read by a person. `GOLDEN_UPDATE=1` writes them anew."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cluster import kubevirt_manifests
from harness.cluster.base import NodeRequest
from harness.cluster.kind import config, meminfo
from harness.cluster.kind.installing import no_release
from harness.cluster.kind.source import KindCluster
from harness.cluster.nodes import kubelet_files as kubelet
from harness.resources import data_dir
from harness.units import GIB, Bytes
from tests.cluster.kind.world import Scene, write_manifests

GOLDEN = Path(__file__).with_name("golden")
FRAGMENT = {
    "evictionHard": {"memory.available": "200Mi"},
    "evictionSoft": {"memory.available": "350Mi"},
    "evictionSoftGracePeriod": {"memory.available": "5s"},
    "evictionMaxPodGracePeriod": 10,
}
KIND_KUBELET = """\
apiVersion: kubelet.config.k8s.io/v1beta1
authentication:
  anonymous: {enabled: false}
cgroupDriver: systemd
cgroupRoot: /kubelet
evictionHard:
  imagefs.available: 0%
  nodefs.available: 0%
  nodefs.inodesFree: 0%
failSwapOn: false
imageGCHighThresholdPercent: 100
kind: KubeletConfiguration
"""


def golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("GOLDEN_UPDATE"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def dump(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, width=120)


@pytest.mark.parametrize("cgroup", ["v1", "v2"])
def test_the_cluster_config(cgroup: Any) -> None:
    template = config.load(data_dir("kind-config") / "cluster.yaml")
    built = config.build(
        template,
        name="density-1a2b3c4d",
        shape="1a2b3c4d",
        workers=2,
        cgroup=cgroup,
        api_address="0.0.0.0" if cgroup == "v1" else "",
    )
    golden(f"cluster-{cgroup}.yaml", config.dump(built))
    assert template == config.load(data_dir("kind-config") / "cluster.yaml")


def test_what_a_config_mounts_is_found_from_where_kind_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "kind.yaml"
    path.write_text(
        "kind: Cluster\nnodes: [{role: worker, extraMounts: [{hostPath: ./images, containerPath: /images}, "
        "{hostPath: /lib/modules, containerPath: /lib/modules}]}]\n"
    )
    (worker,) = config.load(path)["nodes"]
    assert [mount["hostPath"] for mount in worker["extraMounts"]] == [f"{tmp_path}/images", "/lib/modules"]


def test_meminfo() -> None:
    golden("meminfo-1Gi", meminfo.render(GIB))
    assert len(meminfo.render(Bytes(1 << 44))) == len(meminfo.render(GIB)), "overwritten in place"
    assert meminfo.parse(meminfo.render(GIB))["MemTotal"] == 1 << 30


def test_a_drop_in() -> None:
    golden("99-density.conf", kubelet.drop_in(FRAGMENT))


def test_a_patched_kubelet_configuration() -> None:
    golden("config.yaml", kubelet.patched(KIND_KUBELET, FRAGMENT))


def test_the_operator_and_the_cr(tmp_path: Path) -> None:
    write_manifests(tmp_path / "m")
    manifests = asyncio.run(kubevirt_manifests.load_manifests(str(tmp_path / "m")))
    (_, deployment) = kubevirt_manifests.operator_documents(manifests)
    golden("virt-operator.yaml", dump(deployment))
    resource = kubevirt_manifests.custom_resource(
        manifests, emulation=True, workload_labels={config.WORKER_LABEL: "true"}
    )
    golden("kubevirt-cr.yaml", dump(resource))


def test_a_release_that_knows_no_disabled_gates_is_given_none(tmp_path: Path) -> None:
    write_manifests(tmp_path / "m")
    path = tmp_path / "m/kubevirt-operator.yaml"
    path.write_text(path.read_text().replace("disabledFeatureGates", "featureGates"))
    manifests = asyncio.run(kubevirt_manifests.load_manifests(str(tmp_path / "m")))
    resource = kubevirt_manifests.custom_resource(manifests, emulation=False, workload_labels={})
    assert resource["spec"]["configuration"]["developerConfiguration"] == {
        "featureGates": [],
        "useEmulation": False,
    }


def info(kubelet: str, runtime: str) -> dict[str, Any]:
    return {"status": {"nodeInfo": {"kubeletVersion": kubelet, "containerRuntimeVersion": runtime}}}


@pytest.mark.parametrize(
    ("nodes", "off"),
    [
        # as recorded (tests/recordings): guests booted from image volumes there
        ([info("v1.36.2", "containerd://2.3.4")], ("Template",)),
        ([info("v1.35.0", "containerd://2.1.0")], ("Template",)),
        ([info("v1.34.3", "containerd://2.2.0")], ("ImageVolume", "Template")),
        ([info("v1.36.1", "containerd://2.0.9")], ("ImageVolume", "Template")),
        ([info("v1.36.1", "containerd://v1.7.27")], ("ImageVolume", "Template")),
        ([info("v1.36.1", "cri-o://1.36.0")], ("ImageVolume", "Template")),
        ([info("v1.36.1", "containerd://2.2.0"), info("v1.34.1", "containerd://2.2.0")], ("ImageVolume", "Template")),
        ([{}], ("ImageVolume", "Template")),
        ([], ("ImageVolume", "Template")),
    ],
)  # fmt: skip
def test_image_volumes_are_left_on_where_they_work(nodes: list[dict[str, Any]], off: tuple[str, ...]) -> None:
    assert kubevirt_manifests.traps(nodes) == off


@pytest.mark.parametrize("version", ["v1.9.0", "v1.10.0-rc.1", "v1.6.0-alpha.0"])
def test_a_release_is_believed_what_it_calls_itself(version: str) -> None:
    assert no_release(version, "v1.9") == ""


def test_a_build_of_main_may_call_itself_after_the_last_release() -> None:
    """As on the recorded clusters, which had main's constants."""
    assert no_release("v1.9.0-local", "main") == (
        "KubeVirt v1.9.0-local is no release: the constants of main are taken; --kubevirt-column says otherwise"
    )
    assert no_release("", "") == (
        "KubeVirt ? is no release: its constants are not known; --kubevirt-column says otherwise"
    )


PODMAN = {
    # `podman info --format {{json .}}` of a rootless podman 5
    "host": {
        "arch": "amd64",
        "cgroupVersion": "v2",
        "memTotal": 16 << 30,
        "security": {"rootless": True},
    },
    "store": {"graphRoot": "/nowhere"},
    "version": {"Version": "5.4.2"},
}


@pytest.mark.parametrize("engine", ["docker", "podman"])
async def test_the_command_lines_of_a_run(kind: Scene, engine: str) -> None:
    world = kind.world
    docker = {**yaml.safe_load((world.root / "info.json").read_text()), "CgroupVersion": "1"}
    world.write("info.json", PODMAN if engine == "podman" else docker)
    pool = world.pool(
        engine=engine,
        image="kindest/node:v1.36.2@sha256:" + "0" * 64,
        keep=True,
        allowance="0",
        guest_allowance="0",
    )
    async with pool, KindCluster(undo=lambda _: None, run="abc123", pool=pool) as cluster:
        name = cluster.live.name
        await cluster.prepare_nodes((NodeRequest(name="n", memory=GIB, kubelet=FRAGMENT),))
        patch = cluster.guest_settings(nonce="00ff", deaf=True)
        assert (
            cluster.qualifiers["engine"]
            == {"docker": "docker 28.2.2", "podman": "podman 5.4.2, rootless"}[engine]
        )
    lines = [" ".join(call).replace(str(world.root), "WORLD").replace(name, "NAME") for call in world.calls()]
    text = "\n".join(
        line if "density-kind-" not in line else f"{line.partition('/tmp/')[0]}SCRATCH" for line in lines
    )
    golden(f"commands-{engine}.txt", text + "\n")
    golden("vmi-patch.yaml", dump(patch))


def test_the_guest_boots_as_the_suites_manifest_says() -> None:
    agent = yaml.safe_load((data_dir("suites") / "manifests/agent.yaml").read_text())
    boot = agent["spec"]["domain"]["firmware"]["kernelBoot"]
    ours = yaml.safe_load((GOLDEN / "vmi-patch.yaml").read_text())["spec"]["domain"]["firmware"]["kernelBoot"]
    assert ours["kernelArgs"] == boot["kernelArgs"] + " density.nonce=00ff density.deaf=1"
    for key in ("kernelPath", "initrdPath", "imagePullPolicy"):
        assert ours["container"][key] == boot["container"][key]

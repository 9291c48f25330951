"""The whole cluster behind real HTTPS, seen through the official Python client."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from kubernetes import aio as kubernetes_aio

from harness.embedded.api.errors import Conflict, NotFound
from harness.embedded.api.resources import NODES, PODS
from harness.embedded.cluster import EmbeddedCluster
from harness.embedded.kubelet.timing import Timing
from harness.rules.columns import COLUMNS, column
from harness.units import Seconds
from tests.embedded.fakes import FakeMachine
from tests.embedded.scene import manifest, mi, scene
from tests.embedded.virtual import run

FAST = Timing(
    eviction_period=Seconds(0.3),
    status_period=Seconds(0.3),
    cleanup_poll=Seconds(0.1),
    housekeeping=Seconds(0.1),
    housekeeping_max=Seconds(0.1),
    after_kill=Seconds(0.05),
    settle=Seconds(0.05),
    teardown=Seconds(0.05),
    launcher_exit=Seconds(8.3),
    unresponsive=Seconds(0.5),
    domain_gone=Seconds(0.05),
)
aio: Any = kubernetes_aio
GROUP, VERSION, PLURAL = "kubevirt.io", "v1", "virtualmachineinstances"


@asynccontextmanager
async def client(cluster: EmbeddedCluster) -> AsyncIterator[Any]:
    configuration = aio.client.Configuration()
    await aio.config.load_kube_config_from_dict(dict(cluster.kubeconfig), client_configuration=configuration)
    api = aio.client.ApiClient(configuration)
    try:
        yield api
    finally:
        await api.close()


async def eventually(holds: Any, *, within: float = 10.0) -> Any:
    async with asyncio.timeout(within):
        while True:
            if value := await holds():
                return value
            await asyncio.sleep(0.02)


async def test_a_vmi_lives_and_is_evicted_over_https() -> None:
    machine = FakeMachine()
    async with machine, EmbeddedCluster(machine, timing=FAST, cpus=4) as cluster, client(cluster) as api:
        await cluster.add_node("target", mi(1024), {"evictionHard": {"memory.available": "200Mi"}})
        core, custom = aio.client.CoreV1Api(api), aio.client.CustomObjectsApi(api)
        await custom.create_namespaced_custom_object(
            GROUP, VERSION, "default", PLURAL, manifest("hog", annotations={"density.dev/nonce": "c0ffee"})
        )

        async def phase() -> str:
            vmi = await custom.get_namespaced_custom_object(GROUP, VERSION, "default", PLURAL, "hog")
            return str(vmi.get("status", {}).get("phase"))

        async def is_running() -> bool:
            return await phase() == "Running"

        await eventually(is_running)
        guest = machine.guests["default_hog"]
        assert guest.shape.nonce == "c0ffee"
        assert guest.shape.memory == mi(512)
        assert not guest.shape.graphics
        (node,) = (await core.list_node()).items
        assert node.metadata.annotations["density.dev/embedded"] == "true"
        assert node.status.allocatable["memory"] == "824Mi"
        assert node.status.node_info.kubelet_version == "v1.36.2+density.embedded"
        (pod,) = (await core.list_namespaced_pod("default")).items
        assert pod.status.qos_class == "Burstable"
        log = await core.read_namespaced_pod_log(pod.metadata.name, "default", container="guest-console-log")
        assert "nonce=c0ffee" in log
        raw = await core.connect_get_node_proxy_with_path("target", "stats/summary")
        summary = raw if isinstance(raw, dict) else json.loads(str(raw).replace("'", '"'))
        assert summary["node"]["nodeName"] == "target"

        guest.resident = mi(900)

        async def is_over() -> bool:
            return await phase() == "Succeeded"

        await eventually(is_over)

        async def pod_failed() -> bool:
            return (
                str((await core.read_namespaced_pod(pod.metadata.name, "default")).status.reason) == "Evicted"
            )

        await eventually(pod_failed)
        events = (await core.list_namespaced_event("default")).items
        assert {"Evicted", "ShuttingDown", "Stopped", "EvictionThresholdMet"} <= {e.reason for e in events}


async def test_the_kubevirt_cr_is_available_marked_and_obeyed() -> None:
    machine = FakeMachine()
    async with machine, EmbeddedCluster(machine, timing=FAST) as cluster, client(cluster) as api:
        custom = aio.client.CustomObjectsApi(api)
        cr = await custom.get_namespaced_custom_object(GROUP, VERSION, "kubevirt", "kubevirts", "kubevirt")
        assert cr["status"]["phase"] == "Deployed"
        assert cr["metadata"]["annotations"]["density.dev/embedded"] == "true"
        conditions = {c["type"]: c["status"] for c in cr["status"]["conditions"]}
        assert conditions["Available"] == "True"
        patch = {"spec": {"configuration": {"developerConfiguration": {"memoryOvercommit": 200}}}}
        await custom.patch_namespaced_custom_object(
            GROUP, VERSION, "kubevirt", "kubevirts", "kubevirt", patch
        )
        await cluster.add_node("n", mi(2048))
        vmi = manifest("vm")
        vmi["spec"]["domain"]["resources"] = {}
        await custom.create_namespaced_custom_object(GROUP, VERSION, "default", PLURAL, vmi)

        async def request() -> str:
            pods = cluster.store.list(PODS)[0]
            return str(pods[0]["spec"]["containers"][0]["resources"]["requests"]["memory"]) if pods else ""

        # 512Mi x 100/200 + 256Mi overhead without graphics.
        assert await eventually(request) == "512Mi"


@pytest.mark.parametrize("name", list(COLUMNS))
def test_the_version_served_leads_back_to_the_column(name: str) -> None:
    async def main() -> str:
        async with scene(column=name) as s:
            return s.cluster.versions["kubevirt"]

    assert column(run(main)).name == name


def test_a_controller_that_dies_takes_the_cluster_with_it() -> None:
    async def main() -> None:
        async with scene() as s:
            await s.cluster.add_node("n", mi(1024))

            def broken() -> Any:
                raise OSError("the cgroup is gone")

            s.machine.nodes["n"].memory = broken  # type: ignore[method-assign]
            await asyncio.sleep(3600)

    with pytest.raises(ExceptionGroup) as raised:
        run(main)
    assert raised.value.subgroup(OSError) is not None


def test_an_error_inside_the_block_goes_on_as_it_is() -> None:
    async def main() -> None:
        async with scene() as s:
            await s.cluster.add_node("n", mi(1024))
            s.create(manifest("vm"))
            await asyncio.sleep(3)
            raise LookupError("the caller's own")

    with pytest.raises(LookupError, match="the caller's own"):
        run(main)


def test_closing_leaves_no_guest_and_no_node() -> None:
    machine = FakeMachine()

    async def main() -> None:
        async with scene(machine) as s:
            await s.cluster.add_node("n", mi(1024))
            s.create(manifest("vm"))
            await asyncio.sleep(3)
            assert s.guest("vm").alive

    run(main)
    assert not machine.guests["default_vm"].alive
    assert machine.nodes["n"].removed


def test_a_removed_node_is_forgotten_with_its_pods() -> None:
    async def main() -> None:
        async with scene() as s:
            for name in ("one", "two"):
                await s.cluster.add_node(name, mi(1024))
            s.create(manifest("vm", spec={"nodeSelector": {"kubernetes.io/hostname": "two"}}))
            await asyncio.sleep(3)
            await s.cluster.remove_node("two")
            await asyncio.sleep(1)
            assert [n["metadata"]["name"] for n in s.store.list(NODES)[0]] == ["one"]
            assert not s.guest("vm").alive
            assert s.vmi("vm")["status"]["phase"] == "Failed"
            with pytest.raises(NotFound):
                s.cluster.running.configz("two")
            with pytest.raises(ValueError, match="there already"):
                await s.cluster.add_node("one", mi(1024))

    run(main)


def test_the_console_is_the_running_guests() -> None:
    async def main() -> None:
        async with scene() as s:
            await s.cluster.add_node("n", mi(1024))
            s.create(manifest("vm"))
            with pytest.raises(Conflict, match="VMI is not running"):
                s.cluster.running.console("default", "vm")
            await asyncio.sleep(3)
            await s.cluster.running.console("default", "vm").write(b"1 hello\n")
            assert s.guest("vm").screen.sent == [b"1 hello\n"]
            (pod,) = s.cluster.running.pods()
            assert (pod.node, pod.vmi, pod.guest) == ("n", "default/vm", s.guest("vm"))
            s.guest("vm").power_off()
            await asyncio.sleep(1)
            with pytest.raises(Conflict):
                s.cluster.running.console("default", "vm")

    run(main)


def test_a_log_that_is_followed_ends_with_the_guest() -> None:
    async def main() -> bytes:
        async with scene() as s:
            await s.cluster.add_node("n", mi(1024))
            s.create(manifest("vm"))
            await asyncio.sleep(0.1)
            name = s.pod("vm")["metadata"]["name"]

            async def follow() -> bytes:
                chunks = s.cluster.running.pod_log("default", name, "guest-console-log", True)
                return b"".join([chunk async for chunk in chunks])

            following = asyncio.create_task(follow())
            await asyncio.sleep(3)
            s.guest("vm").power_off()
            return await following

    log = run(main)
    assert log.startswith(b"@ hello")
    assert log.endswith(b"reboot: Power down\r\n")


def test_the_same_seed_and_epoch_tell_the_same_story_to_the_byte() -> None:
    async def main() -> list[tuple[str, str]]:
        async with scene(seed=7, epoch=Seconds(1_790_000_000.0)) as s:
            await s.cluster.add_node("n", mi(1024), {"evictionHard": {"memory.available": "200Mi"}})
            for name in ("a", "b", "c"):
                s.create(manifest(name))
            await asyncio.sleep(5)
            s.guest("b").resident = mi(900)
            await asyncio.sleep(60)
            return [(what, json.dumps(obj)) for what, obj in s.changes]

    first, second = run(main), run(main)
    assert len(first) > 100
    assert first == second
    assert "2026-09-21T" in first[0][1]

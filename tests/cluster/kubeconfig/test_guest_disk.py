"""`--guest-disk`: what cloud-init would run in the guest is run as a process on the console of each fake guest."""

from __future__ import annotations

import asyncio
import base64
import gzip
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.cli import errors
from harness.cli.run import kubeconfig_maker
from harness.cluster.errors import ClusterError
from harness.cluster.kubeconfig import Options
from harness.embedded.api.resources import VMIS
from harness.embedded.machine.base import GuestShape, Machine, PodShape
from harness.records.model import Guest
from harness.units import Bytes
from tests.cluster.kubeconfig.scene import GROW, IMAGE, Foreign, OnFakes, carry_out, cluster, foreign
from tests.embedded.fakes import FakeGuest, FakeNode, FakePod
from tests.run.agent import IDLE, AgentCluster, AgentMachine
from tests.run.scenarios import load

DISK = "registry.example/debian:12"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


class BootedPod(FakePod):
    """Its guests run their VMI's user data, as cloud-init in them would."""

    async def start_guest(self, container: str, shape: GuestShape) -> FakeGuest:
        guest = await super().start_guest(container, shape)
        machine = self.node.machine
        assert isinstance(machine, BootingMachine)
        guest.screen.output = b"[    0.0] Linux version\r\nlogin: "
        guest.resident = Bytes(IDLE)
        machine.own(machine.boot(guest, shape.name.rpartition("_")[2]))
        return guest


class BootingNode(FakeNode):
    """Makes pods of that kind."""

    async def add_pod(self, shape: PodShape) -> FakePod:
        pod = BootedPod(self, shape)
        self.pods[shape.uid] = pod
        return pod


class BootingMachine(AgentMachine):
    """Carries them."""

    inner: BootingCluster

    async def create_node(self, name: str, capacity: Bytes) -> FakeNode:
        node = BootingNode(self, name, capacity)
        self.nodes[name] = node
        return node

    async def boot(self, guest: FakeGuest, vmi: str) -> None:
        item = next(
            i.object
            for i in self.inner.embedded.store.encoded_list(VMIS)
            if i.object["metadata"]["name"] == vmi
        )
        packed = next(
            v["cloudInitNoCloud"]["userDataBase64"]
            for v in item["spec"]["volumes"]
            if "cloudInitNoCloud" in v
        )
        script = gzip.decompress(base64.b64decode(packed)).decode()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, "--stdio",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        keyboard = process.stdin

        async def write(data: bytes) -> None:
            keyboard.write(data)
            await keyboard.drain()

        guest.screen.write = write  # type: ignore[method-assign]
        try:
            async for raw in process.stdout:
                line = raw.decode().rstrip("\n")
                if line.startswith("@ held "):
                    guest.resident = Bytes(IDLE + int(line.rpartition("bytes=")[2]))
                guest.screen.say(line)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


class BootingCluster(AgentCluster):
    """A cluster whose guests boot what they are given."""

    def __init__(self) -> None:
        super().__init__()
        self.fake = BootingMachine()
        self.fake.inner = self

    async def open_machine(self) -> Machine:
        return self.fake


def on_disk(there: Foreign, **options: Any) -> OnFakes:
    return cluster(there, agent_image="", guest_disk=DISK, **options)


async def test_a_run_drives_the_small_agent_over_the_console(tmp_path: Path) -> None:
    async with foreign("node-stats", made=BootingCluster) as there:
        result = await carry_out(there, load(tmp_path, GROW), tmp_path, agent_image="", guest_disk=DISK)
    assert result.run.outcome == "complete", result.run.reason
    assert {f.check: f.outcome for f in result.findings.findings} == {"requires/0": "holds"}
    directory = result.run.directory
    assert directory.provenance.qualifiers["guest"].startswith(
        "lesser: registry.example/debian:12 with a small"
    )
    said = [r.line for _, r in directory.records() if isinstance(r, Guest) and r.vmi.endswith("/hog")]
    assert any(line.startswith("@ ok id=1 held=52428800 ") for line in said)


async def test_what_it_boots() -> None:
    async with foreign("node-stats") as there, on_disk(there) as seen:
        patch = seen.guest_settings(nonce="00ff", deaf=True)
    spec = patch["spec"]
    assert spec["domain"]["firmware"] == {"kernelBoot": None}
    assert [d["name"] for d in spec["domain"]["devices"]["disks"]] == [v["name"] for v in spec["volumes"]]
    root, data = spec["volumes"]
    assert root["containerDisk"]["image"] == DISK
    text = gzip.decompress(base64.b64decode(data["cloudInitNoCloud"]["userDataBase64"])).decode()
    assert "NONCE,DEAF,SETUP='00ff','1'," in text


async def test_what_it_can_not_do_is_not_observable_before_anything_is_made(tmp_path: Path) -> None:
    body = """
    workload:
      - {name: churn, when: {fleet: all, is: Running}, cache: {fleet: [hog], to: 50Mi}}
    requires:
      - survives: {fleet: calm}
    """
    async with foreign("node-stats") as there:
        result = await carry_out(there, load(tmp_path, body), tmp_path, agent_image="", guest_disk=DISK)
        made = [used for used in there.rbac.used if used[0] == "create"]
    assert result.run.outcome == "not-observable"
    assert result.run.reason == (
        "step 'churn' asks guests to cache: the lesser guest of --guest-disk registry.example/debian:12 can't; "
        "--agent-image can"
    )
    assert {f.outcome for f in result.findings.findings} == {"not-observable"}
    assert made == []


async def test_a_guest_that_takes_its_time_is_not_observable_on_it(tmp_path: Path) -> None:
    scenario = load(tmp_path, "requires: [{survives: {fleet: calm}}]\n", overrides=("fleet.hog.shutdown=6s",))
    async with foreign("node-stats") as there:
        result = await carry_out(there, scenario, tmp_path, agent_image="", guest_disk=DISK)
    assert result.run.outcome == "not-observable"
    assert result.run.reason == (
        "fleet 'hog' takes its time to shut down: the lesser guest of --guest-disk registry.example/debian:12 can't; "
        "--agent-image can"
    )


def test_one_guest_is_named() -> None:
    with pytest.raises(ClusterError, match="--agent-image and --guest-disk both name the guest"):
        Options.of({"DENSITY_GUEST_DISK": DISK}, {"agent_image": IMAGE})
    assert Options.of({"DENSITY_GUEST_DISK": DISK}, {}).guest_disk == DISK


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {},
            "nodes of an existing cluster pull the guest from a registry: name its image with --agent-image REF, or a",
        ),
        ({"agent_image": IMAGE, "guest_disk": DISK}, "--agent-image and --guest-disk both name the guest"),
        ({"agent_image": IMAGE, "nodes": ["x"]}, "--node x: expected SCENARIO-NODE=CLUSTER-NODE"),
        (
            {"agent_image": IMAGE, "allow_kubelet_config": True},
            "--allow-kubelet-config runs a privileged pod",
        ),
    ],
)
def test_flags_that_can_not_be_meant_are_a_mistake_on_the_command_line(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(errors.UsageError, match=message) as caught:
        kubeconfig_maker(given)
    assert errors.explain(caught.value)[0] == 2

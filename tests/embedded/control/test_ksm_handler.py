"""virt-handler's care for KSM: which nodes it takes, when it looks, what it writes and says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from harness.embedded.api.resources import KUBEVIRTS, NODES
from harness.embedded.control.selectors import selects
from tests.embedded.fakes import FakeMachine
from tests.embedded.scene import Scene, mi, scene
from tests.embedded.virtual import run

LABEL, MANAGED = "kubevirt.io/ksm-enabled", "kubevirt.io/ksm-handler-managed"
EVERY: Mapping[str, Any] = {"nodeLabelSelector": {}}


@pytest.mark.parametrize(
    ("selector", "taken"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"ksm": "on"}}, True),
        ({"matchLabels": {"ksm": "off"}}, False),
        ({"matchExpressions": [{"key": "ksm", "operator": "In", "values": ["on", "yes"]}]}, True),
        ({"matchExpressions": [{"key": "other", "operator": "NotIn", "values": ["on"]}]}, True),
        ({"matchExpressions": [{"key": "other", "operator": "Exists"}]}, False),
        ({"matchLabels": {"ksm": "on"}, "matchExpressions": [{"key": "ksm", "operator": "DoesNotExist"}]}, False),
        ({"matchExpressions": [{"key": "size", "operator": "Gt", "values": ["1"]}]}, False),
    ],
)  # fmt: skip
def test_a_selector_takes_labels(selector: Mapping[str, Any] | None, taken: bool) -> None:
    assert selects(selector, {"ksm": "on", "size": "2"}) is taken


class KsmMachine(FakeMachine):
    """A machine with KSM's files."""

    def __init__(self) -> None:
        super().__init__()
        self.ksm: dict[str, int] = {"run": 0, "pages_to_scan": 100, "sleep_millisecs": 20}

    def host_samples(self) -> Mapping[str, Mapping[str, Any]]:
        return {"ksm": {**self.ksm, "pages_sharing": 0}}


class Handled:
    """A cluster whose virt-handler may set KSM, and all that it wrote."""

    def __init__(self, stage: Scene, machine: KsmMachine) -> None:
        self.stage, self.machine = stage, machine
        self.written: list[tuple[float, dict[str, str], dict[str, Any]]] = []
        self._began = asyncio.get_running_loop().time()

    async def write(self, node: str, files: Mapping[str, str], told: Mapping[str, Any]) -> None:
        assert node == "n1"
        since = asyncio.get_running_loop().time() - self._began
        self.written.append((round(since), dict(files), dict(told)))
        self.machine.ksm.update({name: int(text) for name, text in files.items()})

    def configure(self, ksm: Mapping[str, Any] | None) -> None:
        def edit(obj: dict[str, Any]) -> None:
            obj["spec"]["configuration"]["ksmConfiguration"] = ksm

        self.stage.store.mutate(KUBEVIRTS, "kubevirt", "kubevirt", edit)

    def annotate(self, **overrides: str) -> None:
        def edit(obj: dict[str, Any]) -> None:
            obj["metadata"]["annotations"].update(
                {f"kubevirt.io/ksm-{k.replace('_', '-')}-override": v for k, v in overrides.items()}
            )

        self.stage.store.mutate(NODES, "", "n1", edit)

    def uses(self, amount: float) -> None:
        self.machine.nodes["n1"].daemons = mi(amount)

    @property
    def said(self) -> tuple[str, str]:
        metadata = self.stage.store.get(NODES, "", "n1")["metadata"]
        return metadata["labels"][LABEL], metadata["annotations"][MANAGED]


@asynccontextmanager
async def handled(*, writes: bool = True, ksm: Mapping[str, Any] | None = None) -> AsyncIterator[Handled]:
    machine = KsmMachine()
    async with scene(machine, configuration={"ksmConfiguration": ksm}) as stage:
        found = Handled(stage, machine)
        if writes:
            stage.cluster.ksm.write = found.write
        await stage.cluster.add_node("n1", mi(1000))
        await asyncio.sleep(0.01)
        yield found


def test_the_label_is_what_the_selector_says_and_the_annotation_who_runs_ksm() -> None:
    async def main() -> None:
        async with handled() as of:
            assert of.said == ("false", "false")
            of.configure(EVERY)
            await asyncio.sleep(0.01)
            assert of.said == ("true", "false")  # selected, and not short of memory
            assert of.written == []  # run is 0 already
            of.uses(850)
            of.configure({"nodeLabelSelector": {"matchLabels": {"kubernetes.io/hostname": "n1"}}})
            await asyncio.sleep(0.01)
            assert of.said == ("true", "true")
            of.configure({"nodeLabelSelector": {"matchLabels": {"kubernetes.io/hostname": "n2"}}})
            await asyncio.sleep(0.01)
            assert of.said == ("false", "false")
            of.configure(None)

    run(main)


def test_without_a_selector_no_node_is_taken() -> None:
    async def main() -> None:
        async with handled(ksm={}) as of:
            assert of.said == ("false", "false")

    run(main)


def test_it_looks_every_three_minutes_and_at_each_change_of_the_configuration() -> None:
    async def main() -> None:
        async with handled(ksm=EVERY) as of:
            of.uses(850)
            await asyncio.sleep(400)
            of.configure({"nodeLabelSelector": {"matchLabels": {"kubernetes.io/os": "linux"}}})
            await asyncio.sleep(170)  # counted anew
            assert [t for t, _, _ in of.written] == [180, 360, 400]
            of.uses(500)
            await asyncio.sleep(20)
            files = [files for _, files, _ in of.written]
            assert files == [
                {"sleep_millisecs": "1927", "run": "1"},  # 100 pages, as they are
                {"pages_to_scan": "400"},
                {"pages_to_scan": "700"},
                {"sleep_millisecs": "3276", "pages_to_scan": "650"},
            ]
            _, _, told = of.written[0]
            assert told == {
                "why": "MemAvailable 153600 kB of MemTotal 1024000 kB",
                "from": {"run": "0", "sleep_millisecs": "20"},
            }

    run(main)


def test_a_node_s_annotations_override() -> None:
    async def main() -> None:
        async with handled() as of:
            of.uses(10)
            of.annotate(free_percent="1.0", pages_init="1250", sleep_ms_baseline="1")
            await asyncio.sleep(1)
            assert of.written == []  # an annotation alone is not looked at
            of.configure(EVERY)
            await asyncio.sleep(0.01)
            ((_, files, _),) = of.written
            assert files == {"sleep_millisecs": "1638", "pages_to_scan": "1250", "run": "1"}

    run(main)


def test_a_node_that_is_not_selected_any_more_is_stopped_if_it_was_ours() -> None:
    async def main() -> None:
        async with handled(ksm=EVERY) as of:
            of.uses(850)
            await asyncio.sleep(181)
            of.configure(None)
            await asyncio.sleep(0.01)
            assert of.written[-1][1:] == (
                {"run": "0"},
                {"why": "the node is not selected any more", "from": {"run": "1"}},
            )
            of.machine.ksm["run"] = 1  # by somebody else
            of.configure({})
            await asyncio.sleep(0.01)
            assert of.machine.ksm["run"] == 1

    run(main)


def test_where_somebody_else_sets_ksm_only_the_label_is_kept() -> None:
    async def main() -> None:
        async with handled(writes=False, ksm=EVERY) as of:
            of.uses(990)
            await asyncio.sleep(400)
            assert of.said == ("true", "false")
            assert of.machine.ksm == {"run": 0, "pages_to_scan": 100, "sleep_millisecs": 20}

    run(main)


def test_a_machine_without_ksm_is_no_node_for_it() -> None:
    async def main() -> None:
        async with scene(configuration={"ksmConfiguration": EVERY}) as stage:
            await stage.cluster.add_node("n1", mi(1000))
            await asyncio.sleep(181)
            labels = stage.store.get(NODES, "", "n1")["metadata"]["labels"]
            assert labels[LABEL] == "false"

    run(main)

"""A client with the rights of the manifest, and no others, can do its work; one without them is told which is missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from harness.cluster.base import NodeRequest
from harness.cluster.errors import ClusterError, NotObservable
from harness.cluster.kubeconfig import KubeconfigCluster, Options
from harness.cluster.kubeconfig.rights import RIGHTS, manifest, manifest_yaml
from harness.embedded.api.resources import NAMESPACES, NODES, VMIS
from harness.records.model import Note, Sample, Watch
from harness.records.rundir import RunDirectory
from harness.units import GIB, Bytes
from tests.cluster.kubeconfig.scene import GROW, IMAGE, Foreign, carry_out, cluster, foreign, objects
from tests.run.scenarios import load


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


async def test_a_run_needs_no_more_than_the_manifest_gives(tmp_path: Path) -> None:
    async with foreign("node-stats") as there:
        result = await carry_out(there, load(tmp_path, GROW), tmp_path)
        left = objects(there, VMIS)
        namespaces = {n["metadata"]["name"] for n in objects(there, NAMESPACES)}
    assert result.run.outcome == "complete", result.run.reason
    assert {f.check: f.outcome for f in result.findings.findings} == {"requires/0": "holds"}
    # what the API behind has not may be asked for; nothing else
    assert there.rbac.denied == []
    assert left == []
    assert "density" in namespaces, "a namespace that was there is not ours to delete"
    directory = RunDirectory.open(result.run.directory.path)
    assert directory.provenance.evidence == "predicted", "it carries the marker of an embedded cluster"
    assert directory.provenance.cluster == "kubeconfig"
    records = [r for _, r in directory.records()]
    assert [r.text for r in records if isinstance(r, Note) and r.what == "node-truth"]
    assert {r.source for r in records if isinstance(r, Sample)} == {"stats/summary", "configz"}
    launcher = next(
        r.object for r in records if isinstance(r, Watch) and r.object["kind"] == "VirtualMachineInstance"
    )
    boot = launcher["spec"]["domain"]["firmware"]["kernelBoot"]
    assert boot["container"]["image"] == IMAGE
    assert "density.nonce=" in boot["kernelArgs"]


async def test_every_right_that_is_asked_for_is_used(tmp_path: Path) -> None:
    """Rights nobody needs would be asked for in vain. What the fake cluster can't exercise is named here."""
    async with foreign("node-stats", served={"resourcequotas": [], "limitranges": []}) as there:
        await carry_out(there, load(tmp_path, GROW), tmp_path)
    given = {
        (verb, group, resource)
        for _, rule in there.rbac._rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    unused = {f"{verb} {resource}" for verb, _, resource in given - there.rbac.used}
    assert unused <= {
        "get nodes", "get kubevirts",  # one object instead of a list
        "get pods", "create pods", "delete pods",  # the test pod that proves a node healthy
        "get virtualmachineinstances",
        *(f"{verb} virtualmachines" for verb in ("get", "list", "watch", "create", "delete")),  # fleets of VMs; recording
        "get resourcequotas", "get limitranges",
    }  # fmt: skip


async def test_a_namespace_per_run_is_made_and_deleted(tmp_path: Path) -> None:
    async with foreign("node-stats", "namespaces") as there:
        result = await carry_out(there, load(tmp_path, GROW), tmp_path, namespace="")
        left = {n["metadata"]["name"] for n in objects(there, NAMESPACES)}
    assert result.run.outcome == "complete", result.run.reason
    assert not [name for name in left if name.startswith("density-")]


async def test_without_node_stats_what_needs_them_is_not_observable(tmp_path: Path) -> None:
    async with foreign() as there:
        result = await carry_out(there, load(tmp_path, GROW), tmp_path)
    assert result.run.outcome == "not-observable"
    assert "RBAC denies get nodes/proxy" in result.run.reason
    assert {f.outcome for f in result.findings.findings} == {"not-observable"}


async def test_without_node_stats_the_rest_still_runs(tmp_path: Path) -> None:
    async with foreign() as there:
        head = "nodes:\n  - {name: target}\n"
        scenario = load(tmp_path, GROW, head=_without_nodes(head))
        result = await carry_out(there, scenario, tmp_path)
        records = [r for _, r in result.run.directory.records()]
    assert result.run.outcome == "complete", result.run.reason
    notes = {r.what for r in records if isinstance(r, Note)}
    assert {"not-allowed", "not-served"} <= notes


def _without_nodes(nodes: str) -> str:
    from tests.run.scenarios import HEAD  # noqa: PLC0415

    before, _, after = HEAD.partition("nodes:\n")
    return before + nodes + after.partition("\n")[2]


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        (
            ("ClusterRole", "density-reader"),
            r"^RBAC denies: nodes is forbidden: .*density rbac \| kubectl apply",
        ),
        (
            ("Role", "density-run"),
            r"^RBAC denies get virtualmachineinstances.kubevirt.io in namespace density \(the fleet\): density rbac",
        ),
    ],
)
async def test_a_missing_right_is_one_line(drop: tuple[str, str], message: str, tmp_path: Path) -> None:
    async with foreign("node-stats") as there:
        there.rbac._rules = []
        for item in manifest(parts=("node-stats",)):
            if item["kind"] in {"Role", "ClusterRole"} and (item["kind"], item["metadata"]["name"]) != drop:
                where = item["metadata"].get("namespace", "")
                there.rbac._rules += [(where, rule) for rule in item["rules"]]
        with pytest.raises(ClusterError, match=message):
            await carry_out(there, load(tmp_path, GROW), tmp_path)
    assert not (tmp_path / "runs").exists()


async def test_a_console_that_may_not_be_opened_fails_the_run(tmp_path: Path) -> None:
    async with foreign("node-stats") as there:
        async with cluster(there):
            pass
        # taken away after the look: rights can change
        there.rbac._rules = [
            (
                where,
                {
                    **rule,
                    "resources": [r for r in rule["resources"] if r != "virtualmachineinstances/console"],
                },
            )
            for where, rule in there.rbac._rules
        ]
        original = there.rbac._review

        async def yes(request: Any) -> Any:
            body = (await original(request)).body
            assert isinstance(body, bytes)
            return web.Response(
                body=body.replace(b'"allowed":false', b'"allowed":true'),
                content_type="application/json",
                status=201,
            )

        there.rbac._review = yes  # type: ignore[method-assign]
        result = await carry_out(there, load(tmp_path, GROW), tmp_path)
        left = objects(there, VMIS)
    assert result.run.outcome == "failed"
    assert "RBAC denies get virtualmachineinstances/console" in result.run.reason
    assert left == []


async def test_a_namespace_of_its_own_needs_the_right_to() -> None:
    async with foreign("node-stats") as there:
        with pytest.raises(ClusterError, match="in every namespace: name an existing one with --namespace"):
            async with cluster(there, namespace=""):
                pass


# -- what the cluster is -------------------------------------------------------------------------------------------


async def test_nodes_are_as_they_are() -> None:
    async with foreign("node-stats") as there, cluster(there) as seen:
        (handle,) = await seen.prepare_nodes((NodeRequest(name="target", memory=None),))
        assert (handle.name, handle.kube_name, handle.memory) == ("target", "worker", GIB)
        same = {"evictionHard": {"memory.available": "500Mi"}}
        await seen.prepare_nodes((NodeRequest(name="target", memory=GIB, kubelet=same),))
        with pytest.raises(NotObservable, match="is to have 2048 MiB, worker has 1024"):
            await seen.prepare_nodes((NodeRequest(name="target", memory=Bytes(2 * GIB)),))
        with pytest.raises(NotObservable, match="is to have 512 MiB, worker has 1024"):
            await seen.prepare_nodes((NodeRequest(name="target", memory=Bytes(GIB // 2)),))
        await seen.prepare_nodes((NodeRequest(name="target", memory=Bytes(GIB // 2), size_matters=False),))
        other = {"evictionHard": {"memory.available": "200Mi"}}
        with pytest.raises(
            NotObservable, match=r"has evictionHard\.memory\.available: 500Mi, the scenario asks 200Mi"
        ):
            await seen.prepare_nodes((NodeRequest(name="target", memory=GIB, kubelet=other),))
        with pytest.raises(NotObservable, match="needs 2 nodes, this cluster has fewer"):
            await seen.prepare_nodes(tuple(NodeRequest(name=n, memory=None) for n in ("a", "b")))


async def test_a_named_node_must_be_there_and_usable() -> None:
    async with foreign("node-stats") as there:
        async with cluster(there, nodes={"target": "nowhere"}) as seen:
            with pytest.raises(
                ClusterError, match=r"^--node target=nowhere: no such node \(there are worker\)"
            ):
                await seen.prepare_nodes((NodeRequest(name="target", memory=None),))
        there.inner.embedded.store.mutate(NODES, "", "worker", lambda n: n["spec"].update(unschedulable=True))
        async with cluster(there, nodes={"target": "worker"}) as seen:
            with pytest.raises(ClusterError, match="the node is cordoned"):
                await seen.prepare_nodes((NodeRequest(name="target", memory=None),))


async def test_kubevirts_settings_are_patched_only_with_permission_and_restored() -> None:
    wanted = {"developerConfiguration": {"memoryOvercommit": 150}}
    async with foreign("node-stats", "kubevirt-settings") as there:
        async with cluster(there) as seen:
            await seen.configure_kubevirt({"developerConfiguration": {"memoryOvercommit": 100}})  # as it is
            with pytest.raises(
                NotObservable,
                match=r"memoryOvercommit: (no value|100), the scenario asks 150: .*--patch-kubevirt",
            ):
                await seen.configure_kubevirt(wanted)
        told: list[Mapping[str, Any]] = []
        allowed = KubeconfigCluster(
            Options(kubeconfig=there.kubeconfig, namespace="density", agent_image=IMAGE, patch_kubevirt=True),
            undo=told.append,
            run="abc123",
        )
        before = there.inner.embedded.kubevirt_configuration()
        async with allowed:
            await allowed.configure_kubevirt(wanted)
            assert (
                there.inner.embedded.kubevirt_configuration()["developerConfiguration"]["memoryOvercommit"]
                == 150
            )
        assert there.inner.embedded.kubevirt_configuration() == before
    assert told == [], "there is no file that density clean could read again"


async def test_quotas_are_respected(tmp_path: Path) -> None:
    quota = {
        "metadata": {"name": "small"},
        "spec": {"hard": {"pods": "1"}},
        "status": {"hard": {"pods": "1"}},
    }
    async with foreign("node-stats", served={"resourcequotas": [quota], "limitranges": []}) as there:
        result = await carry_out(there, load(tmp_path, GROW), tmp_path)
        left = objects(there, VMIS)
    assert result.run.outcome == "failed"
    assert result.run.reason == "namespace density: ResourceQuota small: pods of 1, used 0, the fleet asks 2"
    assert left == []


def test_the_manifest_that_ships_is_what_is_rendered() -> None:
    shipped = Path(__file__).parents[3] / "kind-config" / "rbac.yaml"
    assert shipped.read_text(encoding="utf-8") == manifest_yaml()
    assert list(yaml.safe_load_all(shipped.read_text(encoding="utf-8"))) == manifest()


# -- one verb less -------------------------------------------------------------------------------------------------


def _without(there: Foreign, verb: str, resource: str, namespace: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The rules of the manifest without one verb on one resource."""
    made: list[tuple[str, Mapping[str, Any]]] = []
    for where, rule in there.rbac._rules:
        if where != namespace or resource not in rule["resources"] or verb not in rule["verbs"]:
            made.append((where, rule))
            continue
        others = [r for r in rule["resources"] if r != resource]
        made += [(where, {**rule, "resources": others})] if others else []
        made.append(
            (where, {**rule, "resources": [resource], "verbs": [v for v in rule["verbs"] if v != verb]})
        )
    return made


async def test_one_verb_less_is_one_line_or_one_note() -> None:
    places = {"cluster": "", "namespace": "density", "default": "default"}
    said: dict[tuple[str, str], str] = {}
    async with foreign("node-stats") as there:
        whole = there.rbac._rules
        for right in RIGHTS:
            if right.part not in {"run", "node-stats"} or right.scope not in places:
                continue
            for resource in right.resources:
                for verb in right.verbs:
                    there.rbac._rules = _without(there, verb, resource, places[right.scope])
                    assert len(there.rbac._rules) >= len(whole)
                    try:
                        async with cluster(there) as seen:
                            said[verb, f"{right.scope} {resource}"] = "; ".join(seen.access.lacks)
                    except ClusterError as error:
                        said[verb, f"{right.scope} {resource}"] = (
                            f"{'exit 3: ' if right.required else ''}{error}"
                        )
                    finally:
                        there.rbac._rules = whole
        assert objects(there, VMIS) == []
    assert len(said) == 31
    for (verb, where), line in said.items():
        resource = where.split()[1].partition("/")[0]
        assert line.startswith(("exit 3: RBAC denies", "RBAC denies")), (verb, where, line)
        assert "\n" not in line
        if not line.startswith("exit 3: RBAC denies: "):
            # else the very call was refused, in the server's words
            assert f"RBAC denies {verb} {resource}" in line, (verb, where, line)
    grants = "density rbac | kubectl apply -f - grants it"
    assert said["create", "namespace virtualmachineinstances"] == (
        f"exit 3: RBAC denies create virtualmachineinstances.kubevirt.io in namespace density (the fleet): {grants}"
    )
    assert said["get", "cluster nodes/proxy"] == (
        "RBAC denies get nodes/proxy: node truth (memory.available, effective kubelet settings) is not observable"
    )
    assert said["list", "namespace resourcequotas"] == (
        "RBAC denies list resourcequotas in namespace density: quotas are not checked before the fleet is created"
    )

"""`why` of what a cluster still serves: recorded objects behind a small HTTP server, asked with nothing but GET."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from harness.cli.why_cmd import look_at
from harness.explain.why import why
from harness.explain.why_model import Report
from harness.explain.why_recording import read_recording
from harness.explain.why_served import records
from harness.records import served
from harness.records.model import Sample, Watch
from tests.judge.recorded import recording

PLURALS = {
    "Pod": "/api/v1",
    "Event": "/api/v1",
    "VirtualMachineInstance": "/apis/kubevirt.io/v1",
    "VirtualMachine": "/apis/kubevirt.io/v1",
}


class Cluster:
    """The state a recording ends in, served."""

    def __init__(self, name: str, *, forbidden: tuple[str, ...] = ()) -> None:
        self.forbidden = forbidden
        self.asked: list[tuple[str, str]] = []
        self.objects: dict[str, dict[str, Any]] = {}
        self.configz: dict[str, Any] = {}
        self.stats: dict[str, Any] = {}
        self.provenance, made = read_recording(recording(name))
        self.ended = served.epoch(made[-1][1].at)
        for _, record in made:
            if isinstance(record, Watch):
                uid = served.uid(record.object) or served.key(record.object)
                if record.type == "DELETED":
                    self.objects.pop(uid, None)
                else:
                    self.objects[uid] = record.object
            elif isinstance(record, Sample) and record.source == "configz":
                self.configz[record.node] = record.data
            elif isinstance(record, Sample) and record.source == "stats/summary":
                self.stats[record.node] = record.data

    def answer(self, path: str) -> Any:
        if path == "/version":
            return {"gitVersion": "v1.36.2"}
        parts = path.strip("/").split("/")
        if parts[:3] == ["api", "v1", "nodes"]:
            node = parts[3]
            if path.endswith("configz"):
                return self.configz[node]
            if path.endswith("stats/summary"):
                return self.stats[node]
            return next(o for o in self.objects.values() if o["kind"] == "Node" and served.name(o) == node)
        for kind, root in PLURALS.items():
            if not path.startswith(root) or parts[-1] != kind.lower() + "s":
                continue
            namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts else None
            items = [
                {k: v for k, v in obj.items() if k not in {"kind", "apiVersion"}}
                for obj in self.objects.values()
                if obj["kind"] == kind and namespace in {None, served.namespace(obj)}
            ]
            return {"kind": f"{kind}List", "metadata": {"resourceVersion": "1"}, "items": items}
        return None

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.path))
        if any(request.path.endswith(word) for word in self.forbidden):
            status = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "not for you"}
            return web.json_response(status, status=403)
        found = self.answer(request.path)
        if found is None:
            return web.json_response({"kind": "Status", "code": 404, "reason": "NotFound"}, status=404)
        return web.json_response(found)


@asynccontextmanager
async def serving(cluster: Cluster, directory: Path) -> AsyncIterator[Path]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", cluster.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://{host}:{port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    try:
        yield path
    finally:
        await runner.cleanup()


async def asked(cluster: Cluster, directory: Path, vmi: str) -> Report:
    async with serving(cluster, directory) as kubeconfig:
        looked = await look_at(kubeconfig, None, "default")
    assert {method for method, _ in cluster.asked} == {"GET"}
    provenance, made = records(looked, now=cluster.ended)
    return why(provenance, made, vmi=vmi, served_now=True)


async def test_a_dead_vmi_that_is_still_served(tmp_path: Path) -> None:
    report = await asked(Cluster("hard-eviction-deaf"), tmp_path, "default/hog-1")
    (post,) = report.dead
    assert (post.subject, post.cause, post.certain) == ("default/hog-1", "hard-eviction", True)
    assert (post.pod_phase, post.pod_reason, post.vmi_phase) == ("Failed", "Evicted", "Running")
    assert any("Against whom it was ranked" in line for line in post.unknown)
    assert any("its console was not recorded" in line for line in post.unknown)
    assert report.evidence == "real"
    decided = next(fact for fact in post.timeline if fact.text.startswith("kubelet decides"))
    ended = next(fact for fact in post.timeline if fact.text.startswith("pod Failed"))
    assert 2.0 < ended.when.high - decided.when.low < 4.0


async def test_a_vm_owned_vmi_whose_evidence_is_gone(tmp_path: Path) -> None:
    report = await asked(Cluster("vm-always-evicted"), tmp_path, "default/vm-a")
    (post,) = report.dead
    assert (post.cause, post.life, post.lives) == ("hard-eviction", 1, 2)
    assert post.successor is not None
    assert post.successor.by == "VirtualMachine vm-a (runStrategy Always)"
    assert post.successor.same_node
    assert "its console was not recorded; KubeVirt says it was shut down" in post.verdict
    assert (post.successor.node, post.successor.down is not None) == ("real-worker", True)
    assert [alive.life for alive in report.alive] == [2]
    assert any("event Stopped" in fact.text for fact in post.timeline)
    assert any("both are deleted" in line for line in post.unknown)


async def test_a_container_oom_is_not_claimed_from_what_the_api_alone_can_show(tmp_path: Path) -> None:
    """The pod still runs and no kernel log is served: a crash is all that can be said."""
    report = await asked(Cluster("container-oom"), tmp_path, "default/oom-1")
    (post,) = report.dead
    assert post.cause == "crashed"
    assert any("no kernel log was recorded" in line for line in post.unknown)


async def test_what_may_not_be_read_is_said(tmp_path: Path) -> None:
    cluster = Cluster("hard-eviction-deaf", forbidden=("configz", "stats/summary", "/api/v1/pods"))
    async with serving(cluster, tmp_path) as kubeconfig:
        looked = await look_at(kubeconfig, None, "default")
    assert sorted(text.partition(" could")[0] for text in looked.missing) == [
        "configz of real-worker",
        "pods of other namespaces",
        "stats/summary of real-worker",
    ]
    provenance, made = records(looked, now=cluster.ended)
    (post,) = why(provenance, made, vmi="hog-1", served_now=True).dead
    assert post.cause in {"eviction", "hard-eviction"}


async def test_the_command(tmp_path: Path) -> None:
    async with serving(Cluster("hard-eviction-deaf"), tmp_path) as kubeconfig:
        command = ("-m", "harness", "why", "--kubeconfig", str(kubeconfig), "default/hog-1", "-o", "json")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from harness.cli.main import main; main()",
            *command[2:],
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
    assert process.returncode == 0
    answer = json.loads(out)
    assert answer["dead"][0]["cause"] == "hard-eviction"
    assert answer["dead"][0]["phaseLag"]["high"] is None

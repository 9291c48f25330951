"""Privileged pods on a fake node: what their containers are told to run is run here, as processes of this host.

The embedded kubelet runs no such pods, so they are kept here. A DaemonSet is its pods, which run; a pod's log is the
output of its command. A pod that does one thing runs its command (without nsenter) with a `systemctl` and a `kubelet`
of this directory, which count and obey.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import yaml
from aiohttp import web

from harness.rules.merge_patch import merge
from tests.cluster.kubeconfig.scene import Foreign
from tests.rbac_proxy import Asked, answer

SYSTEMCTL = """#!/bin/sh
echo "$*" >> {here}/calls
case $1 in
  is-active) test ! -e {here}/dead ;;
  restart) rm -rf {here}/effective; mkdir {here}/effective
    cp {here}/config.yaml {here}/effective/1.yaml
    for f in {here}/drop-ins/*.conf; do if [ -e "$f" ]; then cp "$f" {here}/effective/2.yaml; fi; done
    if grep -q nonsense {here}/effective/*; then touch {here}/dead; else rm -f {here}/dead; fi ;;
esac
"""
JOURNALCTL = '#!/bin/sh\necho "E1128 run.go:74] command failed: nonsense"\n'
SLEEP = "#!/bin/sh\nexec /bin/sleep 0.02\n"
KUBELET = "#!/bin/sh\nread -r _\n"


@dataclass
class FakeNode:
    """One node's files, its kubelet, and pods that get at them."""

    there: Foreign
    here: Path
    drop_ins: bool = True
    told: list[tuple[str, ...]] = field(default_factory=list)
    """Commands that were run in pods."""
    refuse_daemonsets: str = ""
    reader_phase: str = "Running"
    cut_after: int = 0
    """Looks after which the first log is cut, 0: never."""
    pid: int = 0
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Pod name → pod."""

    @contextmanager
    def running(self) -> Iterator[FakeNode]:
        here = self.here
        binaries = here / "bin"
        binaries.mkdir(parents=True)
        (here / "drop-ins").mkdir()
        (here / "config.yaml").write_text(yaml.safe_dump(self._base()))
        programs = {"systemctl": SYSTEMCTL, "journalctl": JOURNALCTL, "kubelet": KUBELET, "sleep": SLEEP}
        for name, text in programs.items():
            (binaries / name).write_text(text.replace("{here}", str(here)))
            (binaries / name).chmod(0o755)
        arguments = [f"--config={here}/config.yaml"]
        arguments += [f"--config-dir={here}/drop-ins"] if self.drop_ins else []
        process = subprocess.Popen([str(binaries / "kubelet"), *arguments], stdin=subprocess.PIPE)
        self.pid = process.pid
        self.there.rbac.instead = self._instead
        try:
            yield self
        finally:
            process.kill()
            process.wait()
            assert process.stdin is not None
            process.stdin.close()

    @staticmethod
    def _base() -> dict[str, Any]:
        return {"kind": "KubeletConfiguration", "evictionHard": {"memory.available": "500Mi"}, "maxPods": 110}

    @property
    def calls(self) -> list[str]:
        """What systemctl was told."""
        with suppress(FileNotFoundError):
            return (self.here / "calls").read_text().splitlines()
        return []

    @property
    def effective(self) -> dict[str, Any]:
        """The settings in force."""
        files = sorted((self.here / "effective").glob("*.yaml"))
        found: dict[str, Any] = {} if files else self._base()
        for file in files:
            found = merge(found, yaml.safe_load(file.read_text()))
        return found

    async def _instead(self, request: web.Request, wish: Asked) -> web.StreamResponse | None:
        match wish.verb, wish.named:
            case "get", "nodes/proxy" if request.path.endswith("configz"):
                # zero values are left out of what is served (`omitempty`)
                served = {key: value for key, value in self.effective.items() if value not in (0, False, "")}
                return answer({"kubeletconfig": served})
            case "create", "daemonsets":
                return self._daemonset(orjson.loads(await request.read()), wish.namespace)
            case "delete", "daemonsets":
                self.kept = {name: p for name, p in self.kept.items() if not name.startswith(wish.name)}
                return answer({"kind": "Status", "status": "Success"})
            case "list", "daemonsets":
                return answer({"metadata": {"resourceVersion": "1"}, "items": []})
            case "list" | "watch", "pods" if self._is_ours(request):
                return await self._pods(request, wish)
            case "delete", "pods" if wish.name in self.kept:
                del self.kept[wish.name]
                return answer({"kind": "Status", "status": "Success"})
            case "get", "pods/log":
                return await self._log(request, wish)
            case "create", "pods":
                body = orjson.loads(await request.read())
                if "density.dev/node-pod" in body["metadata"].get("labels", {}):
                    return await self._once(body, wish.namespace)
        return None

    def pods(self, role: str) -> list[Mapping[str, Any]]:
        return [p for p in self.kept.values() if p["metadata"]["labels"]["density.dev/node-pod"] == role]

    @staticmethod
    def _is_ours(request: web.Request) -> bool:
        asked = request.query.get("labelSelector", "") + request.query.get("fieldSelector", "")
        return "density.dev/node-pod" in asked or "density-kubelet-" in asked

    async def _pods(self, request: web.Request, wish: Asked) -> web.StreamResponse:
        if wish.verb == "list":
            return answer({"metadata": {"resourceVersion": "1"}, "items": list(self.kept.values())})
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(30)  # nothing happens to them
        return response

    def _daemonset(self, body: dict[str, Any], namespace: str) -> web.Response:
        if self.refuse_daemonsets:
            status = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": self.refuse_daemonsets}
            return answer(status, code=403)
        template = body["spec"]["template"]
        terms = template["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        for number, term in enumerate(terms["nodeSelectorTerms"]):
            (where,) = term["matchFields"]
            (node,) = where["values"]
            name = f"{body['metadata']['name']}-{number}"
            self.kept[name] = {
                "metadata": {"name": name, "namespace": namespace, **template["metadata"]},
                "spec": {**template["spec"], "nodeName": node},
                "status": {"phase": self.reader_phase},
            }
        return answer(body, code=201)

    async def _log(self, request: web.Request, wish: Asked) -> web.StreamResponse:
        pod = self.kept[wish.name]
        if "log" in pod["metadata"].get("annotations", {}):
            return web.Response(body=pod["metadata"]["annotations"]["log"].encode())
        command = [w.replace("$$", "$") for w in pod["spec"]["containers"][0]["command"]]
        self.told.append(tuple(command))
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True
        )
        response = web.StreamResponse()
        await response.prepare(request)
        assert process.stdout is not None
        try:
            looks = 0
            async for line in process.stdout:
                await response.write(line)
                looks += line == b"E\n"
                if self.cut_after and looks == self.cut_after:
                    self.cut_after = 0
                    break
        except (ConnectionError, OSError):
            pass
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            await process.wait()
        return response

    async def _once(self, body: dict[str, Any], namespace: str) -> web.Response:
        command = [w.replace("$$", "$") for w in body["spec"]["containers"][0]["command"]]
        self.told.append(tuple(command))
        # Of all the processes of this machine only ours is the node's.
        after = [w.replace("/proc/[0-9]*", f"/proc/{self.pid}") for w in command[command.index("--") + 1 :]]
        path = f"{self.here}/bin:{os.environ['PATH']}"
        process = await asyncio.create_subprocess_exec(
            *after,
            env={"PATH": path},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        body["metadata"]["annotations"] = {"log": said.decode()}
        body["metadata"]["namespace"] = namespace
        body["status"] = {"phase": "Failed" if process.returncode else "Succeeded"}
        self.kept[body["metadata"]["name"]] = body
        return answer(body, code=201)

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from harness.kube.connection import connect
from harness.kube.errors import ConfigError
from harness.kube.objects import Objects
from tests.kube.faulty import kubeconfig, serve, status


async def test_an_exec_plugin_is_asked_again_when_its_token_is_refused(tmp_path: Path) -> None:
    counter = tmp_path / "calls"
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "import json, pathlib\n"
        f"p = pathlib.Path({str(counter)!r})\n"
        "n = int(p.read_text()) + 1 if p.exists() else 1\n"
        "p.write_text(str(n))\n"
        "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential',\n"
        "  'status': {'token': f'token-{n}', 'expirationTimestamp': '2099-01-01T00:00:00Z'}}))\n"
    )
    seen: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization", ""))
        return (
            status(401, "Unauthorized")
            if seen[-1] == "Bearer token-1"
            else web.Response(text=json.dumps({"ok": 1}))
        )

    app = web.Application()
    app.router.add_get("/version", handle)
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": [str(plugin)],
        }
    }
    async with serve(app) as url:
        file = tmp_path / "config"
        file.write_text(yaml.safe_dump(kubeconfig(url, user)))
        async with connect(file) as connection:
            assert await Objects(connection).raw("/version") == {"ok": 1}
    assert seen == ["Bearer token-1", "Bearer token-2"]


async def test_a_failing_plugin_is_one_line(tmp_path: Path) -> None:
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(tmp_path / "nothing")}}
    with pytest.raises(ConfigError, match="credential plugin"):
        async with connect(kubeconfig("https://127.0.0.1:1", user)):
            pass


async def test_a_token_file_is_read_again_when_refused(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")

    async def handle(request: web.Request) -> web.Response:
        if request.headers["Authorization"] == "Bearer new":
            return web.Response(text="{}")
        token.write_text("new\n")
        return status(401, "Unauthorized")

    app = web.Application()
    app.router.add_get("/version", handle)
    async with serve(app) as url, connect(kubeconfig(url, {"tokenFile": str(token)})) as connection:
        assert await Objects(connection).raw("/version") == {}


async def test_a_document_with_a_token_does_not_import_kubernetes() -> None:
    code = (
        "import asyncio, sys\n"
        "from harness.kube.connection import connect\n"
        "from tests.kube.faulty import kubeconfig\n"
        "async def main():\n"
        "    async with connect(kubeconfig('https://127.0.0.1:1', {'token': 't'})): pass\n"
        "asyncio.run(main())\n"
        "print('kubernetes' in sys.modules)\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    out, _ = await process.communicate()
    assert out.decode().strip() == "False"

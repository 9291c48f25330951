"""Serial consoles over websockets, as virt-api serves them: raw bytes in binary frames, one session per VMI.

Source: KubeVirt `pkg/virt-api/rest/console.go`, `vnc.go`, `streamer.go`; subprotocol `plain.kubevirt.io`
(`staging/src/kubevirt.io/client-go/kubecli/websocket.go`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from aiohttp import WSMsgType, web

from harness.embedded.api.errors import BadRequest, Conflict, NotFound, NotImplementedHere, Unavailable
from harness.embedded.api.hooks import Hooks
from harness.embedded.api.objects import Object
from harness.embedded.api.resources import VIRTUALMACHINEINSTANCES
from harness.embedded.api.store import Store
from harness.embedded.machine.base import Console
from harness.embedded.machine.errors import ConsoleClosed, MachineError

SUBPROTOCOL = "plain.kubevirt.io"


class Consoles:
    """The console and VNC subresources of VMIs."""

    def __init__(self, store: Store, hooks: Hooks) -> None:
        self._store = store
        self._hooks = hooks
        self._sessions: dict[tuple[str, str], asyncio.Event] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def close(self) -> None:
        """End every session."""
        for ended in self._sessions.values():
            ended.set()

    def refuse_vnc(self, namespace: str, name: str) -> NotImplementedHere | BadRequest:
        """Return why there is no VNC: the VMI is headless, or pictures are nothing this cluster makes."""
        if _device_off(self._vmi(namespace, name), "autoattachGraphicsDevice"):
            return BadRequest("No graphics devices are present.")
        return NotImplementedHere("the embedded cluster serves no VNC; the serial console is served")

    async def serve(self, request: web.Request, namespace: str, name: str) -> web.StreamResponse:
        """Bridge the websocket and the console until either side ends or a newer session takes over.

        Raises before the upgrade: `NotFound`, `BadRequest` (no console, not running, no upgrade), `Conflict` (failed).
        """
        vmi = self._vmi(namespace, name)
        if _device_off(vmi, "autoattachSerialConsole"):
            raise BadRequest("No serial consoles are present.")
        phase = (vmi.get("status") or {}).get("phase")
        if phase == "Failed":
            raise Conflict(
                f'Operation cannot be fulfilled on virtualmachineinstance.kubevirt.io "{name}": '
                "VMI is in failed status",
                details={"name": name, "group": "kubevirt.io", "kind": "virtualmachineinstance"},
            )
        if phase != "Running":
            raise BadRequest("VMI is not running")
        socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,), timeout=0.2)
        if not socket.can_prepare(request):
            raise BadRequest("a console is a websocket: the request asks for no upgrade")
        try:
            console = self._hooks.console(namespace, name)
        except MachineError as error:
            raise Unavailable(f"the console of {namespace}/{name} is not there: {error}") from error
        key, ended = (namespace, name), asyncio.Event()
        if key in self._sessions:
            self._sessions[key].set()
        self._sessions[key] = ended
        try:
            await socket.prepare(request)
            await _bridge(socket, console, ended)
            await socket.close()
        finally:
            if self._sessions.get(key) is ended:
                del self._sessions[key]
        return socket

    def _vmi(self, namespace: str, name: str) -> Object:
        try:
            return self._store.get(VIRTUALMACHINEINSTANCES, namespace, name)
        except NotFound:
            raise NotFound(
                f'virtualmachineinstance.kubevirt.io "{name}" not found',
                details={"name": name, "group": "kubevirt.io", "kind": "virtualmachineinstance"},
            ) from None


def _device_off(vmi: Object, switch: str) -> bool:
    devices: dict[str, Any] = ((vmi.get("spec") or {}).get("domain") or {}).get("devices") or {}
    return devices.get(switch) is False


async def _bridge(socket: web.WebSocketResponse, console: Console, ended: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_to_client(socket, console)),
            group.create_task(_to_guest(socket, console)),
            group.create_task(ended.wait()),
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


async def _to_client(socket: web.WebSocketResponse, console: Console) -> None:
    with suppress(ConnectionError, ConsoleClosed):
        async for chunk in console.read():
            await socket.send_bytes(chunk)


async def _to_guest(socket: web.WebSocketResponse, console: Console) -> None:
    with suppress(ConsoleClosed):
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                await console.write(message.data)
            elif message.type is WSMsgType.TEXT:
                await console.write(message.data.encode())

"""The nodes' own daemons of a scenario: started before its guests, grown by its steps, ended after them.

They speak the guest agent's protocol, but not as guests: what they say becomes samples of source `process` with subject
`daemon/<name>`, never lines of a console.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.cluster.base import Cluster, Daemon, NodeHandle, RunsDaemons
from harness.cluster.errors import NotObservable
from harness.run.console_lines import AgentLine, command, parse
from harness.run.errors import RunError
from harness.run.stream import Stream
from harness.run.tasks import Background
from harness.spec.model import DaemonSpec
from harness.units import Bytes

SPOKEN = ("hello", "stat", "held", "ok")
"""Lines that tell how much is held."""
HELLO = 30.0
"""Seconds until a daemon says hello; 0.01 on an idle machine."""


@dataclass(slots=True)
class _View:
    daemon: Daemon
    node: str
    """Name of its node in the API."""
    held: Bytes = Bytes(0)
    greeted: bool = False
    ended: bool = False
    sent: int = 0
    answered: int = 0
    refused: str = ""


class Daemons:
    """All daemons of a run."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._views: dict[str, _View] = {}

    async def start(
        self,
        specs: tuple[DaemonSpec, ...],
        cluster: Cluster,
        handles: tuple[NodeHandle, ...],
        background: Background,
    ) -> None:
        """Start them and wait until each can be told what to do; they end with `background`. Raises NotObservable, ClusterError, Deadline."""
        if not specs:
            return
        if not isinstance(cluster, RunsDaemons):
            raise NotObservable(
                f"processes outside the pods can't be started on the nodes of a {cluster.kind} cluster from here"
            )
        by_name = {handle.name: handle for handle in handles}
        for spec in specs:
            handle = by_name[spec.node]
            self._stream.action("start-daemon", spec.name, node=handle.kube_name)
            view = _View(await cluster.start_daemon(handle, spec.name), handle.kube_name)
            self._views[spec.name] = view
            background.start(self._listen(spec.name, view), f"daemon {spec.name}")
        await self._stream.until(
            lambda: all(view.greeted for view in self._views.values()),
            within=HELLO,
            what="the nodes' daemons said no hello",
        )

    async def _listen(self, name: str, view: _View) -> None:
        try:
            async for text in view.daemon.lines():
                line = parse(text)
                if line is not None:
                    self._take(name, view, line)
        finally:
            await view.daemon.end()
        view.ended = True
        self._stream.note("daemon-ended", f"daemon {name} is gone", node=view.node, held=view.held)

    def _take(self, name: str, view: _View, line: AgentLine) -> None:
        number = line.number("id") or 0
        if line.word in {"ok", "err"}:
            view.answered = max(view.answered, number)
        if line.word == "err" and number:
            view.refused = line.fields.get("msg", "refused a command")
        if line.word in SPOKEN:
            held = line.number("bytes" if line.word == "held" else "held")
            view.greeted = True
            view.held = view.held if held is None else Bytes(held)
            data = {"pid": view.daemon.pid, "held": view.held}
            if (resident := line.number("resident")) is not None:
                data["rss"] = resident
            self._stream.sample(source="process", node=view.node, subject=f"daemon/{name}", data=data)
        self._stream.wake()

    def node_of(self, name: str) -> str:
        """The node it runs on, by its name in the API."""
        return self._views[name].node

    def held(self, names: tuple[str, ...]) -> Mapping[str, Bytes]:
        """What each last said it holds."""
        return {name: self._views[name].held for name in names}

    def is_over(self, name: str, number: int) -> bool:
        """Whether a command was answered, or never will be."""
        return self._views[name].ended or self._views[name].answered >= number

    async def send(self, name: str, verb: str, **arguments: object) -> int:
        """Record and send a command; return its number."""
        view = self._views[name]
        view.sent += 1
        line = command(view.sent, verb, **arguments)
        self._stream.action("command-daemon", name, line=line, node=view.node)
        await view.daemon.send(line)
        return view.sent

    async def do(self, name: str, verb: str, **arguments: object) -> None:
        """Send a command and wait for its end or the daemon's. Raises RunError when it was refused."""
        number = await self.send(name, verb, **arguments)
        await self._stream.until(lambda: self.is_over(name, number))
        if refused := self._views[name].refused:
            raise RunError(f"daemon {name}: {refused}")

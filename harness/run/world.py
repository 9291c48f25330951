"""What is so right now, folded from the records: the only thing orchestrator and workload look at.

It decides what to do next, never what is reported: judging reads the records again, by its own means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.records.model import Guest, Kernel, Record, Sample, Watch
from harness.run.console_lines import AgentLine, parse
from harness.units import Bytes, Seconds

FINAL_PHASES = frozenset({"Succeeded", "Failed"})
NOT_STARTED = "command SyncVMI failed"
"""In the SyncFailed event of a domain that virt-launcher could not start."""
FRESH = 3.0
"""Seconds after which a probe's reading is no longer 'now' (it comes every 0.5 s; less often under load)."""


@dataclass(slots=True)
class GuestView:
    """One guest as its console tells."""

    nonce: str
    hello: AgentLine | None = None
    held: Bytes = Bytes(0)
    said_bye: bool = False
    wrong_nonce: str = ""
    replies: dict[int, AgentLine] = field(default_factory=dict)
    told: Seconds | None = None
    """When it last said something, of a guest that tells its state each second."""

    def reborn(self) -> None:
        """Forget what the guest said: another one boots under its name. Commands go on being counted."""
        self.hello, self.held, self.said_bye, self.told = None, Bytes(0), False, None

    @property
    def mem_available(self) -> Bytes | None:
        """MemAvailable at `hello`: what percentages of a guest are of."""
        value = self.hello.number("memavailable") if self.hello else None
        return None if value is None else Bytes(value)


class World:
    """Apply every record in order, then ask."""

    def __init__(self) -> None:
        self.vmis: dict[str, Mapping[str, Any]] = {}
        self.gone: set[str] = set()
        """VMIs deleted."""
        self.pods: dict[str, Mapping[str, Any]] = {}
        """By uid; kept after deletion."""
        self.gone_pods: set[str] = set()
        self.nodes: dict[str, Mapping[str, Any]] = {}
        self.guests: dict[str, GuestView] = {}
        self.capacity: dict[str, Bytes] = {}
        """Kube node name → size; set by the orchestrator from the node handles."""
        self._probed: dict[str, tuple[Seconds, Bytes]] = {}
        self._served: dict[str, tuple[str, Bytes]] = {}
        self._resident: dict[str, tuple[str, Seconds, Bytes]] = {}
        """VMI → node, when, and resident memory of its QEMU."""
        self.ksm: Mapping[str, Any] = {}
        """KSM of the machine as last seen: knobs and counters."""
        self.first_death: dict[str, Seconds] = {}
        """VMI → when its end, or that of its first incarnation, was first seen."""
        self.happened: dict[str, set[str]] = {
            "evicted": set(),
            "oom": set(),
            "ended": set(),
            "restarted": set(),
        }
        """What has happened to which VMIs so far: a kubelet evicted it, a kernel killed it, it ended in any way, another
        one followed under its name."""
        self.uids: dict[str, str] = {}
        """VMI → UID of its present incarnation."""
        self.unstarted: dict[str, str] = {}
        """VMI → virt-handler's last words on why its domain could not be started."""
        self._dead_now: set[str] = set()
        self.now = Seconds(0.0)

    def expect_guest(self, vmi: str, nonce: str) -> None:
        """Announce a guest that was, or is about to be, created."""
        self.guests[vmi] = GuestView(nonce=nonce)

    def apply(self, _line: int, record: Record) -> None:
        """Take one record."""
        self.now = record.t
        match record:
            case Watch():
                self._watch(record)
            case Guest():
                self._console(record)
            case Sample(source="cgroup", subject="/"):
                working_set = record.data.get("workingSet")
                if isinstance(working_set, int) and record.node in self.capacity:
                    available = max(0, self.capacity[record.node] - working_set)
                    self._probed[record.node] = (record.t, Bytes(available))
            case Sample(source="process") if record.subject in self.guests:
                if isinstance(rss := record.data.get("rss"), int):
                    self._resident[record.subject] = (record.node, record.t, Bytes(rss))
            case Sample(source="ksm"):
                self.ksm = record.data
            case Sample(source="stats/summary"):
                row = (record.data.get("node") or {}).get("memory") or {}
                if isinstance(row.get("availableBytes"), int):
                    self._served[record.node] = (str(row.get("time", "")), Bytes(row["availableBytes"]))
            case Kernel() if record.vmi:
                self._dead(record.vmi, "oom")
            case _:
                pass

    def _watch(self, record: Watch) -> None:
        item = record.object
        meta = item.get("metadata") or {}
        deleted = record.type == "DELETED"
        match item.get("kind"):
            case "Node":
                self.nodes[meta.get("name", "")] = item
            case "VirtualMachineInstance":
                key = f"{meta.get('namespace', '')}/{meta.get('name', '')}"
                self._incarnation(key, str(meta.get("uid", "")))
                self.vmis[key] = item
                if deleted:
                    self.gone.add(key)
                if deleted or phase(item) in FINAL_PHASES:
                    self._dead(key)
            case "Pod":
                self.pods[meta.get("uid", "")] = item
                if deleted:
                    self.gone_pods.add(meta.get("uid", ""))
                owner, evicted = vmi_of_pod(item), evicted_by_kubelet(item)
                memory = evicted and evicted_for_memory(item)
                known = self.uids.get(owner, "")
                if known and owner_uid(item) not in {known, ""}:
                    return  # the pod of an earlier incarnation
                if owner and oom_killed(item):
                    self._dead(owner, "oom")
                if owner and (deleted or phase(item) in FINAL_PHASES or evicted):
                    self._dead(owner, *(("evicted",) if memory else ()))
            case "Event" if item.get("reason") == "SyncFailed":
                about = item.get("involvedObject") or {}
                message = str(item.get("message") or "")
                if about.get("kind") == "VirtualMachineInstance" and NOT_STARTED in message:
                    key = f"{about.get('namespace', '')}/{about.get('name', '')}"
                    self.unstarted[key] = message.partition(NOT_STARTED)[2].lstrip(": ")
            case _:
                pass

    def _incarnation(self, key: str, uid: str) -> None:
        """Begin anew with a VMI that has followed one of the same name."""
        before = self.uids.get(key)
        self.uids[key] = uid
        if before not in {None, uid}:
            self._dead_now.discard(key)
            self.happened["restarted"].add(key)
            self.gone.discard(key)
            if key in self.guests:
                self.guests[key].reborn()

    def _dead(self, vmi: str, *how: str) -> None:
        self.first_death.setdefault(vmi, self.now)
        self._dead_now.add(vmi)
        for what in ("ended", *how):
            self.happened[what].add(vmi)

    def _console(self, record: Guest) -> None:
        view, line = self.guests.get(record.vmi), parse(record.line)
        if view is None or line is None:
            return
        if line.word == "stat" or view.told is not None:
            view.told = record.t
        match line.word:
            case "hello":
                if line.fields.get("nonce") != view.nonce:
                    view.wrong_nonce = line.fields.get("nonce", "")
                elif view.hello is None:
                    view.hello = line
            case "stat" | "ok":
                view.held = Bytes(held) if (held := line.number("held")) is not None else view.held
            case "held":
                view.held = Bytes(held) if (held := line.number("bytes")) is not None else view.held
            case _:
                pass
        number = line.number("id")
        if number is not None and line.word in {"ok", "err"}:
            view.replies[number] = line
        if line.word == "bye":
            view.said_bye = True
            self._dead(record.vmi)

    # -- questions -------------------------------------------------------------------------------------------------

    def is_dead(self, vmi: str) -> bool:
        """Whether its end was seen: evicted, killed, shut down, deleted."""
        return vmi in self._dead_now

    def is_over(self, vmi: str) -> bool:
        """Whether its guest has certainly ended; a VMI that is being evicted may still be shutting down."""
        view = self.guests.get(vmi)
        said_bye = view is not None and view.said_bye
        return said_bye or vmi in self.gone or phase(self.vmis.get(vmi, {})) in FINAL_PHASES

    def is_ready(self, vmi: str) -> bool:
        """Whether the guest said hello with the nonce it was given."""
        view = self.guests.get(vmi)
        return view is not None and view.hello is not None

    def is_running(self, vmi: str) -> bool:
        """Whether the VMI's phase is Running."""
        return phase(self.vmis.get(vmi, {})) == "Running"

    def node_of(self, vmi: str) -> str:
        """The node its pod runs on, '' while unscheduled."""
        for pod in reversed(self.pods.values()):
            if vmi_of_pod(pod) == vmi and (node := (pod.get("spec") or {}).get("nodeName")):
                return str(node)
        return str((self.vmis.get(vmi, {}).get("status") or {}).get("nodeName") or "")

    def available(self, node: str) -> Bytes | None:
        """The node's memory.available: as probed, else as its kubelet last served it (up to 10 s old)."""
        probed = self._probed.get(node)
        if probed is not None and self.now - probed[0] <= FRESH:
            return probed[1]
        served = self._served.get(node)
        return served[1] if served else None

    def resident(self, node: str) -> Bytes:
        """Resident memory of all QEMU processes of a node, of those that were seen just now."""
        return Bytes(
            sum(rss for at, t, rss in self._resident.values() if at == node and self.now - t <= FRESH)
        )

    def stats_time(self, node: str) -> str:
        """Time stamp of the node's memory row in stats/summary; it changes once per kubelet pass."""
        return self._served.get(node, ("", Bytes(0)))[0]

    def under_pressure(self, node: str) -> bool:
        """Whether the node's MemoryPressure condition is True."""
        conditions = (self.nodes.get(node, {}).get("status") or {}).get("conditions") or ()
        return any(c.get("type") == "MemoryPressure" and c.get("status") == "True" for c in conditions)

    def unschedulable(self, vmi: str) -> str:
        """The scheduler's words, if it finds no node for a VMI's pod now."""
        for pod in self.pods.values():
            if vmi_of_pod(pod) != vmi or pod["metadata"].get("uid") in self.gone_pods:
                continue
            for condition in (pod.get("status") or {}).get("conditions") or ():
                kind, status = condition.get("type"), condition.get("status")
                if (kind, status, condition.get("reason")) == ("PodScheduled", "False", "Unschedulable"):
                    return str(condition.get("message") or "no node takes it")
        return ""

    def why_not_running(self, vmi: str) -> str:
        """What the objects say of a VMI that does not start, in one line."""
        found = [f"phase {phase(self.vmis[vmi]) or 'none'}" if vmi in self.vmis else "VMI not seen"]
        for pod in self.pods.values():
            if vmi_of_pod(pod) == vmi:
                found.append(f"pod {phase(pod)}")
                found += [
                    str(c.get("message"))
                    for c in (pod.get("status") or {}).get("conditions") or ()
                    if c.get("status") == "False" and c.get("message")
                ]
        found += [
            str(c.get("message"))
            for c in (self.vmis.get(vmi, {}).get("status") or {}).get("conditions") or ()
            if c.get("status") == "False" and c.get("message")
        ]
        view = self.guests.get(vmi)
        if view is not None and view.wrong_nonce:
            found.append(f"hello with another nonce ({view.wrong_nonce})")
        return "; ".join(dict.fromkeys(found))


def phase(item: Mapping[str, Any]) -> str:
    """`status.phase`, '' if there is none."""
    return str((item.get("status") or {}).get("phase") or "")


def vmi_of_pod(pod: Mapping[str, Any]) -> str:
    """`<namespace>/<name>` of the VMI a virt-launcher pod belongs to, '' for other pods."""
    meta = pod.get("metadata") or {}
    for owner in meta.get("ownerReferences") or ():
        if owner.get("kind") == "VirtualMachineInstance":
            return f"{meta.get('namespace', '')}/{owner.get('name', '')}"
    return ""


def owner_uid(pod: Mapping[str, Any]) -> str:
    """UID of the VMI a virt-launcher pod belongs to, '' where it says none."""
    owners = (pod.get("metadata") or {}).get("ownerReferences") or ()
    return str(next((o.get("uid") for o in owners if o.get("kind") == "VirtualMachineInstance"), "") or "")


def oom_killed(pod: Mapping[str, Any]) -> bool:
    """Whether a container of the pod was killed for memory, by its status."""
    states = (
        (s.get("state") or {}).get("terminated") or {}
        for s in (pod.get("status") or {}).get("containerStatuses") or ()
    )
    return any(state.get("reason") == "OOMKilled" for state in states)


def evicted_for_memory(pod: Mapping[str, Any]) -> bool:
    """Whether the kubelet's message, where there is one, names memory (a node shutdown sets the same condition)."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    told = [str(c.get("message") or "") for c in conditions if c.get("type") == "DisruptionTarget"]
    return all(not text or "low on resource: memory" in text for text in told)


def evicted_by_kubelet(pod: Mapping[str, Any]) -> bool:
    """Whether the pod has the condition a kubelet sets when it evicts (KEP-3329)."""
    return any(
        c.get("type") == "DisruptionTarget"
        and c.get("status") == "True"
        and c.get("reason") == "TerminationByKubelet"
        for c in (pod.get("status") or {}).get("conditions") or ()
    )

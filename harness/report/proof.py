"""From a number back to the records that prove it: line numbers, a command that prints or re-derives them, a digest."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.records import model
from harness.records.served import dig
from harness.report.text import clean
from harness.units import MIB

SHOWN = 20
"""Lines a proof command prints at most."""
CITED = 400
"""Records a page quotes at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cited:
    """One record that a number rests on, as one line for people."""

    line: int
    t: float
    stream: str
    text: str


def source_of(records: str) -> str:
    """How a shell reads the records: `cat FILE`, or `zcat FILE` of a gzip."""
    return f"{'zcat' if records.endswith('.gz') else 'cat'} {shlex.quote(records)}"


def proof_command(lines: Iterable[int], records: str = "records.ndjson") -> str:
    """The command that prints the records a finding rests on, from inside the run directory; '' of none."""
    wanted = sorted(set(lines))[:SHOWN]
    if not wanted:
        return ""
    script = f"'{';'.join(f'{n}p' for n in wanted)}'"
    if records.endswith(".gz"):
        return f"{source_of(records)} | sed -n {script} | jq ."
    return f"sed -n {script} {shlex.quote(records)} | jq ."


def percentile_command(vmi: str, field: str, percent: int, until: float, records: str) -> str:
    """The command that re-derives a nearest-rank percentile of a field of a guest's `@ stat` lines."""
    which = (
        f'.stream=="guest" and .vmi=={json.dumps(vmi)} and .t<={until:.6f}'
        if vmi
        else (f'.stream=="guest" and .t<={until:.6f}')
    )
    program = (
        f'select({which}) | .line | select(test("^@ stat .*held=[1-9]"))'
        f' | capture("[ ]{field}=(?<v>[0-9]+)").v'
    )
    rank = f"{{a[NR]=$1}} END {{print a[int((NR*{percent}+99)/100)]}}"
    return f"{source_of(records)} | jq -r {shlex.quote(program)} | sort -n | awk {shlex.quote(rank)}"


def digest(line: int, record: model.Record) -> Cited:
    """Say a record in one line."""
    tag = str(record.__struct_config__.tag)
    return Cited(line=line, t=record.t, stream=tag, text=clean(_say(record), most=320))


def _say(record: model.Record) -> str:
    match record:
        case model.Watch():
            return f"{record.type} {_object(record.object)}"
        case model.Guest():
            return f"{record.vmi}: {record.line[:400]}"
        case model.Sample():
            return f"{record.source} {record.node} {record.subject}: {_sample(record)}".replace(" :", ":")
        case model.Action():
            return f"{record.what} {record.target} {_pairs(record.args)}".rstrip()
        case model.Kernel():
            said = " / ".join(record.lines[:3])
            return f"{record.source} {record.scope} OOM, {record.vmi or record.taskMemcg} pid {record.pid} {said}"
        case model.Note():
            return f"{record.what}: {record.text}"
        case model.End():
            return "end of the records"


def _object(obj: Mapping[str, Any]) -> str:
    kind = str(obj.get("kind", "object"))
    name = f"{dig(obj, 'metadata', 'namespace') or ''}/{dig(obj, 'metadata', 'name') or ''}".lstrip("/")
    if kind == "Event":
        return f"Event {obj.get('reason')}: {obj.get('message') or obj.get('note') or ''} ({name})"
    words = [f"{kind} {name}"]
    if phase := dig(obj, "status", "phase"):
        words.append(f"phase {phase}")
    words += [
        f"{condition['type']}={condition.get('status')} {condition.get('reason') or ''}".rstrip()
        for condition in _mappings(dig(obj, "status", "conditions"))
        if condition.get("type") in {"DisruptionTarget", "MemoryPressure"}
    ]
    words += [
        f"Unschedulable: {condition.get('message') or ''}"
        for condition in _mappings(dig(obj, "status", "conditions"))
        if kind == "Pod" and condition.get("reason") == "Unschedulable"
    ]
    for status in _mappings(dig(obj, "status", "containerStatuses")):
        ended = dig(status, "state", "terminated")
        if isinstance(ended, Mapping):
            words.append(
                f"{status.get('name')} ended {ended.get('exitCode')} {ended.get('reason') or ''}".rstrip()
            )
    if deleting := dig(obj, "metadata", "deletionTimestamp"):
        words.append(f"deleted at {deleting}")
    return ", ".join(words)


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _sample(record: model.Sample) -> str:
    data = record.data
    if record.source == "stats/summary":
        memory = dig(data, "node", "memory")
        if isinstance(memory, Mapping) and isinstance(memory.get("availableBytes"), int | float):
            return f"available {memory['availableBytes'] / MIB:.1f} MiB at {memory.get('time')}"
    sizes = [
        f"{key} {value / MIB:.1f} MiB"
        for key in ("usage", "workingSet", "rss", "pss", "limit")
        if isinstance(value := data.get(key), int | float) and value < (1 << 60)
    ]
    return ", ".join(sizes) or _pairs(data)


def _pairs(data: Mapping[str, Any]) -> str:
    return " ".join(
        f"{key}={value}" for key, value in list(data.items())[:8] if not isinstance(value, dict | list)
    )

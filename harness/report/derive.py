"""Commands that derive a number anew from the records that prove it: what a reader may type to check a page.

Each prints the number in the unit of its value: VMIs, bytes, seconds, CPUs. They need jq, sed, awk, sort and (for bytes)
numfmt of GNU coreutils. '' where no command would give the number: too many records to name, or a quantity of Kubernetes
that numfmt can't read.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence

from harness.records import served
from harness.report.proof import source_of

MOST = 200
"""Records that a command names one by one."""
_PLAIN = re.compile(r"[0-9]+(?:[KMGT]i?)?")
_NAME = '(.object.metadata | "\\(.namespace)/\\(.name)")'
_GUEST = ".object.spec.domain | .memory.guest // .resources.requests.memory // .resources.limits.memory"
_REQUESTS = (
    '.object.spec | [.containers[], ((.initContainers // [])[] | select(.restartPolicy == "Always"))]'
    ' | map(.resources.requests.memory // empty) | join(" ")'
)
_SUM = "{s+=$1} END {printf"


def picked(lines: Iterable[int], records: str) -> str:
    """The command that prints those lines of the records; '' of none, or of more than `MOST`."""
    wanted = sorted(set(lines))
    if not 0 < len(wanted) <= MOST:
        return ""
    script = shlex.quote(";".join(f"{n}p" for n in wanted))
    if records.endswith(".gz"):
        return f"{source_of(records)} | sed -n {script}"
    return f"sed -n {script} {shlex.quote(records)}"


def counted(lines: Iterable[int], records: str) -> str:
    """How many objects (or targets of actions) the records are about."""
    pick = picked(lines, records)
    program = f'.target // .vmi // (.object.involvedObject | objects | "\\(.namespace)/\\(.name)") // {_NAME}'
    return f"{pick} | jq -r {shlex.quote(program)} | sort -u | wc -l" if pick else ""


def how_many(select: str, records: str) -> str:
    """How many records are so: a count of 0, shown by there being none."""
    return f"{source_of(records)} | jq -c {shlex.quote(f'select({select}) | .t')} | wc -l"


def sold(lines: Iterable[int], records: str, *, vmis: Iterable[object], per: float = 0.0) -> str:
    """Guest memory of VMIs, summed, in bytes; `per`: bytes of node, for what is sold per GiB of it."""
    pick = picked(lines, records)
    paths = (("memory", "guest"), ("resources", "requests", "memory"), ("resources", "limits", "memory"))
    sizes = [next((q for path in paths if (q := served.dig(v, "spec", "domain", *path))), "") for v in vmis]
    if not pick or not _readable(sizes):
        return ""
    last = f'"%.6f\\n", s/{per:.0f}*1073741824}}' if per else '"%.0f\\n", s}'
    return f"{pick} | jq -r {shlex.quote(_GUEST)} | numfmt --from=auto | awk {shlex.quote(f'{_SUM} {last}')}"


def requested(lines: Iterable[int], records: str, *, pods: Iterable[object]) -> str:
    """Median of the memory that pods request, in bytes."""
    pick = picked(lines, records)
    sizes = [
        amount
        for pod in pods
        for kind in ("containers", "initContainers")
        for container in served.mappings(pod, "spec", kind)
        if (amount := served.dig(container, "resources", "requests", "memory")) is not None
    ]
    if not pick or not _readable(sizes):
        return ""
    total = '{s=0; for (i=1; i<=NF; i++) s+=$i; printf "%.0f\\n", s}'
    middle = '{a[NR]=$1} END {printf "%.1f\\n", (a[int((NR+1)/2)]+a[int((NR+2)/2)])/2}'
    return (
        f"{pick} | jq -r {shlex.quote(_REQUESTS)} | numfmt --from=auto --field=- | awk {shlex.quote(total)}"
        f" | sort -g | awk {shlex.quote(middle)}"
    )


def delay(lines: Iterable[int], records: str, *, rank: int) -> str:
    """The `rank`-th shortest time between the two records that each name has among those lines, in seconds."""
    pick = picked(lines, records)
    each = '$1==k {printf "%.6f\\n", $2-t} {k=$1; t=$2}'
    program = f"[(.target // {_NAME}), .t] | @tsv"
    return (
        (
            f"{pick} | jq -r {shlex.quote(program)} | sort -k1,1 -k2,2g | awk {shlex.quote(each)}"
            f" | sort -g | sed -n {rank}p"
        )
        if pick
        else ""
    )


def ksm_saved(until: float, records: str) -> str:
    """The most that KSM merged away, in bytes."""
    program = f'select(.stream=="sample" and .source=="ksm" and .t<={until:.6f}) | .data.pages_sharing // 0'
    return (
        f"{source_of(records)} | jq {shlex.quote(program)} | sort -g"
        f""" | awk 'END {{printf "%.0f\\n", $1*4096}}'"""
    )


def ksm_cpu(until: float, records: str) -> str:
    """Seconds of ksmd's CPU per second, between the first and the last sample."""
    program = (
        f'select(.stream=="sample" and .source=="ksm" and .t<={until:.6f} and .data.ksmdCpu!=null)'
        ' | "\\(.t) \\(.data.ksmdCpu)"'
    )
    share = 'NR==1 {t=$1; c=$2} {u=$1; d=$2} END {printf "%.6f\\n", (d-c)/(u-t)}'
    return f"{source_of(records)} | jq -r {shlex.quote(program)} | awk {shlex.quote(share)}"


def swapped(lines: Iterable[int], records: str) -> str:
    """Sum of what those samples of nodes' cgroups have in swap, in bytes."""
    pick = picked(lines, records)
    last = '"%.0f\\n", s}'
    return f"{pick} | jq .data.swap | awk {shlex.quote(f'{_SUM} {last}')}" if pick else ""


def _readable(quantities: Sequence[object]) -> bool:
    return all(isinstance(q, int) or (isinstance(q, str) and _PLAIN.fullmatch(q)) for q in quantities)

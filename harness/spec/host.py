"""Reading `host:`: settings of the machine that the nodes share, taken while a scenario runs and given back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Literal, cast

from harness.spec import read
from harness.spec.ksmtuned import read_tuned
from harness.spec.model import HostSettings, KsmSettings, NodeSpec, Step, SwapSettings
from harness.spec.nodes import Mark, Node
from harness.spec.read import Reader

KEYS: Final = ("ksm", "swap")
KSM_KEYS: Final = ("run", "pages_to_scan", "sleep_millisecs", "smart_scan", "advisor")
"""As below /sys/kernel/mm/ksm, the advisor's mode excepted (Documentation/admin-guide/mm/ksm.rst, Linux 6.18)."""
TUNED_BY: Final = ("tuned", "by")
"""Of `host.ksm` alone: who sets the first three of them while the scenario runs."""
TUNERS: Final = ("kubevirt",)
SWAP_KEYS: Final = ("kind", "size")
ADVISORS: Final = ("none", "scan-time")
SWAPS: Final = ("file", "zram")
_MOST: Final = (1 << 31) - 1
_PAGE: Final = 4096


def read_host(
    node: Node,
    open_file: Callable[[str, Mark], str] | None = None,
    nodes: Sequence[NodeSpec] = (),
    workload: Sequence[Step] = (),
) -> HostSettings:
    """Settings of the machine. Raises SpecError. `open_file` None: a preset, which is about no scenario of its own yet."""
    reader = Reader(node, "host", KEYS)
    ksm = reader.read("ksm", lambda n: _host_ksm(n, open_file))
    if ksm is not None and open_file is not None:
        _check_tuned(Reader(reader.need("ksm"), "host.ksm", (*KSM_KEYS, *TUNED_BY)), nodes, workload)
    return HostSettings(ksm=ksm, swap=reader.read("swap", _swap))


def read_ksm(node: Node, what: str = "host.ksm", *, more: tuple[str, ...] = ()) -> KsmSettings:
    """KSM's settings, of `host` or of a step `tune`. Raises SpecError."""
    reader = Reader(node, what, (*KSM_KEYS, *more))
    advisor = reader.read("advisor", lambda n: read.choice(n, ADVISORS, "advisor"))
    if advisor == "scan-time" and reader.has("pages_to_scan"):
        raise reader.key_mark("pages_to_scan").error(
            "'pages_to_scan' is the advisor's to set; leave one of them out"
        )
    return KsmSettings(
        run=cast("Literal[0, 1, 2]", read.or_else(reader.read("run", lambda n: read.whole(n, most=2)), 1)),
        pages_to_scan=reader.read("pages_to_scan", lambda n: read.whole(n, least=1, most=_MOST)),
        sleep_millisecs=reader.read("sleep_millisecs", lambda n: read.whole(n, most=_MOST)),
        smart_scan=reader.read("smart_scan", read.boolean),
        advisor=cast("Literal['none', 'scan-time'] | None", advisor),
    )


def _host_ksm(node: Node, open_file: Callable[[str, Mark], str] | None) -> KsmSettings:
    """KSM's settings, and who goes on setting them: `tuned`, `by`."""
    ksm = read_ksm(node, more=TUNED_BY)
    reader = Reader(node, "host.ksm", (*KSM_KEYS, *TUNED_BY))
    tuners = [key for key in TUNED_BY if reader.has(key)]
    if not tuners:
        return ksm
    if len(tuners) > 1:
        raise reader.key_mark("by").error("'tuned' and 'by' both set KSM; leave one of them out")
    whose = "the file's" if tuners == ["tuned"] else "KubeVirt's"
    for key in KSM_KEYS[:3]:
        if reader.has(key):
            raise reader.key_mark(key).error(f"'{key}' is {whose} to set; leave one of them out")
    if ksm.advisor == "scan-time":
        raise reader.need("advisor").mark.error(
            f"the advisor would set pages_to_scan, which is {whose} to set; leave one of them out"
        )
    by = reader.read("by", lambda n: read.choice(n, TUNERS, "tuner of KSM"))
    return replace(
        ksm,
        run=0,
        tuned=reader.read("tuned", lambda n: read_tuned(n, open_file)),
        by=cast("Literal['kubevirt'] | None", by),
    )


def _check_tuned(reader: Reader, nodes: Sequence[NodeSpec], workload: Sequence[Step]) -> None:
    """Refuse two tuners at once, and a tuner that would not know whose memory it looks at."""
    for key in TUNED_BY:
        if not reader.has(key):
            continue
        mark = reader.key_mark(key)
        for step in workload:
            if step.ksm is not None:
                raise mark.error(
                    f"'{key}' sets KSM while the scenario runs, and so would step '{step.name}' in line {step.line}; "
                    "leave one of them out"
                )
        if len(nodes) != 1:
            raise mark.error(f"'{key}' goes by the memory of one node; this scenario has {len(nodes)}")


def _swap(node: Node) -> SwapSettings:
    reader = Reader(node, "host.swap", SWAP_KEYS)
    kind = reader.read("kind", lambda n: read.choice(n, SWAPS, "kind of swap")) or "file"
    return SwapSettings(
        kind=cast("Literal['file', 'zram']", kind),
        size=read.memory(reader.need("size"), least=10 * _PAGE),  # mkswap refuses less than 10 pages
    )

"""Reading `host:`: settings of the machine that the nodes share, taken while a scenario runs and given back."""

from __future__ import annotations

from typing import Final, Literal, cast

from harness.spec import read
from harness.spec.model import HostSettings, KsmSettings, SwapSettings
from harness.spec.nodes import Node
from harness.spec.read import Reader

KEYS: Final = ("ksm", "swap")
KSM_KEYS: Final = ("run", "pages_to_scan", "sleep_millisecs", "smart_scan", "advisor")
"""As below /sys/kernel/mm/ksm, the advisor's mode excepted (Documentation/admin-guide/mm/ksm.rst, Linux 6.18)."""
SWAP_KEYS: Final = ("kind", "size")
ADVISORS: Final = ("none", "scan-time")
SWAPS: Final = ("file", "zram")
_MOST: Final = (1 << 31) - 1
_PAGE: Final = 4096


def read_host(node: Node) -> HostSettings:
    """Settings of the machine. Raises SpecError."""
    reader = Reader(node, "host", KEYS)
    return HostSettings(ksm=reader.read("ksm", read_ksm), swap=reader.read("swap", _swap))


def read_ksm(node: Node, what: str = "host.ksm") -> KsmSettings:
    """KSM's settings, of `host` or of a step `tune`. Raises SpecError."""
    reader = Reader(node, what, KSM_KEYS)
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


def _swap(node: Node) -> SwapSettings:
    reader = Reader(node, "host.swap", SWAP_KEYS)
    kind = reader.read("kind", lambda n: read.choice(n, SWAPS, "kind of swap")) or "file"
    return SwapSettings(
        kind=cast("Literal['file', 'zram']", kind),
        size=read.memory(reader.need("size"), least=10 * _PAGE),  # mkswap refuses less than 10 pages
    )

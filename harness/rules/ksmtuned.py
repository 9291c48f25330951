"""What ksmtuned writes into /sys/kernel/mm/ksm by its configuration file: the tuning by file the documentation speaks of.

Source: ksmtuned 0.1.0 (src/ksmtuned.sh.in, data/ksmtuned.conf of github.com/ksmtuned/ksmtuned, 018d0ed). Unit: kB, as ksmtuned
computes in those of /proc/meminfo and ps. KubeVirt does not read this file; what its own handler does stands in rules.ksm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from harness.units import Seconds

_REFERENCE_KB: Final = 16 << 20
_LEAST_SLEEP: Final = 10
_KB_PER_MIB: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class KsmtunedSettings:
    """The variables of ksmtuned.conf; the defaults are ksmtuned's own."""

    monitor_interval: int = 60
    """Seconds before each look; the first one comes after as many."""
    sleep_msec: int = 10
    """sleep_millisecs of a machine of 16 GiB; smaller ones sleep longer in proportion, none less than 10."""
    npages_boost: int = 300
    npages_decay: int = -50
    npages_min: int = 64
    npages_max: int = 1250
    thres_coef: int = 20
    """Percent of all memory."""
    thres_const: int = 2048
    """The least threshold, in kB: the documentation says MB, the code compares it with kB."""

    @property
    def interval(self) -> Seconds:
        """Time before each look."""
        return Seconds(float(self.monitor_interval))


@dataclass(frozen=True, slots=True, kw_only=True)
class KsmtunedValues:
    """What is written after a look. While not running only `run` is written."""

    running: bool
    npages: int
    """pages_to_scan; ksmtuned remembers it while it has KSM stopped."""
    sleep_ms: int
    why: str
    """The comparison that decided, in words and MiB."""

    @property
    def files(self) -> Mapping[str, str]:
        """File below /sys/kernel/mm/ksm → text, in the order written."""
        if not self.running:
            return {"run": "0"}
        return {"pages_to_scan": str(self.npages), "sleep_millisecs": str(self.sleep_ms), "run": "1"}


def settings(assigned: Mapping[str, int]) -> KsmtunedSettings:
    """Return the settings of a file: its assignments by their names there (KSM_NPAGES_MAX), ksmtuned's defaults for the rest."""
    return KsmtunedSettings(**{name.removeprefix("KSM_").lower(): value for name, value in assigned.items()})


def threshold_kb(tuned: KsmtunedSettings, *, total_kb: int) -> int:
    """The memory that is to be free: KSM_THRES_COEF percent of all, at least KSM_THRES_CONST kB."""
    return max(total_kb * tuned.thres_coef // 100, tuned.thres_const)


def sleep_ms(tuned: KsmtunedSettings, *, total_kb: int) -> int:
    """sleep_millisecs on a machine of that size."""
    return max(tuned.sleep_msec * _REFERENCE_KB // total_kb, _LEAST_SLEEP)


def adjust(
    npages: int, *, tuned: KsmtunedSettings, total_kb: int, free_kb: int, committed_kb: int
) -> KsmtunedValues:
    """What ksmtuned writes after one look. `npages`: what it last computed, 0 at first; also while KSM is stopped.

    `committed_kb`: resident memory of all QEMU processes. KSM is stopped where that and the threshold fit into memory and more
    than the threshold is free; else it runs, with more pages while less than the threshold is free and with fewer otherwise.
    """
    threshold = threshold_kb(tuned, total_kb=total_kb)
    pause = sleep_ms(tuned, total_kb=total_kb)
    fits = committed_kb + threshold < total_kb
    told = (
        f"committed {_mib(committed_kb)} + threshold {_mib(threshold)} {'<' if fits else '>='} {_mib(total_kb)} MiB, "
        f"free {_mib(free_kb)} {'<' if free_kb < threshold else '>='} {_mib(threshold)}"
    )
    if fits and free_kb > threshold:
        return KsmtunedValues(running=False, npages=npages, sleep_ms=pause, why=f"{told}: stop")
    short = free_kb < threshold
    wanted = npages + (tuned.npages_boost if short else tuned.npages_decay)
    # the least is looked at first, so that it holds where the two contradict each other
    pages = tuned.npages_min if wanted < tuned.npages_min else min(wanted, tuned.npages_max)
    return KsmtunedValues(
        running=True, npages=pages, sleep_ms=pause, why=f"{told}: {'boost' if short else 'decay'}"
    )


def _mib(kb: int) -> int:
    return kb // _KB_PER_MIB

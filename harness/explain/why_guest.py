"""What a guest's console tells of its life: boots, panics, its reaction to the power button.

A boot is recognised by the guest's own clock running backwards, or by the kernel's first line; a repeated `hello` alone is
none, since the agent repeats it until it is spoken to.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.explain.why_model import Reaction
from harness.judge.endings import Ending
from harness.judge.interval import Interval
from harness.judge.timeline import Said

LOOP = 3
"""Boots of one QEMU that make a loop: once may be an update, twice is a habit."""
SHORT = 300.0
"""Seconds a boot must not outlive to be part of a loop."""
_BRIEF = 10.0
"""Seconds between the guest kernel's OOM kill and the end it led to."""
QUIET = 15.0
"""Seconds without a line after which a console that used to talk is silent (older agents: a line in 5 s)."""
_HINTS = {
    "Succeeded": "KubeVirt says it was shut down, so the guest most likely listened",
    "Failed": "KubeVirt says it crashed, so the guest most likely did not listen",
}
_NO_HINT = "whether the guest listened can't be told"
_STAMP = re.compile(r"^\s*(?:<\d+>)?\[\s*(\d+\.\d+)\]")
_ALIVE = re.compile(r"^\s*(?:ALIVE|ACPI-POWER)\s+(\d+(?:\.\d+)?)")
_UP = re.compile(r"\bup=(\d+)")
_DEAF = re.compile(r"^OK deaf\b|^@ hello\b.*\bdeaf=1")
_FIRST = re.compile(r"\bLinux version \d")


def uptime(text: str) -> float | None:
    """Return the guest's own time in a line, in seconds since its boot."""
    if match := _STAMP.match(text) or _ALIVE.match(text):
        return float(match[1])
    if text.lstrip("\r").startswith("@ ") and (match := _UP.search(text)):
        return int(match[1]) / 1000
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """One boot inside the same QEMU: the lines from it on."""

    begin: Said
    lines: tuple[Said, ...]

    def last(self, *words: str) -> Said | None:
        """Return its last line of those kinds."""
        return next((said for said in reversed(self.lines) if said.parsed.word in words), None)


def boots(lines: Sequence[Said]) -> list[Boot]:
    """Cut a console into boots."""
    parts: list[list[Said]] = []
    clocks: dict[bool, float] = {}
    for said in lines:
        now = uptime(said.text)
        kernel = _STAMP.match(said.text) is not None  # its clock and the agent's don't begin together
        first = _FIRST.search(said.text) is not None and (now is None or now < 1.0)
        back = now is not None and now < clocks.get(kernel, 0.0) - 1.0
        if not parts or back or (first and _begun(parts[-1])):
            parts.append([])
            clocks.clear()
        parts[-1].append(said)
        if now is not None:
            clocks[kernel] = max(clocks.get(kernel, 0.0), now)
    return [Boot(begin=part[0], lines=tuple(part)) for part in parts]


def _begun(lines: Sequence[Said]) -> bool:
    """Whether a boot has said more than firmware does."""
    return any(uptime(said.text) is not None or said.parsed.word != "other" for said in lines)


def panicked(ending: Ending) -> Said | None:
    """Return the guest kernel's panic, if it was the last thing this guest did."""
    found = boots(ending.lines)
    return found[-1].last("panic") if found else None


def out_of_memory(boot: Boot) -> Said | None:
    """Return the guest kernel's word that it ran out of memory, in this boot."""
    panic = boot.last("panic")
    if panic is not None and panic.parsed.reason:
        return panic
    end = panic or boot.lines[-1]
    return next((said for said in boot.lines if said.parsed.word == "oom" and end.t - said.t < _BRIEF), None)


def looping(lines: Sequence[Said]) -> list[Boot]:
    """Return the boots of a loop that goes on to the end of a console, or nothing."""
    found = boots(lines)
    run = found[-1:]
    for boot in reversed(found[:-1]):
        if run[0].begin.t - boot.begin.t > SHORT:
            break
        run.insert(0, boot)
    over = bool(run) and run[-1].lines[-1].t - run[-1].begin.t > SHORT
    return run if len(run) >= LOOP and not over else []


def farewell(ending: Ending) -> Said | None:
    """Return `bye` or the power-down line, if that was how the last boot ended."""
    found = boots(ending.lines)
    return found[-1].last("bye", "power-down") if found else None


def reaction(ending: Ending, told: Interval | None, *, stopped: str = "") -> Reaction:
    """Say what the guest made of being told to go at `told`; `stopped`: the phase its VMI ended in, or ''."""
    lines = ending.lines
    if told is None:
        return Reaction(kind="untold", text="nobody told the guest to go")
    hint = _HINTS.get(stopped, _NO_HINT)
    if not lines:
        return Reaction(kind="silent", text=f"its console was not recorded; {hint}")
    after = [said for said in lines if said.t >= told.low - 0.1]
    power = next((said for said in after if said.parsed.word == "power"), None)
    end = next((said for said in after if said.parsed.word in {"bye", "power-down"}), None)
    pressed = f"the power button reached it {_since(power, told)} after the decision" if power else ""
    if end is not None:
        last = next(said for said in reversed(after) if said.parsed.word in {"bye", "power-down"})
        off = f"it had shut down {_since(last, told)} after the decision"
        return Reaction(kind="clean", text=f"{pressed}, and {off}" if pressed else off)
    before = [said for said in lines if said.t < told.low]
    if power is None:
        if before and told.low - before[-1].t > QUIET and not after:
            return Reaction(kind="silent", text=f"its console had been silent before; {hint}")
        return Reaction(kind="unheard", text="no sign on its console that the power button reached it")
    declared = any(_DEAF.search(said.text) for said in before)
    later = [said for said in after if said.t > power.t + 0.5 and said.parsed.word != "power"]
    why = "it had been made deaf" if declared else "it went on working" if later else ""
    return Reaction(
        kind="deaf" if why else "cut",
        text=f"{pressed}; "
        + (f"{why} and said no farewell" if why else "it had not shut down when it was killed"),
    )


def _since(said: Said | None, told: Interval) -> str:
    assert said is not None
    low, high = max(0.0, said.t - told.high), max(0.0, said.t - told.low)
    return f"{low:.2f} s" if high - low < 0.05 else f"{low:.1f} … {high:.1f} s"

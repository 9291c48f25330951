"""Who hit which limit, by counters alone: where the kernel log can't be read, or left its first line out.

v2: memory.events is hierarchical, so the deepest group whose `oom` rose is the one at its limit, and the container's
`oom_kill` says that it was a kill. v1: `oom_kill` rises only in the victim's own group; the deepest group whose
peak has touched its limit is the one.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.embedded.machine.linux.cgroup import Group
from harness.embedded.machine.linux.oom import Domain

_TOUCH = 256 << 10
"""v1 charges in batches of 64 pages a CPU: a group at its limit may show this much less."""


@dataclass(frozen=True, slots=True)
class Level:
    """One group on the way from the container to the node."""

    domain: Domain
    group: Group


@dataclass(frozen=True, slots=True)
class Counters:
    """State of a container's levels, deepest first, when its guest started."""

    levels: tuple[Level, ...]
    kills: int
    ooms: tuple[int, ...]

    @classmethod
    def now(cls, levels: tuple[Level, ...]) -> Counters:
        """Read them."""
        return cls(
            levels,
            levels[0].group.oom_kills() if levels else 0,
            tuple(level.group.events().get("oom", 0) for level in levels),
        )

    def blame(self) -> Domain | None:
        """Return the domain of an OOM kill in the container since then; None if there was none."""
        if not self.levels or self.levels[0].group.oom_kills() <= self.kills:
            return None
        for level, before in zip(self.levels, self.ooms, strict=True):
            if level.group.version == "v2":
                if level.group.events().get("oom", 0) > before:
                    return level.domain
            else:
                limit = level.group.limit()
                if limit is not None and level.group.peak() >= limit - _TOUCH:
                    return level.domain
        return "global"

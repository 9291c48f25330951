"""What guests of a cluster can't do, where they are not the agent's own image. A leaf beside `base`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable


@runtime_checkable
class LesserGuests(Protocol):
    """A cluster whose guests may be less than the agent's image."""

    @property
    def guest_lacks(self) -> Mapping[str, str]:
        """Verb of console protocol 1 → why it is not to be had here; empty for the agent's image."""
        ...

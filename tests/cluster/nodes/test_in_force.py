"""Waiting for a restarted kubelet: what is told when time is over is what was seen last."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.cluster.nodes import in_force
from harness.kube.errors import KubeError


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_force, "IN_FORCE", 0.2)
    monkeypatch.setattr(in_force, "AGAIN", 0.01)


async def told(looks: Iterator[str | KubeError]) -> str:
    last: list[str | KubeError] = []

    async def look() -> str:
        last[:] = [next(looks, last[0] if last else "")]
        if isinstance(last[0], KubeError):
            raise last[0]
        return last[0]

    return await in_force.until_right(look)


async def test_it_ends_when_nothing_is_wrong() -> None:
    looks: Iterator[str | KubeError] = iter(["one", KubeError("refused"), "", "never asked for"])
    assert await told(looks) == ""
    assert next(looks) == "never asked for"


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        (["one", KubeError("refused"), "two"], "two"),
        (["one", KubeError("refused")], "the kubelet does not answer (refused)"),
    ],
)
async def test_what_was_wrong_last_is_told(looks: list[str | KubeError], expected: str) -> None:
    assert await told(iter(looks)) == expected

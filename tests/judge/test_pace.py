"""A guest much slower than it was told to be refutes nothing; one that is only not as fast does."""

from __future__ import annotations

import pytest

from harness.spec.expectations import Oom
from tests.judge.world import MI, World, claim, findings, promise, require

KILLED = Oom(fleets=("hog",), scope="node", min_count=1, max_count=1)
COMMAND = f"2 grow to={760 * MI} rate={200 * MI} pages=unique seed=1"


def race(*held: tuple[float, int], command: str = COMMAND) -> World:
    """A guest that is told to grow at t = 10 s, and what it says it holds, in MiB."""
    world = World().node().vmi("hog").at(10).action("command", "d/hog", line=command)
    for t, amount in held:
        world.at(t).said("hog", f"@ held up={int(t * 1000)} id=2 bytes={amount * MI}")
    return world.at(30).said("hog", "@ stat up=30000 held=1 memtotal=1 memavailable=1")


SLOW = ((10.0, 500), (15.0, 580), (20.0, 660))


def test_a_claim_is_not_refuted_by_a_load_that_was_another_one() -> None:
    made = findings(
        race(*SLOW),
        "hog",
        checks=(promise("oom", KILLED), require("oom", KILLED)),
        claims={"C-1": claim()},
    )
    promised, required = made.findings
    assert (promised.outcome, promised.surprise) == ("undecided", False)
    assert promised.reason == (
        "the load was another one: hog grew by 16 MiB/s from t = 10.0 s on, where 200 MiB/s were asked for"
    )
    assert required.outcome == "refuted"
    assert not made.valid


@pytest.mark.parametrize(
    "world",
    [
        race((10.0, 500), (12.0, 610), (12.5, 640)),  # a quarter of the rate and a little more
        race((10.0, 500), (11.9, 510)),  # too short to tell a rate
        race((10.0, 500)),
        race((10.0, 500), (20.0, 500)),  # it did not grow at all: another fault
        race(*SLOW, command=f"2 grow to={760 * MI} pages=unique seed=1"),  # as fast as it can
        race(*SLOW, command=f"2 grow to={760 * MI} rate={60 * MI} pages=unique seed=1"),
    ],
)
def test_what_is_fast_enough_or_not_told_refutes(world: World) -> None:
    made = findings(world, "hog", checks=(promise("oom", KILLED),), claims={"C-1": claim()})
    assert (made.findings[0].outcome, made.findings[0].surprise) == ("refuted", True)


def test_a_later_command_ends_the_growth() -> None:
    world = race((10.0, 500), (11.0, 640)).at(11.5).action("command", "d/hog", line="3 shrink to=0")
    world.at(25).said("hog", f"@ held up=25000 id=3 bytes={641 * MI}")
    made = findings(world, "hog", checks=(promise("oom", KILLED),), claims={"C-1": claim()})
    assert made.findings[0].outcome == "refuted"

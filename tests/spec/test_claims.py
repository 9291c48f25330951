"""The registry as data: literals parsed, mistakes named."""

from __future__ import annotations

from typing import Any

import pytest

from harness.spec.claims import evidence_needed, load_claims, read_claims
from harness.spec.errors import SpecError
from harness.spec.expectations import KINDS
from harness.spec.model import Claim, Today

HEAD = "apiVersion: density/v1\nkind: Claims\nclaims:\n"
CLAIM = """\
  - id: A-1
    quote: some   words
    decided-by: kernel
    promise: {says: dies at once, grace: {max: 0s}}
    today:
      - {columns: [v1.6-v1.8, main], grace: {min: 1s, max: 4s}, verdict: differs, why: two seconds}
    note: a note
    given: a case
"""


def test_a_claim() -> None:
    (claim,) = read_claims(HEAD + CLAIM, file="c.yaml").values()
    assert (claim.id, claim.quote, claim.promise) == ("A-1", "some words", "dies at once")
    assert (claim.promise_kind, claim.promise_args) == ("grace", {"max": 0.0})
    assert claim.today == (
        Today(
            kind="grace",
            args={"min": 1.0, "max": 4.0},
            verdict="differs",
            columns=("v1.6", "v1.7", "v1.8", "main"),
            why="two seconds",
        ),
    )
    assert evidence_needed(claim) == ("kernel", "real")
    assert claim.given == "a case"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("id: A-1", "idd: A-1", "c.yaml:4:5: unknown key 'idd' in a claim (did you mean 'id'?)"),
        ("grace: {max: 0s}", "garce: {max: 0s}", "c.yaml:7:35: unknown key 'garce' in promise (did you mean 'grace'?)"),
        ("grace: {max: 0s}", "grace: {of: victim, max: 0s}", "c.yaml:7:43: a claim does not say 'of': the scenario's check does"),
        ("grace: {max: 0s}", "grace: {max: 0}, qos: {pod: Burstable}", "c.yaml:7:14: promise needs exactly one expectation, not 2"),
        ("grace: {max: 0s}", "grace: {max: 5}", "c.yaml:7:48: '5' is not a duration (did you mean '5s'?)"),
        ("kernel", "kernle", "c.yaml:6:17: unknown decider 'kernle'; one of kubelet, kubevirt, kernel, qemu, kubernetes (did you mean 'kernel'?)"),
        ("verdict: differs", "verdict: wrong", "c.yaml:9:74: unknown verdict 'wrong'; one of differs, refuted"),
        ("    note: a note\n", "    untestable: why\n", "c.yaml:4:5: a claim needs exactly one of 'promise' and 'untestable'"),
        ("v1.6-v1.8", "v1.6-v2", "c.yaml:9:20: unknown KubeVirt column 'v2'; one of v1.6, v1.7, v1.8, v1.9, main"),
    ],
)  # fmt: skip
def test_mistakes_in_the_registry(old: str, new: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_claims((HEAD + CLAIM).replace(old, new), file="c.yaml")
    assert str(caught.value) == message


def test_an_id_twice() -> None:
    with pytest.raises(SpecError, match=r"^c\.yaml:12:5: two claims are named 'A-1'$"):
        read_claims(HEAD + CLAIM + CLAIM, file="c.yaml")


def test_the_halves_of_hard_eviction() -> None:
    claims = load_claims()
    assert (claims["HARD-2a"].promise_kind, claims["HARD-2a"].promise_args) == ("grace", {"max": 0.0})
    assert [today.verdict for today in claims["HARD-2a"].today] == ["differs"]
    assert (claims["HARD-2b"].promise_kind, claims["HARD-2b"].promise_args) == ("shutdown", {"clean": False})
    assert [(today.args, today.verdict) for today in claims["HARD-2b"].today] == [
        ({"clean": True}, "refuted")
    ]


def test_a_sentence_of_several_cases_says_which() -> None:
    """Claims of the same words differ in the case they are about, and what is known of them differs with it."""
    groups: dict[str, list[Claim]] = {}
    claims = load_claims()
    for claim in claims.values():
        groups.setdefault(claim.quote, []).append(claim)
    several = {tuple(c.id for c in group): group for group in groups.values() if len(group) > 1}
    assert set(several) == {
        ("SOFT-1a", "SOFT-1c"),
        ("SOFT-4", "SOFT-4b"),
        ("HARD-1", "HARD-1b"),
        ("HARD-2b", "HARD-2d"),
        ("QOS-3", "QOS-3b"),
        ("QOS-6b", "QOS-6c"),
        ("KSM-3", "KSM-3b"),
        ("SWAP-1", "SWAP-1b"),
    }
    for ids, group in several.items():
        assert len({claim.given for claim in group} - {""}) == len(group), ids
        assert len({bool(claim.today) for claim in group}) == 2, ids
    assert [c.id for c in claims.values() if c.given and len(groups[c.quote]) == 1] == ["QOS-5b"]


def test_a_claim_is_either_decided_by_someone_or_untestable() -> None:
    for claim in load_claims().values():
        assert bool(evidence_needed(claim)) == (claim.untestable is None) == bool(claim.promise), claim.id


def test_what_is_known_differs_from_what_is_promised() -> None:
    for claim in load_claims().values():
        for today in claim.today:
            assert (today.kind, today.args) != (claim.promise_kind, claim.promise_args), claim.id
            assert today.why, claim.id
        if claim.today:
            assert claim.corrected or claim.note, f"{claim.id}: what should the page say?"


def test_claims_with_known_divergence_are_judgeable_once_their_kind_is() -> None:
    """A literal of a kind that is built is parsed into the fields of its class."""
    for claim in load_claims().values():
        for kind, args in [(claim.promise_kind or "", claim.promise_args), *claim.also]:
            if kind in KINDS:
                make: Any = KINDS[kind]
                subject: dict[str, Any] = {"of": "x"} if "of" in make.__slots__ else {"fleets": ("x",)}
                assert make(**subject, **args)


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("GFX-1", "refuted"), ("GFX-2", "differs"), ("HARD-1b", "differs"), ("HARD-3", "refuted"), ("QOS-1", "differs"),
        ("QOS-3", "refuted"), ("QOS-4", "refuted"), ("QOS-5", "refuted"), ("QOS-5b", "refuted"), ("SOFT-1c", "differs"), ("SOFT-4b", "refuted"), ("RES-2", "refuted"), ("SWAP-1", "refuted"),
        ("IMPL-3", "refuted"), ("IMPL-4", "differs"), ("KSM-3", "differs"), ("INTRO-2", "refuted"),
    ],
)  # fmt: skip
def test_known_errors_of_the_page(name: str, verdict: str) -> None:
    assert {today.verdict for today in load_claims()[name].today} == {verdict}

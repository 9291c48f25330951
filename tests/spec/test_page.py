"""Sentences of a page, and what covers them."""

from __future__ import annotations

import pytest

from harness.resources import data_dir
from harness.spec.claims import load_claims
from harness.spec.model import Claim
from harness.spec.page import Sentence, misquoted, sentences, uncovered

PAGE = """\
Title
=====

First sentence, e.g. this
one. Second (See [a
link](https://x.y/z)) ends! `Third` begins with code.

## Heading

> Note: quoted
> over two lines. Done.

-   An item
    over two lines

-   Another.

    spec:
      memory: 1

    [...]

Last without a full stop
"""


def claim(quote: str, name: str = "X-1") -> Claim:
    return Claim(
        id=name,
        quote=quote,
        promise="",
        promise_kind=None,
        promise_args={},
        today=(),
        decided_by="nobody",
        untestable="x",
    )


def test_sentences_with_their_lines() -> None:
    assert sentences(PAGE) == [
        Sentence("First sentence, e.g. this one.", 4),
        Sentence("Second (See [a link](https://x.y/z)) ends!", 5),
        Sentence("`Third` begins with code.", 6),
        Sentence("Note: quoted over two lines.", 10),
        Sentence("Done.", 11),
        Sentence("An item over two lines", 13),
        Sentence("Another.", 16),
        Sentence("spec: memory: 1 [...]", 18),
        Sentence("Last without a full stop", 23),
    ]


def test_fenced_code_is_one_sentence() -> None:
    assert sentences("Text:\n\n```yaml\na: 1\n\nb: 2. C\n```\nMore.\n") == [
        Sentence("Text:", 1),
        Sentence("a: 1 b: 2. C", 4),
        Sentence("More.", 8),
    ]


def test_halves_cover_a_sentence_together() -> None:
    page = "It stops at once and is like power loss.\n"
    assert uncovered(page, [claim("It stops at once"), claim("and is like power loss.")]) == []


def test_a_word_between_the_halves_is_missed() -> None:
    page = "It stops at once, always, and is like power loss.\n"
    missed = uncovered(page, [claim("It stops at once"), claim("and is like power loss.")])
    assert missed == [Sentence("It stops at once, always, and is like power loss.", 1, ("always,",))]


def test_quotes_fold_white_space_and_do_not_cross_blocks() -> None:
    assert misquoted(PAGE, [claim("quoted\n   over two lines."), claim("An item over")]) == []
    across = claim("Done. An item")
    assert misquoted(PAGE, [across, claim("", "X-2")]) == [across, claim("", "X-2")]


def shipped() -> str:
    return (data_dir("suites") / "page.md").read_text(encoding="utf-8")


def test_every_word_of_the_page_is_claimed() -> None:
    assert uncovered(shipped(), load_claims().values()) == []


def test_every_quote_is_on_the_page() -> None:
    assert misquoted(shipped(), load_claims().values()) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "missing"),
    [
        ("`16MB`", "`32MB`", 20, ("This", "will", "save")),
        ("Enabling swap\n", "Enabling swap and hope\n", 125, ("and", "hope")),
        ("QoS classes `Burstable`", "QoS class `Burstable`", 165, ("KubeVirt", "right", "now")),
        ("        memory: 1024M\n    [...]", "        memory: 1025M\n    [...]", 41, ("memory:", "1025M")),
    ],
)
def test_a_change_of_the_page_is_noticed(old: str, new: str, line: int, missing: tuple[str, ...]) -> None:
    assert old in shipped()
    page = shipped().replace(old, new, 1)
    (missed,) = uncovered(page, load_claims().values())
    assert missed.line == line
    assert missed.missing[: len(missing)] == missing


def test_each_quote_taken_away_is_missed() -> None:
    claims = load_claims()
    page = shipped()
    for name, known in claims.items():
        # Claims about several cases of one sentence share its quote.
        rest = [other for other in claims.values() if other.quote != known.quote]
        assert uncovered(page, rest), f"{name} covers nothing of its own"


def test_the_page_has_sixty_eight_sentences() -> None:
    assert len(sentences(shipped())) == 68

"""`density claims`: exit codes and what is printed."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from harness.cli.claims_cmd import claims
from harness.resources import data_dir

PAGE = data_dir("suites") / "page.md"
app = typer.Typer()
app.command()(claims)
runner = CliRunner()


def test_the_list_has_a_line_for_each_claim() -> None:
    result = runner.invoke(app, [])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("INTRO-1   holds?")
    assert any(line.startswith("HARD-2b   refuted     kubelet") for line in lines)


def test_one_claim_is_explained() -> None:
    result = runner.invoke(app, ["HARD-2b"])
    assert result.exit_code == 0
    assert (
        "  given      a guest that listens to the power button and is off within two seconds\n"
        "  promise    the guest is cut, it does not shut down\n             shutdown: clean no\n"
        in result.stdout
    )
    assert "  today      refuted (every version): shutdown: clean yes\n" in result.stdout
    assert "  decided by kubelet; settled by evidence real\n" in result.stdout


def test_an_unknown_claim() -> None:
    result = runner.invoke(app, ["HARD-22"])
    assert result.exit_code == 2
    assert result.stderr == "density claims: no claim 'HARD-22' (did you mean 'HARD-2c'?)\n"


def test_the_halves_of_a_sentence_are_explained_together() -> None:
    result = runner.invoke(app, ["HARD-2"])
    assert result.exit_code == 0
    assert [line for line in result.stdout.splitlines() if line.startswith("HARD")] == [
        "HARD-2c",
        "HARD-2a",
        "HARD-2b",
        "HARD-2d",
    ]


def test_the_page_is_covered() -> None:
    result = runner.invoke(app, ["--page", str(PAGE)])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{PAGE}: all 68 sentences are covered by 87 claims")


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        (
            "Enabling KSM\n\n-",
            "Enabling KSM\n\n-   Enabling magic\n\n-",
            ["{page}:125: no claim covers 'Enabling magic': Enabling magic"],
        ),
        (
            "but also disable VNC access.",
            "but also disable SPICE access.",
            [
                "{page}:20: no claim covers 'but also disable SPICE access.': This will save a constant amount of `16MB` per VirtualMachineInstance but also disable SPICE access.",
                "{page}: not on the page, quoted by GFX-3: but also disable VNC access.",
            ],
        ),
    ],
)
def test_a_changed_page(tmp_path: Path, old: str, new: str, lines: list[str]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert old in text
    page = tmp_path / "page.md"
    page.write_text(text.replace(old, new, 1), encoding="utf-8")
    result = runner.invoke(app, ["--page", str(page)])
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [line.format(page=page) for line in lines]


def test_a_missing_page(tmp_path: Path) -> None:
    result = runner.invoke(app, ["--page", str(tmp_path / "none.md")])
    assert result.exit_code == 2
    assert result.stderr == f"{tmp_path}/none.md:1:1: no such file\n"

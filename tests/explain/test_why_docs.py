"""The post-mortems in docs/why.md are what the command prints. `python -m tests.explain.test_why_docs` writes them anew."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from typer.testing import CliRunner

from harness.cli.main import app
from tests.judge.recorded import ROOT

DOCS = ROOT / "docs" / "why.md"
_BLOCK = re.compile(r"```\n\$ density (?P<command>why [^\n]+)\n.*?```", re.DOTALL)


def printed(command: str) -> str:
    """What the command prints; paths are those of the repository."""
    args = [str(ROOT / word) if word.startswith("tests/") else word for word in shlex.split(command)]
    result = CliRunner().invoke(app, args, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def renewed(page: str) -> str:
    """The page with every block as printed today."""
    return _BLOCK.sub(lambda m: f"```\n$ density {m['command']}\n{printed(m['command'])}```", page)


def test_the_page_is_current() -> None:
    page = DOCS.read_text(encoding="utf-8")
    assert page.count("$ density why") == 6
    assert renewed(page) == page


def test_every_cause_is_on_the_page() -> None:
    model = Path(ROOT / "harness" / "explain" / "why_model.py").read_text(encoding="utf-8")
    causes = re.findall(r'^    "([a-z-]+)",$', model, re.MULTILINE)
    page = DOCS.read_text(encoding="utf-8")
    assert len(causes) == 20
    assert [cause for cause in causes if cause != "alive" and f"`{cause}`" not in page] == []


if __name__ == "__main__":
    DOCS.write_text(renewed(DOCS.read_text(encoding="utf-8")), encoding="utf-8")

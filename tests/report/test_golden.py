"""Every form of one small run, held to committed files; `DENSITY_GOLDEN=write` writes them anew."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.judge.model import Finding
from harness.records import model
from harness.records.rundir import RunDirectory
from harness.report.deaths import Death
from harness.report.view import full_view
from harness.report.write import FILES, FORMS, render_page
from harness.spec.claims import load_claims
from harness.units import Seconds
from tests.report import directories as made

GOLDEN = Path(__file__).parent / "golden"
FINDINGS = (
    Finding(
        check="promises/0",
        kind="grace",
        claim="HARD-2a",
        expected="grace of victim, at most 0 s",
        seen="cut 2.2 s (2.1 … 2.4) after it was told",
        outcome="differs",
        reason="SIGTERM comes first",
        low=2.1,
        high=2.4,
        margin=-2.1,
        proof=[5, 19],
        subjects=["density/vm-00000"],
    ),
    Finding(
        check="promises/1",
        kind="shutdown",
        claim="HARD-2b",
        expected="cut",
        seen="its console was not recorded",
        outcome="not-observable",
        reason="its console was not recorded",
    ),
    Finding(
        check="requires/0", kind="evicted", expected="1 of small", seen="none", outcome="refuted", proof=[7]
    ),
)


def records() -> Iterator[model.Record]:
    for record in made.fleet(4, taken=1):
        if isinstance(record, model.Action) and record.what == "window-end":
            yield model.Kernel(
                t=Seconds(25),
                at=made.STARTED,
                source="kmsg",
                node="target",
                scope="container",
                vmi="density/vm-00001",
                pid=7,
            )
        yield record


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = made.write(
        tmp_path_factory.mktemp("golden"),
        records(),
        findings=FINDINGS,
        scenario={"path": "suites/x.yaml", "title": "A small run"},
        qualifiers={"accelerator": "tcg"},
        versions={"kubevirtColumn": "main"},
        command=["density", "run", "suites/x.yaml"],
    )
    view, observed = full_view(RunDirectory.open(path), load_claims())
    # What `why` says is tested where it is made; here is how it is shown.
    death = Death(
        subject="density/vm-00001", cause="container-oom", certain=False, verdict="It outgrew its limit.",
        text="Timeline\n  25.0 s  killed", proof=(42,),
    )  # fmt: skip
    view = replace(view, deaths=(death,))
    for form, render in FORMS.items():
        (path / FILES[form]).write_text(render(view), encoding="utf-8")
    (path / FILES["html"]).write_text(render_page(view, observed), encoding="utf-8")
    return path


@pytest.mark.parametrize("form", list(FILES))
def test_a_form_is_what_it_was(run: Path, form: str) -> None:
    text = (run / FILES[form]).read_text(encoding="utf-8")
    if form == "html":  # pictures depend on the version of matplotlib; the style on taste
        text = re.sub(r"<svg.*?</svg>", "<svg></svg>", text, flags=re.DOTALL)
        text = re.sub(r"<style>.*?</style>", "<style></style>", text, flags=re.DOTALL)
    golden = GOLDEN / FILES[form]
    if os.environ.get("DENSITY_GOLDEN") == "write":
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_numbers_are_the_same_in_every_form(run: Path) -> None:
    texts = {form: (run / name).read_text(encoding="utf-8") for form, name in FILES.items()}
    for words in ("512 MiB", "cut 2.2 s (2.1 … 2.4) after it was told", "0.9 µs"):
        for form in ("html", "md", "json", "csv"):
            assert words in texts[form], (form, words)
    assert '<property name="number.sold" value="512 MiB" />' in texts["junit"]

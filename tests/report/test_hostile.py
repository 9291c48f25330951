"""Run directories that mean harm, or are broken: a safe report, or one clear error."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from harness.judge.model import Finding
from harness.records.errors import BadProvenance, NewerSchema, NotARunDirectory
from harness.report.errors import ReportError
from harness.report.write import FILES, write_reports
from tests.report import directories as made

EVIL = "<img src=x onerror=alert(1)>$\\frac{\"'&\x1b[31m\u202e`|=cmd()"
PROMISE = Finding(
    check="promises/0",
    kind="evicted",
    claim="HARD-5",
    expected=EVIL,
    seen=EVIL,
    outcome="holds",
    proof=[1, 2, 3, 99999],
)


class Page(HTMLParser):
    """Tags and attributes of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href"}]


def hostile(root: Path) -> Path:
    return made.write(
        root,
        [
            made.vmi(0, EVIL, "Pending"),
            made.vmi(1, EVIL, "Running"),
            made.guest(2, EVIL, "\x1b]0;owned\x07\x1b[2J<script>alert(2)</script>\x00\ufffe"),
            made.guest(
                3,
                EVIL,
                "@ stat up=1 held=4096 resident=1 memtotal=1 memavailable=1 p50=9 p99=99 max=99 stalls=0",
            ),
            made.guest(3.1, EVIL, f"@ stat up=1 held={'9' * 400} p50={'9' * 400} p99=1"),
            made.cgroup(4, "/", 100),
            made.cgroup(4.5, "pod/Pod-" + EVIL, 100, vmi=f"{made.NS}/{EVIL}"),
            made.watch(5, "Pod", "p", status=[1], spec="x"),
            made.watch(5, "Node", "target", status={"conditions": [7], "capacity": {"memory": "-1"}}),
            made.evicted(20.5, EVIL),
            made.vmi(22, EVIL, "Failed"),
        ],
        findings=[PROMISE],
        scenario={"title": EVIL, "path": EVIL},
        qualifiers={EVIL: EVIL},
        command=["density", EVIL],
    )


def test_hostile_words_do_no_harm_in_any_form(tmp_path: Path) -> None:
    run = hostile(tmp_path)
    write_reports(run)
    texts = {form: (run / name).read_text(encoding="utf-8") for form, name in FILES.items()}
    page = Page(texts["html"])
    assert not page.tags & {"script", "img", "iframe", "object", "link"}
    assert not {a for a in page.attributes if a.startswith("on")}
    assert all(link.startswith("#") for link in page.links), "nothing is loaded from anywhere"
    for form, text in texts.items():
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", text), form
    ET.fromstring(texts["junit"])
    json.loads(texts["json"])
    cells = [cell for row in csv.reader(io.StringIO(texts["csv"])) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "@", "+")) and not cell.lstrip("+").isdigit()]
    assert "<img" not in texts["md"].replace("\\<", "")


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    run = hostile(tmp_path)
    (run / "records.ndjson").unlink()
    view = write_reports(run)
    assert any("no record file" in problem for problem in view.problems)
    assert any("scenario" in problem for problem in view.problems)
    for name in ("report.html", "report.md"):
        assert "no record file" in (run / name).read_text(encoding="utf-8")


def test_lines_that_are_no_records_are_counted(tmp_path: Path) -> None:
    run = hostile(tmp_path)
    text = (run / "records.ndjson").read_bytes().splitlines(keepends=True)
    (run / "records.ndjson").write_bytes(b"".join([text[0], b"\xff\xfe{{{\n", b"[1,2]\n", *text[1:]]))
    assert any("2 lines are not records (line 2, 3" in p for p in write_reports(run).problems)


def _newer_run(run: Path) -> None:
    data = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(data | {"schema": 99}))


def _newer_findings(run: Path) -> None:
    data = json.loads((run / "findings.json").read_text())
    (run / "findings.json").write_text(json.dumps(data | {"schema": 99}))


def _one_endless_line(run: Path) -> None:
    with (run / "records.ndjson").open("r+b") as file:
        file.truncate(1 << 30)  # sparse: a GiB of zeros without a newline


@pytest.mark.parametrize(
    ("harm", "error", "words"),
    [
        (lambda run: (run / "run.json").unlink(), NotARunDirectory, "not a run directory"),
        (lambda run: (run / "run.json").write_text("{"), BadProvenance, "run.json"),
        (_newer_run, NewerSchema, "use a newer kubevirt-density"),
        (lambda run: (run / "findings.json").unlink(), ReportError, "not judged yet .* density replay"),
        (lambda run: (run / "findings.json").write_bytes(b"\xff"), ReportError, "not readable as findings"),
        (_newer_findings, ReportError, "use a newer kubevirt-density"),
        (_one_endless_line, ReportError, "longer than 64 MiB"),
    ],
)
def test_a_broken_run_is_one_clear_error(
    tmp_path: Path, harm: Callable[[Path], object], error: type[Exception], words: str
) -> None:
    run = hostile(tmp_path)
    harm(run)
    with pytest.raises(error, match=words) as caught:
        write_reports(run)
    assert "\n" not in str(caught.value)


def test_times_beyond_reason_cost_the_picture_at_most(tmp_path: Path) -> None:
    run = made.write(
        tmp_path, [made.vmi(1, "a", "Running"), made.cgroup(2, "/", 1), made.cgroup(1e300, "/", 2)]
    )
    write_reports(run)
    assert (run / "report.html").stat().st_size > 4000


def test_many_guests_become_one_lane_of_sums_and_the_few_that_were_taken(tmp_path: Path) -> None:
    run = made.write(tmp_path, made.fleet(300))
    view = write_reports(run, forms=["html"])
    numbers = {n.key: n for n in view.numbers if not n.subject}
    assert (numbers["asked"].value, numbers["fit"].value, numbers["evictions"].value) == (300.0, 300.0, 3.0)
    assert numbers["survive"].value == 297.0
    html = (run / "report.html").read_text(encoding="utf-8")
    for words in (
        "all 300 guests, sum of those sampled",
        "292 more guests not drawn",
        "3 Evicted",
        "more are in report.csv",
    ):
        assert words in html, words
    assert html.count("vm-00000") > 1


WATCHED = """
import resource, sys
from pathlib import Path
from harness.report.write import write_reports
view = write_reports(Path(sys.argv[1]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, len(view.problems))
"""


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_console_log_of_a_gib_costs_time_and_not_memory(tmp_path: Path) -> None:
    run = hostile(tmp_path)
    path = run / "records.ndjson"
    first, *rest = path.read_bytes().splitlines(keepends=True)
    # A guest that writes 4 KiB of escape sequences a line, for a GiB.
    noise = json.dumps(
        {"stream": "guest", "t": 4.2, "at": made.STARTED, "vmi": "n/a", "line": "\x1b[31m" * 800}
    )
    line = noise.encode() + b"\n"
    with path.open("wb") as file:
        file.write(first)
        for _ in range((1 << 30) // len(line) + 1):
            file.write(line)
        file.writelines(rest)
    assert path.stat().st_size > 1 << 30
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(run)], capture_output=True, text=True, check=True, timeout=800
    )
    kib = int(done.stdout.split()[0])
    assert kib < 600 << 10, f"{kib >> 10} MiB"
    assert (run / "report.html").stat().st_size < 1 << 20

"""KSM's knobs on files, and its counters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.embedded.machine.errors import HostLack, MachineError
from harness.embedded.machine.linux import ksm, procfs
from harness.embedded.machine.linux.hostlock import HostLock
from harness.embedded.machine.linux.ksm import Ksm
from harness.run import undo as undo_files
from harness.run.undo import UndoFile
from tests.embedded.machine import hosttree

ROOT = Path(__file__).parents[3]
Entries = list[Mapping[str, Any]]


def knob(root: Path, name: str) -> str:
    return ksm.chosen((root / "sys/kernel/mm/ksm" / name).read_text().strip())


def test_settings_and_counters_are_read_as_the_kernel_shows_them(root: Path) -> None:
    of = Ksm(root=root)
    assert of.settings()["advisor_mode"] == "none"
    assert of.settings()["pages_to_scan"] == "100"
    (of.directory / "general_profit").write_text("-4096\n")
    assert of.counters()["general_profit"] == -4096
    assert "pages_skipped" not in of.counters()
    assert of.ksmd_cpu() == 300 / os.sysconf("SC_CLK_TCK")


def test_an_older_kernel_has_fewer_knobs(root: Path, lock: HostLock, recorder: Entries) -> None:
    of = Ksm(root=root)
    (of.directory / "smart_scan").unlink()
    assert "smart_scan" not in of.settings()
    with pytest.raises(HostLack, match="has no knob smart_scan: use a newer kernel"):
        of.apply({"smart_scan": 0}, undo=recorder.append, lock=lock)
    assert recorder == []


def test_a_kernel_without_ksm_is_a_lack(tmp_path: Path) -> None:
    with pytest.raises(HostLack, match="has no KSM"):
        Ksm(root=tmp_path).settings()
    assert Ksm(root=tmp_path).counters() == {}
    assert Ksm(root=tmp_path).ksmd_cpu() is None


def test_all_knobs_stand_in_the_undo_entry_before_the_first_is_written(root: Path, lock: HostLock) -> None:
    seen: Entries = []

    def undo(entry: Mapping[str, Any]) -> None:
        assert knob(root, "pages_to_scan") == "100"
        assert knob(root, "run") == "0"
        seen.append(entry)

    Ksm(root=root).apply({"run": 1, "pages_to_scan": 5000, "sleep_millisecs": 10}, undo=undo, lock=lock)
    assert (knob(root, "run"), knob(root, "pages_to_scan"), knob(root, "sleep_millisecs")) == (
        "1",
        "5000",
        "10",
    )
    (entry,) = seen
    assert entry["values"] == {
        "run": "0",
        "pages_to_scan": "100",
        "sleep_millisecs": "20",
        "smart_scan": "1",
        "use_zero_pages": "0",
        "advisor_mode": "none",
        "advisor_max_cpu": "70",
        "advisor_min_pages_to_scan": "500",
        "advisor_max_pages_to_scan": "30000",
        "advisor_target_scan_time": "200",
        "stable_node_chains_prune_millisecs": "2000",
    }


@pytest.mark.parametrize(
    ("wanted", "order"),
    [
        ({"run": 1, "pages_to_scan": 9, "advisor_mode": "none"}, ["advisor_mode", "pages_to_scan", "run"]),
        (
            {"run": 1, "advisor_mode": "scan-time", "pages_to_scan": 9},
            ["pages_to_scan", "advisor_mode", "run"],
        ),
        ({"advisor_mode": "scan-time", "advisor_max_cpu": 50}, ["advisor_max_cpu", "advisor_mode"]),
    ],
)
def test_knobs_are_written_in_an_order_the_kernel_takes(
    root: Path,
    lock: HostLock,
    monkeypatch: pytest.MonkeyPatch,
    wanted: dict[str, int | str],
    order: list[str],
) -> None:
    written: list[str] = []
    monkeypatch.setattr(ksm, "write_once", lambda path, _value: written.append(path.name))
    Ksm(root=root).apply(wanted, undo=lambda _entry: None, lock=lock)
    assert written == order


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("merge_across_nodes", "can't be set: the kernel changes it only while nothing is merged"),
        ("speed", "has no knob 'speed': advisor_mode, "),
    ],
)
def test_what_is_no_knob_is_refused_before_anything_changes(
    root: Path, lock: HostLock, recorder: Entries, name: str, error: str
) -> None:
    with pytest.raises(MachineError, match=error):
        Ksm(root=root).apply({"run": 1, name: 1}, undo=recorder.append, lock=lock)
    assert recorder == []
    assert knob(root, "run") == "0"


def refusing(name: str) -> Callable[[Path, str], None]:
    def write(path: Path, value: str) -> None:
        if path.name == name:
            raise OSError(22, "Invalid argument")
        procfs.write_once(path, value)

    return write


def test_a_value_the_kernel_refuses_leaves_no_half_of_the_settings(
    root: Path, lock: HostLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "sys/kernel/mm/ksm/advisor_mode").write_text("none [scan-time]\n")
    monkeypatch.setattr(ksm, "write_once", refusing("pages_to_scan"))
    with pytest.raises(MachineError, match="pages_to_scan=9 refused: Invalid argument: the advisor sets it"):
        Ksm(root=root).apply({"pages_to_scan": 9, "advisor_max_cpu": 50}, undo=lambda _entry: None, lock=lock)
    assert knob(root, "advisor_max_cpu") == "70"
    assert knob(root, "advisor_mode") == "scan-time"


@pytest.mark.parametrize(
    ("before", "merged", "shared", "steps"),
    [
        ("0", 0, 900, ["2", "0"]),  # ours alone: unmerged, then off
        ("0", 0, 0, ["0"]),
        ("0", 50, 900, ["0"]),  # somebody's merged pages stay merged
        ("1", 0, 900, []),  # KSM was on: its work goes on
    ],
)
def test_giving_back_unmerges_only_what_was_ours(
    root: Path, monkeypatch: pytest.MonkeyPatch, before: str, merged: int, shared: int, steps: list[str]
) -> None:
    directory = root / "sys/kernel/mm/ksm"
    (directory / "run").write_text("1\n")
    (directory / "pages_shared").write_text(f"{shared}\n")
    runs: list[str] = []

    def write(path: Path, value: str) -> None:
        if path.name == "run":
            runs.append(value)
        procfs.write_once(path, value)

    monkeypatch.setattr(ksm, "write_once", write)
    ksm.give_back({"path": str(directory), "values": {"run": before}, "merged": merged})
    assert runs == steps


def test_giving_back_to_an_advisor_that_was_on_switches_it_off_meanwhile(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = root / "sys/kernel/mm/ksm"
    (directory / "advisor_mode").write_text("none [scan-time]\n")
    written: list[tuple[str, str]] = []

    def write(path: Path, value: str) -> None:
        written.append((path.name, value))

    monkeypatch.setattr(ksm, "write_once", write)
    values = {"advisor_mode": "scan-time", "pages_to_scan": "77", "run": "1"}
    ksm.give_back({"path": str(directory), "values": values})
    assert written == [
        ("advisor_mode", "none"),
        ("pages_to_scan", "77"),
        ("advisor_mode", "scan-time"),
        ("run", "1"),
    ]


def test_giving_back_twice_does_nothing(root: Path) -> None:
    directory = root / "sys/kernel/mm/ksm"
    (directory / "pages_to_scan").write_text("5000\n")
    entry = {"path": str(directory), "values": {"pages_to_scan": "100", "run": "0"}}
    assert ksm.give_back(entry) == "knobs restored"
    assert ksm.give_back(entry) is None


_VALUES = st.fixed_dictionaries(
    {},
    optional={
        "run": st.sampled_from(["0", "1"]),
        "pages_to_scan": st.integers(1, 99999).map(str),
        "sleep_millisecs": st.integers(0, 9999).map(str),
        "smart_scan": st.sampled_from(["0", "1"]),
        "advisor_mode": st.sampled_from(["none", "scan-time"]),
        "advisor_max_cpu": st.integers(1, 100).map(str),
    },
)


@settings(max_examples=25, deadline=None)
@given(changes=st.lists(_VALUES, min_size=1, max_size=4))
def test_whatever_was_set_in_whatever_order_undoing_gives_back_the_first(
    tmp_path_factory: pytest.TempPathFactory, changes: list[dict[str, int | str]]
) -> None:
    root = hosttree.make(tmp_path_factory.mktemp("host"))
    with UndoFile.create(run="r", where=root / "undo") as undo:
        lock = HostLock.take(run="r", undo=undo, root=root)
        for wanted in changes:
            Ksm(root=root).apply(wanted, undo=undo, lock=lock)
        done = undo.close()
        lock.release()
    assert [item.failed for item in done if item.failed] == []
    assert {name: knob(root, name) for name in hosttree.KSM} == {**hosttree.KSM, "advisor_mode": "none"}


KILLED = """
import json, os, sys
from pathlib import Path
from harness.embedded.machine.linux.host import HostKnobs, HostSettings
from harness.run.undo import UndoFile
root, wanted = Path(sys.argv[1]), json.loads(sys.argv[2])
undo = UndoFile.create(run="killed", where=root / "undo")
knobs = HostKnobs(undo=undo, run="killed", root=root)
knobs.apply(HostSettings(ksm=wanted))
os.kill(os.getpid(), 9)
"""


def test_a_killed_harness_keeps_others_out_until_clean_gave_everything_back(root: Path) -> None:
    wanted = {"run": 1, "pages_to_scan": 5000, "advisor_mode": "scan-time", "smart_scan": 0}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(root), json.dumps(wanted)], cwd=ROOT, check=False
    )
    assert done.returncode == -9
    assert (knob(root, "run"), knob(root, "pages_to_scan"), knob(root, "smart_scan")) == ("1", "5000", "0")
    with pytest.raises(MachineError, match=r"run killed \(pid \d+\) ended without .*: run `density clean`"):
        HostLock.take(run="next", undo=lambda _entry: None, root=root)
    (cleaned,) = undo_files.clean(where=root / "undo")
    assert cleaned.state == "undone"
    assert [(item.op, item.did) for item in cleaned.done] == [
        ("ksm", "knobs restored"),
        ("host-lock", "released"),
    ]
    assert {name: knob(root, name) for name in hosttree.KSM} == {**hosttree.KSM, "advisor_mode": "none"}
    HostLock.take(run="next", undo=lambda _entry: None, root=root).release()


def test_a_process_tells_what_it_shares(tmp_path: Path) -> None:
    (tmp_path / "5").mkdir()
    (tmp_path / "5/ksm_stat").write_text(
        "ksm_rmap_items 9\nksm_zero_pages 0\nksm_merging_pages 3\nksm_process_profit -64\nksm_merge_any: no\n"
    )
    assert ksm.process(5, proc=tmp_path) == {"merging": 12288, "profit": -64}
    assert ksm.process(6, proc=tmp_path) == {}

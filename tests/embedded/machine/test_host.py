"""Host-wide settings: one harness at a time, given back once, and what the machine says of itself."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.embedded.machine.errors import HostBusy, MachineError
from harness.embedded.machine.linux import host, ksm
from harness.embedded.machine.linux.host import HostKnobs, HostSettings
from harness.embedded.machine.linux.hostlock import PATH, HostLock
from harness.embedded.machine.linux.swap import SwapSettings
from harness.run import undo as undo_files
from harness.run import undo_operations
from harness.run.undo import UndoFile
from harness.units import Bytes
from tests.embedded.machine import hosttree

ROOT = Path(__file__).parents[3]
Entries = list[Mapping[str, Any]]


def run_of(root: Path) -> str:
    return (root / "sys/kernel/mm/ksm/run").read_text().strip()


HOLDER = """
import sys
from pathlib import Path
from harness.embedded.machine.linux.hostlock import HostLock
HostLock.take(run="first", undo=lambda entry: None, root=Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(root: Path) -> Iterator[subprocess.Popen[str]]:
    """Another harness with the settings."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(root)], cwd=ROOT, text=True, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_harness_is_refused_in_one_line(
    root: Path, other: subprocess.Popen[str], recorder: Entries
) -> None:
    knobs = HostKnobs(undo=recorder.append, run="second", root=root)
    with pytest.raises(HostBusy) as refused:
        knobs.apply(HostSettings(ksm={"run": 1}))
    assert str(refused.value) == (
        f"host settings (KSM, swap) are in use by run first (pid {other.pid}): wait for it, or stop it"
    )
    assert recorder == []
    assert run_of(root) == "0"
    knobs.apply(HostSettings())  # nothing asked, nothing locked


def test_one_process_that_runs_two_is_refused_too(root: Path, recorder: Entries) -> None:
    first = HostKnobs(undo=recorder.append, run="first", root=root)
    first.apply(HostSettings(ksm={"run": 1}))
    second = HostKnobs(undo=recorder.append, run="second", root=root)
    with pytest.raises(HostBusy, match=f"in use by run first .pid {os.getpid()}.: wait"):
        second.apply(HostSettings(ksm={"run": 1}))
    assert first.give_back() == ()
    second.apply(HostSettings(ksm={"run": 1}))
    second.give_back()
    assert run_of(root) == "0"


def test_a_record_of_an_earlier_boot_counts_for_nothing(root: Path) -> None:
    path = root / PATH
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"pid": 1, "start": 1, "boot": "another", "run": "old"}))
    HostLock.take(run="r", undo=lambda _entry: None, root=root).release()
    path.parent.mkdir()
    path.write_text("no record")
    HostLock.take(run="r", undo=lambda _entry: None, root=root).release()
    assert not path.parent.exists()


def test_a_lock_file_that_was_removed_under_us_is_no_lock(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one before us gives back between our open and our flock."""
    first = HostLock.take(run="first", undo=lambda _entry: None, root=root)
    flock = fcntl.flock

    def late(fd: int, how: int) -> None:
        first.release()
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    second = HostLock.take(run="second", undo=lambda _entry: None, root=root)
    assert json.loads((root / PATH).read_bytes())["run"] == "second"
    second.release()


def test_what_was_given_back_is_not_undone_again(root: Path, tmp_path: Path) -> None:
    """The next harness may have the settings by the time our undo file is closed."""
    with UndoFile.create(run="first", where=tmp_path / "undo") as undo:
        first = HostKnobs(undo=undo, run="first", root=root)
        first.apply(HostSettings(ksm={"run": 1, "pages_to_scan": 700}))
        first.give_back()
        second = HostKnobs(undo=lambda _entry: None, run="second", root=root)
        second.apply(HostSettings(ksm={"run": 1}))
        assert [(item.did, item.failed) for item in undo.close()] == [("", ""), ("", "")]
        assert run_of(root) == "1"
        second.give_back()
    assert run_of(root) == "0"


def test_knobs_that_are_set_again_and_again_stand_in_one_undo_entry(root: Path, recorder: Entries) -> None:
    knobs = HostKnobs(undo=recorder.append, run="r", root=root)
    for pages in (300, 600, 900):
        knobs.apply(HostSettings(ksm={"pages_to_scan": pages, "sleep_millisecs": 213, "run": 1}))
    assert [entry["op"] for entry in recorder] == ["host-lock", "ksm"]
    assert (recorder[1]["values"]["pages_to_scan"], recorder[1]["values"]["run"]) == ("100", "0")
    assert run_of(root) == "1"
    assert knobs.give_back() == ()
    assert run_of(root) == "0"
    assert (root / "sys/kernel/mm/ksm/pages_to_scan").read_text().strip() == "100"


def test_what_can_not_be_given_back_keeps_others_out_until_it_is(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path, _value: str) -> None:
        raise OSError(12, "Cannot allocate memory")

    undo = UndoFile.create(run="first", where=tmp_path / "undo")
    first = HostKnobs(undo=undo, run="first", root=root)
    first.apply(HostSettings(ksm={"run": 1}))
    with monkeypatch.context() as broken:
        broken.setattr(ksm, "write_once", refuse)
        (failed,) = first.give_back()
        assert failed.endswith("Cannot allocate memory")
        done = undo.close()
    assert [item.op for item in done if item.failed] == ["ksm", "host-lock"]
    with pytest.raises(HostBusy):
        HostLock.take(run="second", undo=lambda _entry: None, root=root)
    # what `density clean` does with the file that stayed, once its owner is gone
    _, entries = undo_files.read(undo.path)
    assert [item.did for item in undo_operations.undo_all(entries, same_boot=True)] == [
        "knobs restored",
        "released",
    ]
    assert run_of(root) == "0"
    HostLock.take(run="second", undo=lambda _entry: None, root=root).release()


def test_a_change_that_fails_gives_back_what_was_done_before_it(
    root: Path, recorder: Entries, tmp_path: Path
) -> None:
    def list_it(path: str, _priority: int) -> None:
        (root / "proc/swaps").write_text(f"{hosttree.SWAPS}{path} file 4096 0 100\n")

    knobs = HostKnobs(undo=recorder.append, run="r", root=root, activate=list_it)
    settings = HostSettings(ksm={"speed": 1}, swap=SwapSettings(size=Bytes(4 << 20), folder=tmp_path))
    with pytest.raises(MachineError, match="no knob 'speed'"):
        knobs.apply(settings)
    assert [entry["op"] for entry in recorder] == ["host-lock", "unlink", "swapoff"]
    assert list(tmp_path.glob("kubevirt-density-swap-*")) == []
    assert knobs.area is None
    HostLock.take(run="next", undo=lambda _entry: None, root=root).release()


def test_one_run_has_one_swap_area(root: Path, recorder: Entries, tmp_path: Path) -> None:
    def list_it(path: str, _priority: int) -> None:
        (root / "proc/swaps").write_text(f"{hosttree.SWAPS}{path} file 4096 0 100\n")

    knobs = HostKnobs(undo=recorder.append, run="r", root=root, activate=list_it)
    settings = HostSettings(swap=SwapSettings(size=Bytes(4 << 20), folder=tmp_path))
    knobs.apply(settings)
    assert knobs.area is not None
    assert knobs.area.size == 4 << 20
    with pytest.raises(MachineError, match="has a swap area already"):
        knobs.apply(settings)
    knobs.give_back()


def test_samples_name_their_source_and_leave_out_what_is_not_there(root: Path) -> None:
    seen = host.host_samples(ksm.Ksm(root=root), root=root)
    assert set(seen) == {"meminfo", "ksm", "psi", "vmstat"}  # no swap area: no swap sample
    assert seen["meminfo"] == {"MemTotal": 8192000000, "MemAvailable": 4096000000}
    assert seen["ksm"]["pages_to_scan"] == 100
    assert seen["ksm"]["ksmdCpu"] == 300 / os.sysconf("SC_CLK_TCK")
    assert "advisor_mode" not in seen["ksm"]
    assert seen["psi"] == {
        "someAvg10": 1.5,
        "someAvg60": 0.25,
        "someAvg300": 0.0,
        "someTotal": 276237,
        "fullAvg10": 0.75,
        "fullAvg60": 0.0,
        "fullAvg300": 0.0,
        "fullTotal": 46410,
    }
    assert seen["vmstat"] == {
        "pgmajfault": 1778,
        "pswpin": 7,
        "pswpout": 9,
        "workingset_refault_anon": 3,
        "allocstall": 42,
    }
    (root / "proc/swaps").write_text(f"{hosttree.SWAPS}/swap file 4096 1024 -2\n")
    swapped = host.host_samples(ksm.Ksm(root=root), root=root)["swap"]
    assert swapped == {"total": 4194304, "free": 3145728, "used": 1048576, "areas": 1, "in": 7, "out": 9}


def test_a_machine_that_tells_nothing_has_no_samples(tmp_path: Path) -> None:
    assert host.host_samples(ksm.Ksm(root=tmp_path), root=tmp_path) == {}

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.embedded.machine.linux import cgroup, cgroupfs, procfs
from harness.run import undo, undo_operations
from harness.run.errors import UndoError

DEAD_OWNER = """
import json, os, sys
from pathlib import Path
from harness.run.undo import UndoFile
file = UndoFile.create(run="crashed", command=["density", "run"], where=Path(sys.argv[1]))
for entry in json.loads(sys.argv[2]):
    file(entry)
os.kill(os.getpid(), 9)
"""


def crash(where: Path, *entries: dict[str, object]) -> Path:
    """Leave the undo file of a process that was SIGKILLed."""
    done = subprocess.run(
        [sys.executable, "-c", DEAD_OWNER, str(where), json.dumps(entries)],
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == -9
    (path,) = where.glob("*.ndjson")
    return path


def test_an_entry_is_on_disk_when_the_call_returns_and_gone_after_close(tmp_path: Path) -> None:
    file = undo.UndoFile.create(run="r", command=["density", "run", "x.yaml"], where=tmp_path)
    file({"op": "unlink", "path": "/tmp/kubevirt-density-none"})
    header, entries = undo.read(file.path)
    me = procfs.identity(os.getpid())
    assert me is not None
    assert header == {
        "undo": 1,
        "pid": os.getpid(),
        "start": me.start,
        "boot": procfs.boot_id(),
        "run": "r",
        "command": ["density", "run", "x.yaml"],
    }
    assert entries == ({"op": "unlink", "path": "/tmp/kubevirt-density-none"},)
    assert file.path.stat().st_mode & 0o777 == 0o600
    file.close()
    assert list(tmp_path.iterdir()) == []
    assert file.close() == ()


def test_close_undoes_in_reverse_and_says_what_it_did(tmp_path: Path) -> None:
    scratch = tmp_path / "kubevirt-density-x"
    setting = tmp_path / "setting"
    setting.write_text("100")
    with undo.UndoFile.create(run="r", where=tmp_path / "undo") as file:
        file({"op": "write", "path": str(setting), "value": "100"})
        file({"op": "write", "path": str(setting), "value": "200"})
        file({"op": "rmtree", "path": str(scratch)})
        scratch.mkdir()
        (scratch / "ser").write_text("")
        setting.write_text("300")
        done = file.close()
    assert [(item.op, item.did) for item in done] == [
        ("rmtree", "removed"),
        ("write", "wrote '200'"),
        ("write", "wrote '100'"),
    ]
    assert setting.read_text() == "100"
    assert not scratch.exists()


def test_what_cannot_be_undone_keeps_the_file_and_not_the_others_from_being_undone(tmp_path: Path) -> None:
    victim = tmp_path / "kubevirt-density.sock"
    victim.write_text("")
    file = undo.UndoFile.create(run="r", where=tmp_path / "undo")
    file({"op": "unlink", "path": str(victim)})
    file({"op": "rmtree", "path": "/home/somebody"})
    done = file.close()
    assert [(item.op, bool(item.failed)) for item in done] == [("rmtree", True), ("unlink", False)]
    assert "/home/somebody is not a path of ours" in done[0].failed
    assert not victim.exists()
    assert file.path.exists()


@pytest.mark.parametrize("op", ["rmtree", "unlink", "rmdir-cgroup", "move-processes"])
@pytest.mark.parametrize(
    "path", ["/", "/etc", "relative/kubevirt-density", "/tmp/kubevirt-density/../../etc"]
)
def test_nothing_is_deleted_that_is_not_ours(op: str, path: str) -> None:
    (done,) = undo_operations.undo_all([{"op": op, "path": path, "to": "/"}], same_boot=True)
    assert "not a path of ours" in done.failed


def test_an_entry_nobody_could_undo_is_refused_at_once(tmp_path: Path) -> None:
    with (
        undo.UndoFile.create(run="r", where=tmp_path) as file,
        pytest.raises(UndoError, match=r"unknown op; known: .*host-lock, kill, .*ksm, .*move-processes, "),
    ):
        file({"op": "format-disk", "path": "/"})


def test_a_directory_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UndoError, match="Not a directory: set XDG_STATE_HOME"):
        undo.UndoFile.create(run="r", where=tmp_path / "file" / "undo")


def test_a_full_disk_is_an_error_before_the_change() -> None:
    with pytest.raises(UndoError, match="No space left on device"):
        undo.UndoFile(Path("/dev/full"), os.open("/dev/full", os.O_WRONLY))(
            {"op": "unlink", "path": "/x-density"}
        )


def test_clean_leaves_a_living_owner_alone(tmp_path: Path) -> None:
    with undo.UndoFile.create(run="mine", where=tmp_path) as file:
        (found,) = undo.clean(where=tmp_path)
        assert (found.state, found.run) == ("owner-alive", "mine")
        assert file.path.exists()


def test_clean_undoes_what_a_killed_owner_left_and_only_once(tmp_path: Path) -> None:
    scratch = tmp_path / "kubevirt-density-x"
    scratch.mkdir()
    with subprocess.Popen(["/bin/sleep", "60"]) as sleeper:
        who = procfs.identity(sleeper.pid)
        assert who is not None
        path = crash(
            tmp_path / "undo",
            {"op": "rmtree", "path": str(scratch)},
            {"op": "kill", "pid": who.pid, "start": who.start, "name": "sleep"},
        )
        (found,) = undo.clean(where=tmp_path / "undo")
        assert sleeper.wait(5) == -9
    assert (found.state, found.run, found.command) == ("undone", "crashed", ("density", "run"))
    assert [str(item) for item in found.done] == [
        f"kill {who.pid}: killed sleep",
        f"rmtree {scratch}: removed",
    ]
    assert not scratch.exists()
    assert not path.exists()
    assert undo.clean(where=tmp_path / "undo") == ()


@pytest.mark.parametrize(("start", "name"), [(1, ""), (0, "other")])
def test_a_reused_pid_or_another_name_is_not_killed(start: int, name: str) -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as sleeper:
        who = procfs.identity(sleeper.pid)
        assert who is not None
        entry = {"op": "kill", "pid": who.pid, "start": who.start + start, "name": name or who.name}
        (done,) = undo_operations.undo_all([entry], same_boot=True)
        assert (done.did, done.failed) == ("", "")
        assert sleeper.poll() is None
        sleeper.kill()


def test_after_a_reboot_files_are_removed_but_no_process_or_setting_is_touched(tmp_path: Path) -> None:
    scratch = tmp_path / "kubevirt-density-x"
    scratch.mkdir()
    with subprocess.Popen(["/bin/sleep", "60"]) as sleeper:
        who = procfs.identity(sleeper.pid)
        assert who is not None
        path = crash(
            tmp_path / "undo",
            {"op": "rmtree", "path": str(scratch)},
            {"op": "write", "path": "/proc/self/oom_score_adj", "value": "7"},
            {"op": "kill", "pid": who.pid, "start": who.start, "name": "sleep"},
        )
        path.write_text(path.read_text().replace(procfs.boot_id(), "another-boot"))
        (found,) = undo.clean(where=tmp_path / "undo")
        assert sleeper.poll() is None
        sleeper.kill()
    assert [item.op for item in found.done] == ["rmtree"]
    assert not scratch.exists()
    assert procfs.oom_score_adj(os.getpid()) != 7


@given(cut=st.integers(min_value=0))
def test_a_file_cut_anywhere_gives_a_prefix_of_its_entries(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    lines = [json.dumps({"undo": 1, "boot": "b"})] + [
        json.dumps({"op": "unlink", "path": f"/{n}"}) for n in range(5)
    ]
    data = ("\n".join(lines) + "\n").encode()
    path = tmp_path_factory.getbasetemp() / "cut.ndjson"
    path.write_bytes(data[: cut % (len(data) + 1)])
    _, entries = undo.read(path)
    assert [entry["path"] for entry in entries] == [f"/{n}" for n in range(5)][: len(entries)]


def test_a_file_without_a_header_is_reported_and_left(tmp_path: Path) -> None:
    path = tmp_path / "1-x.ndjson"
    path.write_text('{"op":"unlink","path":"/tmp/kubevirt-density-q"}\n')
    (found,) = undo.clean(where=tmp_path)
    assert found.state == "unreadable"
    assert path.exists()


def test_a_file_just_being_made_is_left_to_its_maker(tmp_path: Path) -> None:
    (tmp_path / "1-x.ndjson").write_text("")
    (found,) = undo.clean(where=tmp_path)
    assert found.state == "busy"


def test_no_directory_is_nothing_to_clean(tmp_path: Path) -> None:
    assert undo.clean(where=tmp_path / "none") == ()


def test_state_home_decides_where_files_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert undo.directory() == tmp_path / "kubevirt-density/undo"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert undo.directory() == Path("/home/me/.local/state/kubevirt-density/undo")


def test_the_name_of_an_operation_is_taken_once() -> None:
    with pytest.raises(ValueError, match="registered already"):
        undo_operations.operation("kill", survives_reboot=False)(lambda _entry: None)


def test_a_crashed_runs_cgroup_goes_with_the_processes_in_it_and_the_shared_directory_stays_for_others(
    tmp_path: Path,
) -> None:
    found = cgroupfs.detect()
    if isinstance(found, cgroupfs.Unwritable):
        pytest.skip(found.why)
    mine = cgroup.open_run(found, f"test-{secrets.token_hex(3)}", undo=lambda _entry: None)
    other = cgroup.open_run(found, f"test-{secrets.token_hex(3)}", undo=lambda _entry: None)
    shared = {"op": "rmdir-cgroup", "path": str(found.subtree), "only-empty": True}
    with subprocess.Popen(["/bin/sleep", "60"]) as sleeper:
        (mine.path / "cgroup.procs").write_text(str(sleeper.pid))
        crash(tmp_path, shared, {"op": "rmdir-cgroup", "path": str(mine.path)})
        (cleaned,) = undo.clean(where=tmp_path)
        assert sleeper.wait(5) == -9
    assert [item.did for item in cleaned.done] == ["removed, 1 processes killed", ""]
    assert not mine.path.exists()
    assert other.path.exists()
    other.path.rmdir()
    (done,) = undo_operations.undo_all([shared], same_boot=True)
    assert done.did in {"removed", ""}

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "tools/leftovers.py"


@pytest.fixture(scope="module")
def leftovers() -> ModuleType:
    spec = importlib.util.spec_from_file_location("leftovers", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_new_gone_or_changed_is_one_line_each(leftovers: ModuleType) -> None:
    before = {
        "ksm": {"run": "0", "pages_to_scan": "100"},
        "mounts": {"/": "ext4 /dev/vda", "/mnt": "tmpfs none"},
        "processes": {"11@5": "qemu-system-x86 [S]: old"},
    }
    after = {
        "ksm": {"run": "1", "pages_to_scan": "100"},
        "mounts": {"/": "ext4 /dev/vda"},
        "processes": {"12@6": "qemu-system-x86 [S]: new"},
    }
    assert leftovers.differences(before, after) == [
        "~ ksm run 0 -> 1",
        "- mounts /mnt tmpfs none",
        "+ processes 12@6 qemu-system-x86 [S]: new",
    ]
    assert leftovers.differences(before, before) == []


def test_a_process_and_a_directory_of_ours_are_seen_and_we_ourselves_are_not(leftovers: ModuleType) -> None:
    before = leftovers.snapshot()
    folder = Path("/tmp/kubevirt-density-leftovers-test")
    folder.mkdir(exist_ok=True)
    try:
        with subprocess.Popen(["/bin/sleep", "60"], cwd=folder) as sleeper:
            found = leftovers.differences(before, leftovers.snapshot())
            sleeper.kill()
        assert f"+ temporary {folder} file" in found
        assert any(line.startswith(f"+ processes {sleeper.pid}@") for line in found)
    finally:
        folder.rmdir()


def test_the_command_line_says_by_its_exit_code_whether_something_differs(tmp_path: Path) -> None:
    taken = subprocess.run(
        [sys.executable, str(SCRIPT), "snapshot"], check=True, stdout=subprocess.PIPE
    ).stdout
    before = json.loads(taken)
    assert set(before) == {
        *("processes", "cgroups", "mounts", "swaps", "zram", "ksm", "thp", "sysctl", "temporary", "undo"),
    }
    before["sysctl"]["swappiness"] = "-7"
    (tmp_path / "before.json").write_text(json.dumps(before))
    compared = subprocess.run(
        [sys.executable, str(SCRIPT), "compare", str(tmp_path / "before.json")],
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert compared.returncode == 1
    assert "~ sysctl swappiness -7 -> " in compared.stdout

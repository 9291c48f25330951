from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.embedded.machine.linux import procfs

ROLLUP = """55d0c0000000-7ffc00000000 ---p 00000000 00:00 0                      [rollup]
Rss:              201348 kB
Pss:              180412 kB
Pss_Dirty:        170000 kB
Swap:                 12 kB
SwapPss:               8 kB
"""


def test_we_ourselves_are_alive_and_the_start_time_tells_a_reused_pid() -> None:
    me = procfs.identity(os.getpid())
    assert me is not None
    assert procfs.alive(me.pid, me.start)
    assert not procfs.alive(me.pid, me.start + 1)


def test_a_zombie_is_not_alive() -> None:
    with subprocess.Popen(["/bin/true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        who = procfs.identity(child.pid)
        assert who is not None
        assert who.state == "Z"
        assert not procfs.alive(child.pid, who.start)
    assert procfs.identity(child.pid) is None


@given(st.text(st.characters(codec="ascii", exclude_characters="\n"), max_size=15))
def test_any_process_name_keeps_the_fields_in_place(name: str) -> None:
    found = procfs.parse_stat(f"12 ({name}) S 1 " + " ".join(["0"] * 17) + " 777 0 0")
    assert found is not None
    assert (found.pid, found.name, found.state, found.start) == (12, name, "S", 777)


@given(st.text(max_size=80))
def test_garbage_is_no_process(text: str) -> None:
    assert procfs.parse_stat(text) is None


def test_smaps_rollup_reads_in_bytes() -> None:
    memory = procfs.parse_smaps_rollup(ROLLUP)
    assert memory is not None
    assert (memory.rss, memory.pss, memory.swap_pss) == (206180352, 184741888, 8192)


def test_a_process_that_is_gone_has_no_memory() -> None:
    assert procfs.parse_smaps_rollup("") is None
    assert procfs.process_memory(1 << 22) is None


def test_meminfo_is_in_bytes(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:       2047 kB\nHugePages_Total:       3\n")
    assert procfs.meminfo(proc=tmp_path) == {"MemTotal": 2096128}


def test_a_refusal_of_the_kernel_is_raised_and_not_lost_in_a_buffer() -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        procfs.write_once("/proc/self/oom_score_adj", "5000")

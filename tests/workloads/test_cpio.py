from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads.image import cpio


def read(archive: bytes) -> list[tuple[str, int, bytes, tuple[int, int], int]]:
    """A reader of our own: path, mode, data, device, inode of each entry before the trailer."""
    found: list[tuple[str, int, bytes, tuple[int, int], int]] = []
    at = 0
    while True:
        assert archive[at : at + 6] == b"070701"
        numbers = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        inode, mode, uid, gid, _links, mtime, size, _major, _minor, rmajor, rminor, length, check = numbers
        assert (uid, gid, mtime, check) == (0, 0, 0, 0)
        name = archive[at + 110 : at + 110 + length]
        assert name.endswith(b"\0")
        at = (at + 110 + length + 3) // 4 * 4
        data = archive[at : at + size]
        at = (at + size + 3) // 4 * 4
        if name == b"TRAILER!!!\0":
            assert archive[at:].strip(b"\0") == b""
            return found
        found.append((name[:-1].decode(), mode, data, (rmajor, rminor), inode))


def test_every_kind_of_entry_is_written_parents_first() -> None:
    archive = cpio.archive(
        [
            cpio.symlink("usr/bin/sh", "busybox"),
            cpio.file("init", b"\x7fELF", mode=0o755),
            cpio.character_device("dev/console", 5, 1),
            cpio.directory("proc", mode=0o555),
        ]
    )
    assert read(archive) == [
        ("dev", 0o040755, b"", (0, 0), 1),
        ("dev/console", 0o020600, b"", (5, 1), 2),
        ("init", 0o100755, b"\x7fELF", (0, 0), 3),
        ("proc", 0o040555, b"", (0, 0), 4),
        ("usr", 0o040755, b"", (0, 0), 5),
        ("usr/bin", 0o040755, b"", (0, 0), 6),
        ("usr/bin/sh", 0o120777, b"busybox", (0, 0), 7),
    ]
    assert len(archive) % 512 == 0


def test_the_bytes_of_one_entry_are_as_the_kernel_documents_them() -> None:
    assert cpio.archive([cpio.file("a", b"hello")])[:120] == (
        b"070701"
        b"00000001000081A40000000000000000000000010000000000000005"
        b"00000000000000000000000000000000"
        b"0000000200000000"
        b"a\0hello\0\0\0"
    )


_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12).filter(
    lambda name: name not in {".", "..", "TRAILER!!!"}
)


@given(files=st.dictionaries(_NAMES, st.binary(max_size=40)))
def test_what_is_written_is_read_and_order_does_not_matter(files: dict[str, bytes]) -> None:
    entries = [cpio.file(f"d/{name}", data) for name, data in files.items()]
    archive = cpio.archive(entries)
    assert cpio.archive(reversed(entries)) == archive
    assert {path: data for path, mode, data, _, _ in read(archive) if stat.S_ISREG(mode)} == {
        f"d/{name}": data for name, data in files.items()
    }


@pytest.mark.parametrize("path", ["", "/init", "a//b", "../a", "a/./b", "a/", "TRAILER!!!"])
def test_a_path_that_is_not_plainly_relative_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not a relative path"):
        cpio.archive([cpio.file(path, b"")])


def test_a_path_given_twice_or_under_a_file_is_refused() -> None:
    with pytest.raises(ValueError, match="given twice: 'a'"):
        cpio.archive([cpio.file("a", b""), cpio.directory("a")])
    with pytest.raises(ValueError, match="not a directory: 'a'"):
        cpio.archive([cpio.file("a", b""), cpio.file("a/b", b"")])


@pytest.mark.parametrize("command", [("cpio", "-t"), ("bsdtar", "-tf", "-")])
def test_other_readers_agree(command: tuple[str, ...], tmp_path: Path) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    archive = cpio.archive([cpio.file("init", b"x" * 1000), cpio.character_device("dev/console", 5, 1)])
    listed = subprocess.run(command, input=archive, capture_output=True, check=True, cwd=tmp_path)
    assert listed.stdout.decode().split() == ["dev", "dev/console", "init"]

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.workloads.test_cpio import read
from tests.workloads.test_kernel import bzimage
from tests.workloads.test_modules import module
from workloads.image import CompilerError, GuestImage, ImageError, build, build_async
from workloads.image.agent import compile_agent
from workloads.image.cache import default_directory, digest, make_file


@pytest.fixture
def own_kernel(tmp_path: Path) -> Path:
    (tmp_path / "own/boot").mkdir(parents=True)
    (tmp_path / "own/lib/modules/9.9-test/kernel").mkdir(parents=True)
    (tmp_path / "own/lib/modules/9.9-test/kernel/button.ko").write_bytes(module("button"))
    image = tmp_path / "own/boot/vmlinuz"
    image.write_bytes(bzimage("9.9-test"))
    return image


def test_an_image_is_built_offline_and_found_again(agent: Path, own_kernel: Path) -> None:
    image = build(guest_kernel=own_kernel)
    assert (image.kernel, image.release) == (own_kernel, "9.9-test")
    assert image.missing == ("virtio_pci", "virtio_balloon", "virtio_blk", "evdev")
    tree = {path: data for path, _, data, _, _ in read(image.initramfs.read_bytes())}
    assert tree["init"] == agent.read_bytes()
    assert tree["modules.list"] == b"/modules/button.ko\n"
    assert tree["modules/button.ko"] == module("button")
    assert set(tree) == {
        "dev",
        "dev/console",
        "init",
        "modules",
        "modules.list",
        "modules/button.ko",
        "proc",
        "sys",
    }
    made = image.initramfs.stat().st_mtime_ns
    assert build(guest_kernel=own_kernel) == image
    assert image.initramfs.stat().st_mtime_ns == made
    image.initramfs.unlink()


async def test_async_is_the_same(own_kernel: Path) -> None:
    image = await build_async(guest_kernel=own_kernel)
    assert isinstance(image, GuestImage)
    assert image == build(guest_kernel=own_kernel)
    image.initramfs.unlink()


def test_the_agent_is_static_and_small(agent: Path) -> None:
    content = agent.read_bytes()
    assert content[:5] == b"\x7fELF\x02"
    table, size, count = (
        int.from_bytes(content[at : at + n], "little") for at, n in ((32, 8), (54, 2), (56, 2))
    )
    kinds = {int.from_bytes(content[table + i * size :][:4], "little") for i in range(count)}
    assert 1 in kinds  # PT_LOAD
    assert 3 not in kinds  # PT_INTERP
    assert len(content) < 1_000_000


def test_many_builders_make_a_thing_once(tmp_path: Path) -> None:
    calls: list[int] = []
    start = threading.Barrier(8)

    def content() -> bytes:
        calls.append(1)
        return b"made"

    def builder() -> None:
        start.wait()
        assert make_file(tmp_path / "sub/thing", content).read_bytes() == b"made"

    threads = [threading.Thread(target=builder) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert sorted(path.name for path in (tmp_path / "sub").iterdir()) == [".thing.lock", "thing"]


def test_a_failed_builder_leaves_nothing_half_made(tmp_path: Path) -> None:
    def content() -> bytes:
        raise ImageError("no")

    with pytest.raises(ImageError, match=r"^no$"):
        make_file(tmp_path / "thing", content)
    assert [path.name for path in tmp_path.iterdir()] == [".thing.lock"]


def test_parts_of_a_digest_can_not_run_into_each_other() -> None:
    assert digest(["ab", "c"]) != digest(["a", "bc"])
    assert digest(["ab"]) == digest([b"ab"])


def test_no_compiler_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CompilerError, match=r"^no C compiler: run `apt-get install gcc libc6-dev`$"):
        build(tmp_path)


def test_no_static_libc_names_the_package(tmp_path: Path) -> None:
    with pytest.raises(CompilerError, match=r"cannot find -lnowhere.*: run `apt-get install gcc libc6-dev`$"):
        compile_agent(tmp_path, flags=("-std=gnu11", "-lnowhere", "-Os"))


def test_a_cache_that_can_not_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError, match=r"can't be written: Not a directory; set XDG_CACHE_HOME"):
        build(tmp_path / "file")


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_directory() == Path("/somewhere/kubevirt-density")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the XDG specification: not absolute, ignored
    monkeypatch.setenv("HOME", "/home/someone")
    assert default_directory() == Path("/home/someone/.cache/kubevirt-density")

"""What a machine may lack, tried for real: an exit code, one line with what mends it, nothing left running."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import seen
from tests.e2e.driver import ROAD, ROOT, Done, Place, place
from workloads.image import cache

pytestmark = [pytest.mark.guest, pytest.mark.timeout(400)]

SCENARIO = ROAD / "container-oom-at-limit.yaml"
NOBODY = 65534
with_guests = pytest.mark.usefixtures("guests")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user or mount")


def only(here: Place, *programs: str) -> str:
    """Return a PATH on which there is nothing but these programs."""
    folder = here.root / "bin"
    folder.mkdir()
    for program in programs:
        found = shutil.which(program)
        if found is None:
            pytest.skip(f"no {program} here")
        (folder / program).symlink_to(found)
    return str(folder)


def broken(here: Place, done: Done, *said: str) -> None:
    """It ended with 3 and one line that says this, and nothing is left."""
    assert done.code == 3, done
    assert done.err.startswith("density: "), done
    assert done.err.count("\n") == 1, done
    for word in said:
        assert word in done.err, done
    assert here.left() == []


def test_without_qemu_the_command_that_installs_it_is_named(here: Place) -> None:
    path = only(here, "cc")
    broken(here, here.density("run", SCENARIO, PATH=path), "apt-get install", "qemu-system-x86")
    assert here.run_directories() == []


@with_guests
def test_without_a_compiler_the_command_that_installs_it_is_named(here: Place) -> None:
    path = only(here, "qemu-system-x86_64")
    done = here.density("run", SCENARIO, PATH=path, XDG_CACHE_HOME=str(here.root / "cache"))
    broken(here, done, "no C compiler", "apt-get install gcc")


@pytest.mark.parametrize(
    ("name", "content", "says"), [("nowhere", b"", "nowhere"), ("junk", b"junk" * 9999, "bzImage")]
)
@with_guests
def test_what_is_no_kernel_is_refused_before_anything_starts(
    here: Place, name: str, content: bytes, says: str
) -> None:
    if content:
        (here.root / name).write_bytes(content)
    broken(here, here.density("run", SCENARIO, "--guest-kernel", here.root / name), says, "--guest-kernel")
    assert here.run_directories() == []


@pytest.mark.soak
def test_a_kernel_that_does_not_boot_is_a_failed_run(here: Place, guests: Path) -> None:
    kernel = bytearray(guests.read_bytes())
    half = len(kernel) // 2
    kernel[half:] = bytes(len(kernel) - half)  # begins as a kernel; can't be unpacked
    (here.root / "vmlinuz").write_bytes(kernel)
    done = here.density("run", SCENARIO, "--guest-kernel", here.root / "vmlinuz", within=180)
    assert done.code == 3, done
    # It panics and QEMU ends, or it hangs until the deadline.
    assert re.search(
        r"said no hello within|ended before it said hello.*--guest-kernel", done.out + done.err
    ), done
    assert here.left() == []
    (run,) = here.run_directories()
    assert seen.provenance(run)["outcome"] == "failed"
    assert (run / "findings.json").is_file()


@with_guests
def test_a_node_larger_than_the_machine_can_not_be_observed(here: Place) -> None:
    done = here.density("run", SCENARIO, "--set", "nodes.target.memory=1Ti")
    # excused by the baseline's `unless`, and told
    assert done.code == 0, done
    assert "nodes of 1048576 MiB do not fit this machine" in done.out
    (run,) = here.run_directories()
    assert seen.provenance(run)["outcome"] == "not-observable"
    assert set(seen.findings(run).values()) == {"not-observable"}
    assert here.left() == []


@with_guests
def test_a_place_that_can_not_be_written_is_named(here: Place) -> None:
    broken(here, here.density("run", SCENARIO, "--runs-dir", "/proc/runs"), "/proc/runs", "--runs-dir")
    broken(here, here.density("run", SCENARIO, XDG_STATE_HOME="/proc/state"), "/proc/state", "XDG_STATE_HOME")
    broken(here, here.density("run", SCENARIO, XDG_CACHE_HOME="/proc/cache"), "/proc/cache", "XDG_CACHE_HOME")


# -- what techniques need --------------------------------------------------------------------------------------------

TECHNIQUE = """\
apiVersion: density/v1
kind: Scenario
metadata: {name: technique, title: A technique that this machine may lack}
needs: [NAME]
nodes: [{name: target, memory: 512Mi, kubelet: {failSwapOn: false}}]
host: HOST
fleet:
  - name: hog
    manifest: MANIFEST
    set: {spec.domain.memory.guest: 256Mi, spec.domain.resources.requests.memory: 64Mi}
requires:
  - survives: {fleet: hog}
  - EXPECTED
"""
HIDDEN_KSM = "mount -t tmpfs -o size=4k tmpfs /sys/kernel/mm/ksm"
NO_SWAP = " && ".join(
    f"mount -t tmpfs -o size=4k tmpfs {place}" for place in ("/sys/class", "/sys/block", "/var/tmp")
)
"""No zram, and no place on a disk."""
BARE_V2 = "umount -l /sys/fs/cgroup/memory && mount -t cgroup2 none /sys/fs/cgroup/memory"


def changed(script: str) -> list[str]:
    """Return the words before a command that change the mounts it sees."""
    private = "mount --make-rprivate / 2>/dev/null; "
    return [
        *("unshare", "--mount", "--propagation", "unchanged"),
        *("sh", "-c", f'{private}{script} || exit 99; "$@"', "sh"),
    ]


def technique(here: Place, name: str, *, host: str, expected: str) -> Path:
    path = here.root / f"{name}.yaml"
    manifest = str(ROOT / "suites/manifests/agent.yaml")
    text = TECHNIQUE.replace("NAME", name).replace("HOST", host).replace("EXPECTED", expected)
    path.write_text(text.replace("MANIFEST", manifest))
    return path


@needs_root
@pytest.mark.parametrize(
    ("name", "script", "host", "expected", "says"),
    [
        (
            "ksm",
            HIDDEN_KSM,
            "{ksm: {run: 1}}",
            "ksm: {of: hog, run: 1}",
            "this kernel has no KSM",
        ),
        (
            "swap",
            NO_SWAP,
            "{swap: {kind: file, size: 64Mi}}",
            "swap: {of: hog, max: 0}",
            "set TMPDIR to a directory on a disk",
        ),
        (
            "cgroup-write",
            BARE_V2,
            "{}",
            "oom: {from: hog, count: 0}",
            "has no memory controller, and there is none of version 1",
        ),
    ],
)
@with_guests
def test_what_a_technique_needs_is_told_and_nothing_is_judged_without_it(
    here: Place, name: str, script: str, host: str, expected: str, says: str
) -> None:
    if name == "cgroup-write" and not Path("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists():
        pytest.skip("only a machine with cgroup v1 has a v2 hierarchy without the memory controller")
    here.prefix = changed(script)
    # a place in memory takes no swap file
    memory = {"TMPDIR": "/dev/shm"} if name == "swap" else {}
    doctor = here.density("doctor", within=60, **memory)
    assert re.search(rf"^{name} +no ", doctor.out, re.MULTILINE), doctor
    assert says in doctor.out, doctor
    done = here.density("run", technique(here, name, host=host, expected=expected), within=60, **memory)
    # the scenario said that it needs it: a lack is told, not failed
    assert done.code == 0, done
    assert f"this cluster lacks {name}" in done.out, done
    (run,) = here.run_directories()
    provenance = seen.provenance(run)
    assert provenance["outcome"] == "not-observable"
    assert provenance["capabilities"][name] != "yes"
    assert set(seen.findings(run).values()) == {"not-observable"}
    assert here.left() == []


# -- full disks ------------------------------------------------------------------------------------------------------


def small_disk(where: Path, size: str, *, keep: Path, taken: int = 0) -> list[str]:
    """Return the words before a command that give it a disk of that size at `where`; what is on it is copied to `keep`.

    `taken`: bytes of it that are in use already.
    """
    where.mkdir(exist_ok=True)
    script = (
        # A chroot's root is no mount point: its mounts are private already, or taken back below.
        'mount --make-rprivate / 2>/dev/null; size=$1 where=$2 keep=$3 taken=$4; shift 4; mount -t tmpfs -o size="$size" tmpfs "$where" || exit 99; '
        'head -c "$taken" /dev/zero > "$where/taken" || exit 99; '
        '"$@"; code=$?; cp -r "$where" "$keep"; umount "$where"; exit $code'
    )
    return [
        *("unshare", "--mount", "--propagation", "unchanged"),
        *("sh", "-c", script, "sh", size, str(where), str(keep), str(taken)),
    ]


@needs_root
@pytest.mark.parametrize("size", ["8k", pytest.param("160k", marks=pytest.mark.soak)])
@with_guests
def test_a_full_disk_under_the_runs_ends_the_run(here: Place, size: str) -> None:
    here.prefix = small_disk(here.runs, size, keep=here.root / "kept")
    done = here.density("run", SCENARIO, within=120)
    assert done.code == 3, done
    assert "No space left on device" in done.out + done.err, done
    assert "free some disk space, or choose another place with --runs-dir" in done.out + done.err, done
    assert "Traceback" not in done.err
    assert here.left() == []


@needs_root
@with_guests
def test_a_full_disk_under_the_undo_file_starts_nothing(here: Place) -> None:
    here.prefix = small_disk(here.root / "state", "4k", keep=here.root / "kept", taken=4096)
    done = here.density("run", SCENARIO)
    broken(here, done, "undo file", "free some disk space")
    assert "--runs-dir" not in done.err  # another disk
    assert here.run_directories() == []


@needs_root
@with_guests
def test_a_full_disk_under_the_cache_starts_nothing(here: Place) -> None:
    here.prefix = small_disk(here.root / "cache", "64k", keep=here.root / "kept")
    done = here.density("run", SCENARIO, XDG_CACHE_HOME=str(here.root / "cache"), within=300)
    broken(here, done, "space")
    assert here.run_directories() == []


# -- an unprivileged user --------------------------------------------------------------------------------------------


def can_run(made: Place) -> bool:
    """Whether the place's user can run its Python on our code."""
    same = f"import sys; assert sys.version_info[:2] == {sys.version_info[:2]}; import harness.cli.main, aiohttp, ssl"
    try:
        subprocess.run(
            [made.python, "-c", same],
            cwd=made.root,
            env=made.environment,
            user=made.user,
            group=made.user,
            extra_groups=[],
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@pytest.fixture
def nobody(guests: Path) -> Iterator[Place]:  # noqa: ARG001
    """A place of a user without any rights; skips where such a user can't read the program."""
    with place(user=NOBODY) as made:
        # The interpreter of this venv may lie in root's home; the system's will do if it is of the same version.
        made.environment["PYTHONPATH"] += f":{sysconfig.get_path('platlib')}"
        for made.python in (sys.executable, "/usr/bin/python3"):
            if can_run(made):
                break
        else:
            pytest.skip(f"user {NOBODY} can't run {sys.executable} or the system's Python on {ROOT}")
        theirs = made.root / "home" / ".cache" / "kubevirt-density"
        shutil.copytree(cache.default_directory(), theirs)
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(made.root / "home")], check=True)
        yield made


@needs_root
def test_a_user_without_cgroups_is_told_what_can_not_be_observed(nobody: Place) -> None:
    done = nobody.density("run", SCENARIO, "--no-control", within=200)
    assert done.code == 0, done
    assert nobody.left() == []
    (run,) = nobody.run_directories()
    assert seen.provenance(run)["qualifiers"]["cgroup"] == "pss"
    found = seen.findings(run)
    assert found["PRESS-1"] == "not-observable"
    assert found["requires/0"] == "not-observable"
    assert "cgroup-write" in done.out


@needs_root
@pytest.mark.soak
@pytest.mark.parametrize("scenario", ["hard-eviction", "soft-eviction", "qos-matrix"])
def test_a_user_without_cgroups_still_sees_evictions(nobody: Place, scenario: str) -> None:
    done = nobody.density("run", ROAD / f"{scenario}.yaml", "--no-control", within=300)
    assert done.code == 0, done
    assert nobody.left() == []
    (run,) = nobody.run_directories()
    assert seen.provenance(run)["qualifiers"]["cgroup"] == "pss"
    victims = {
        "hard-eviction": {"small-request"},
        "soft-eviction": {"listening", "deaf"},
        "qos-matrix": set[str](),
    }
    assert seen.evicted(run) == victims[scenario]
    modes = {
        record["data"].get("mode")
        for record in seen.records(run)
        if record["stream"] == "sample" and record["source"] == "cgroup"
    }
    assert modes == {"pss"}


@needs_root
@pytest.mark.soak
def test_a_user_without_cgroups_sees_no_race(nobody: Place) -> None:
    done = nobody.density("run", ROAD / "oom-race.yaml", within=200)
    assert done.code == 0, done
    assert nobody.left() == []
    (run,) = nobody.run_directories()
    assert set(seen.findings(run).values()) == {"not-observable"}

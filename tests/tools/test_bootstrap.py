"""tools/bootstrap on a machine that lacks everything, as a user who may not install: the command, each package once."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "tools/bootstrap"


def test_every_missing_package_is_named_once(tmp_path: Path) -> None:
    """Only `dirname` and an `id` that is nobody's root are on PATH; the checkout is a copy of the script's folder."""
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "id").write_text("#!/bin/sh\necho 1000\n")
    (commands / "id").chmod(0o755)
    dirname = shutil.which("dirname")
    assert dirname is not None
    (commands / "dirname").symlink_to(dirname)
    folder = tmp_path / "checkout/tools"
    folder.mkdir(parents=True)
    shutil.copy(SCRIPT, folder)
    done = subprocess.run(
        ["/bin/sh", str(folder / "bootstrap")],
        env={"PATH": str(commands)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    first, second = done.stderr.splitlines()
    listed = first.removeprefix("tools/bootstrap: missing: ").split()
    assert sorted(listed) == ["gcc", "libc6-dev", "python3", "python3-venv", "qemu-system-x86"]
    assert second == (
        f"tools/bootstrap: run:  sudo apt-get install -y --no-install-recommends {' '.join(listed)}"
    )

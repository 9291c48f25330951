"""Compiling the guest agent: static, small, warnings as errors."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from workloads.image import cache, command
from workloads.image.errors import CompilerError

SOURCE = Path(__file__).resolve().parent.parent / "agent"

WARNINGS = (
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wshadow",
    "-Wconversion",
    "-Wsign-conversion",
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
    "-Wold-style-definition",
    "-Wvla",
    "-Wformat=2",
    "-Wundef",
    "-Wcast-align",
    "-Wpointer-arith",
    "-Wwrite-strings",
    "-pedantic",
)
GUEST = ("-std=gnu11", "-Os", "-static", "-pthread", "-s", *WARNINGS)
SANITIZED = (
    "-std=gnu11",
    "-O1",
    "-g",
    "-pthread",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    *WARNINGS,
)
"""For tests on a host: the same sources, every undefined step fatal."""


def compile_agent(cache_dir: Path, *, flags: Sequence[str] = GUEST) -> Path:
    """Return the path of the compiled agent, from the cache if sources, flags and compiler are the same.

    Raises:
        CompilerError: no compiler, no static libc, or an error in the sources.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise CompilerError("no C compiler: run `apt-get install gcc libc6-dev`")
    version = _run([compiler, "--version"]).partition("\n")[0]
    sources = sorted([*SOURCE.glob("*.c"), *SOURCE.glob("*.h")])
    key = cache.digest(
        [version, *flags, *(part for path in sources for part in (path.name, path.read_bytes()))]
    )

    def content() -> bytes:
        with tempfile.TemporaryDirectory(prefix="density-agent-") as scratch:
            out = Path(scratch) / "agent"
            _run([compiler, *flags, "-o", str(out), *(str(path) for path in sources if path.suffix == ".c")])
            return out.read_bytes()

    return cache.make_file(cache_dir / "agents" / f"{key}-agent", content, mode=0o755)


def _run(arguments: Sequence[str]) -> str:
    try:
        return command.run(arguments)
    except command.CommandError as error:
        if "cannot find -l" in error.stderr or ".h: No such file" in error.stderr:
            raise CompilerError(f"{error}: run `apt-get install gcc libc6-dev`") from error
        raise CompilerError(f"the agent does not compile: {error}") from error

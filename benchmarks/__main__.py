"""Run every benchmark of this folder: `python -m benchmarks [NAME…]`. Exits 1 when a ratio is worse than its bound."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main(names: list[str]) -> int:
    found = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))
    unknown = [name for name in names if f"bench_{name}" not in found]
    if unknown:
        known = ", ".join(name.removeprefix("bench_") for name in found)
        print(f"benchmarks: no such benchmark: {', '.join(unknown)} (there are {known})", file=sys.stderr)
        return 2
    worst = 0
    for name in found:
        if names and name.removeprefix("bench_") not in names:
            continue
        print(f"== {name.removeprefix('bench_')}", flush=True)
        worst = max(worst, importlib.import_module(f"benchmarks.{name}").main())
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

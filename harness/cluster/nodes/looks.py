"""Node truth: one long `exec` per node streams cgroup files, processes and host rows; the first also the kernel log.

The remote program is a loop of dash and coreutils with one `grep` a look. It ends when its standard input does, since
an engine does not end what a vanished client has started, and by itself after four hours. Looks go to standard
output, kernel records to standard error: two writers on one pipe would cut each other's lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.cluster.base import Reading
from harness.cluster.probe import KSM_FILES, MEMINFO_FIELDS, note, sample

PROC = "/run/density/proc"
"""A second procfs in a node, which shows the machine's own meminfo where the node's is covered."""
PERIOD = 0.4
"""Seconds slept between two looks; a look takes ~20 ms, so readings are at most 0.5 s apart."""
DUE = 0.5
LATE = 0.1
"""Seconds of lateness worth a note."""
LOOKS = 36_000
"""Four hours."""

NODE_PROGRAM = r"""
host=$1; looks=$2; period=$3; proc=$4; kmsg=$5
if [ -e /sys/fs/cgroup/memory.stat ]; then root=/sys/fs/cgroup; v=2; else root=/sys/fs/cgroup/memory; v=1; fi
for d in kubelet.slice/kubelet-kubepods.slice kubelet/kubepods kubepods.slice kubepods; do
  if [ -d "$root/$d" ]; then pods="$root/$d"; break; fi
done
if [ "$v" = 2 ]; then
  set -- memory.current memory.stat memory.max memory.swap.current memory.events memory.pressure
else
  set -- memory.usage_in_bytes memory.stat memory.limit_in_bytes memory.failcnt memory.oom_control
fi
echo "H $v $root ${pods:-none}"
reader=
if [ "$kmsg" = 1 ]; then
  # the number of its last record: what is read anew below and is not later was there before us
  last=$(dd if=/dev/kmsg iflag=nonblock bs=8192 2>/dev/null | grep '^[0-9]' | tail -n 1 | cut -d, -f2)
  echo "K ${last:--1}"
  cat /dev/kmsg >&2 & reader=$!
fi
exec 3<&0
( read -r _ <&3; kill -TERM $$ ) &
watcher=$!
trap 'kill $reader $watcher 2>/dev/null; exit 0' TERM HUP INT PIPE
lost=0; n=0
while [ "$n" -lt "$looks" ]; do
  read -r up _ </proc/uptime
  echo "T $up" || exit 0
  list=
  for g in "$root" "$pods" "$pods"/*pod????????[-_]* "$pods"/*burstable*/*pod????????[-_]* "$pods"/*besteffort*/*pod????????[-_]*; do
    if [ -d "$g" ]; then for f; do list="$list $g/$f"; done; fi
  done
  grep -sHE '^([0-9]+|max|(anon|file|inactive_file|total_inactive_file|total_rss|total_swap|swap|oom|oom_kill|max|under_oom) [0-9]+|(some|full) .*)$' $list
  if [ $((n % 2)) = 0 ]; then
    for g in "$pods"/*pod????????[-_]* "$pods"/*burstable*/*pod????????[-_]* "$pods"/*besteffort*/*pod????????[-_]*; do
      for c in "$g"/*/cgroup.procs; do
        if [ -e "$c" ]; then
          while read -r p; do
            if read -r name <"/proc/$p/comm"; then case $name in
              qemu*)
                read -r adj <"/proc/$p/oom_score_adj"
                echo "P $g $p ${adj:-?} $name"
                grep -sE '^(Rss|Pss|SwapPss):' "/proc/$p/smaps_rollup" ;;
            esac; fi
          done <"$c" 2>/dev/null
        fi
      done
    done
  fi
  if [ "$host" = 1 ] && [ $((n % 4)) = 0 ]; then
    if [ -e "$proc/meminfo" ]; then m="$proc/meminfo"; else m=/proc/meminfo; fi
    grep -sHE '^(MemTotal|MemFree|MemAvailable|SwapTotal|SwapFree):' "$m"
    grep -sHE '^[0-9]+$' /sys/kernel/mm/ksm/*
  fi
  if [ -n "$reader" ] && ! kill -0 "$reader" 2>/dev/null && [ "$lost" -lt 20 ]; then
    lost=$((lost + 1)); echo "L kmsg"; cat /dev/kmsg >&2 & reader=$!
  fi
  echo E
  n=$((n + 1))
  sleep "$period"
done
kill $reader $watcher 2>/dev/null
"""


def remote_command(*, host: bool, kmsg: bool) -> tuple[str, ...]:
    """Return the argument list that runs in a node. `host`: with the machine's own rows; `kmsg`: with its kernel log."""
    flags = tuple("1" if flag else "0" for flag in (host, kmsg))
    return ("sh", "-c", NODE_PROGRAM, "sh", flags[0], str(LOOKS), str(PERIOD), PROC, flags[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose a pod's cgroup is."""

    pod: str
    """`<namespace>/<name>`"""
    vmi: str = ""


@dataclass(slots=True)
class Looks:
    """Turns one node's standard output into readings. `owners`: pod uid → owner, kept up to date by the caller."""

    node: str
    owners: Mapping[str, Owner]
    root: str = ""
    pods: str = ""
    version: int = 0
    count: int = 0
    """Looks so far."""
    _up: float | None = None
    _lines: list[str] = field(default_factory=list)

    def feed(self, line: str) -> Iterator[Reading]:
        """Take one line; at the end of a look yield what it saw."""
        if line.startswith("H "):
            _, version, self.root, self.pods = [*line.split(" ", 3), "", ""][:4]
            self.version = int(version)
            self._lines = []  # when it began again the uptime of its first look tells how long it was away
        elif line == "E":
            lines, self._lines = self._lines, []
            self.count += 1
            yield from self._look(lines)
        else:
            self._lines.append(line)

    def _look(self, lines: list[str]) -> Iterator[Reading]:
        groups: dict[str, dict[str, list[str]]] = {}
        host: dict[str, dict[str, int]] = {"meminfo": {}, "ksm": {}}
        process: dict[str, Any] | None = None
        processes: list[tuple[str, dict[str, Any]]] = []
        for line in lines:
            if line.startswith("T "):
                yield from self._time(float(line[2:]))
            elif line.startswith("P "):
                _, group, pid, adj, name = line.split(" ", 4)
                process = {"pid": int(pid), "process": name}
                if adj.lstrip("-").isdigit():
                    process["oomScoreAdj"] = int(adj)
                processes.append((group, process))
            elif line.startswith(("Rss:", "Pss:", "SwapPss:")) and process is not None:
                name, value = line.split()[:2]
                process[{"Rss:": "rss", "Pss:": "pss", "SwapPss:": "swap"}[name]] = int(value) * 1024
            elif line.startswith("L "):
                yield note("lost-sample", f"{self.node}: the kernel log overtook its reader", seconds=1.0)
            elif line.startswith("/"):
                path, _, value = line.partition(":")
                self._row(path, value, groups, host)
        for group, files in groups.items():
            reading = self._group(group, files)
            if reading is not None:
                yield reading
            if "memory.pressure" in files:
                yield from self._pressure(group, files["memory.pressure"])
        for group, data in processes:
            uid = pod_uid(group)
            yield sample("process", self.node, self.owners[uid].vmi if uid in self.owners else "", data)
        yield from _host(host)

    def _time(self, up: float) -> Iterator[Reading]:
        last, self._up = self._up, up
        late = up - last - DUE if last is not None else 0.0
        if late > DUE:
            yield note(
                "lost-sample", f"{self.node}: no look for {late + DUE:.2f} s", seconds=round(late + DUE, 3)
            )
        elif late > LATE:
            yield note("late-pass", f"{self.node}: a look was {late:.2f} s late", seconds=round(late, 3))

    def _row(
        self, path: str, value: str, groups: dict[str, dict[str, list[str]]], host: dict[str, dict[str, int]]
    ) -> None:
        folder, _, name = path.rpartition("/")
        if name == "meminfo":
            key, _, rest = value.partition(":")
            if key in MEMINFO_FIELDS:
                host["meminfo"][key] = int(rest.split()[0]) * 1024
        elif folder.endswith("/mm/ksm"):
            if name in KSM_FILES:
                host["ksm"][name] = int(value)
        else:
            groups.setdefault(folder, {}).setdefault(name, []).append(value)

    def _group(self, group: str, files: Mapping[str, list[str]]) -> Reading | None:
        usage = _number(files.get("memory.current") or files.get("memory.usage_in_bytes"))
        stat = _rows(files.get("memory.stat", []))
        if usage is None and group == self.root and "file" in stat:
            # the true root of v2 has no memory.current; a kubelet adds these (opencontainers/cgroups fs2/memory.go)
            usage = stat.get("anon", 0) + stat["file"]
        if usage is None:  # it vanished while being read
            return None
        inactive = stat.get("total_inactive_file", stat.get("inactive_file", 0))
        events = _rows(files.get("memory.events", []) or files.get("memory.oom_control", []))
        data: dict[str, Any] = {
            "usage": usage,
            "workingSet": max(0, usage - inactive),
            "inactiveFile": inactive,
            "rss": stat.get("total_rss", stat.get("anon")),
            "limit": _number(files.get("memory.max") or files.get("memory.limit_in_bytes")),
            "swap": _number(files.get("memory.swap.current"))
            if self.version == 2
            else stat.get("total_swap"),
            "failcnt": events.get("max") if self.version == 2 else _number(files.get("memory.failcnt")),
            "oomKill": events.get("oom_kill"),
        }
        if data["limit"] is not None and data["limit"] >= 1 << 62:  # v1's way to say none
            data["limit"] = None
        known = {key: value for key, value in data.items() if value is not None}
        subject, who = self._subject(group)
        return sample("cgroup", self.node, subject, {**known, "mode": f"v{self.version}", **who})

    def _subject(self, group: str) -> tuple[str, dict[str, str]]:
        if group == self.root:
            return "/", {}
        if group == self.pods:
            return "/kubepods", {}
        uid = pod_uid(group)
        owner = self.owners.get(uid)
        return f"pod/{uid}", {"pod": owner.pod, "vmi": owner.vmi} if owner is not None else {}

    def _pressure(self, group: str, lines: list[str]) -> Iterator[Reading]:
        subject, who = self._subject(group)
        if subject != "/":  # of pods only the node's own view is of interest, and records are many
            return
        data: dict[str, Any] = {}
        for line in lines:
            kind, *fields = line.split()
            data[kind] = {key: float(value) for key, _, value in (f.partition("=") for f in fields)}
        yield sample("psi", self.node, subject, {**data, **who})


def pod_uid(path: str) -> str:
    """Return the pod uid in the last part of a cgroup path: `pod<uid>` or `…-pod<uid with _>.slice`."""
    name = path.rstrip("/").rpartition("/")[2].removesuffix(".slice")
    return name.rpartition("pod")[2].replace("_", "-")


def _number(lines: list[str] | None) -> int | None:
    text = lines[0].strip() if lines else ""
    return int(text) if text.isdigit() else None


def _rows(lines: list[str]) -> dict[str, int]:
    pairs = (line.partition(" ") for line in lines)
    return {key: int(value) for key, _, value in pairs if value.isdigit()}


def _host(host: Mapping[str, Mapping[str, int]]) -> Iterator[Reading]:
    meminfo = host["meminfo"]
    if meminfo:
        yield sample("meminfo", "", "host", meminfo)
        if meminfo.get("SwapTotal"):
            swap = {"total": meminfo["SwapTotal"], "free": meminfo.get("SwapFree", 0)}
            yield sample("swap", "", "host", swap)
    if host["ksm"]:
        yield sample("ksm", "", "host", host["ksm"])

"""Plays kind, docker, podman and kubectl: `fake_program.py NAME WORLD ARGUMENTS…`. Standard library only, starts fast.

The world is a directory: `state.json` (clusters, containers), `calls.ndjson` (what was asked), `faults.json` (what to
do instead), `kubeconfig` (what clusters are reached by), `nodes/<container>/` (a node's root). A command in a node is
run for real, with the paths that matter pointing into that root.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:  # half of the time it takes to start
    from collections.abc import Callable
    from typing import Any, NoReturn

PROGRAM, WORLD, ARGUMENTS = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
REWRITTEN = {
    "/run/density/proc/meminfo": "/proc/real-meminfo",
    "/proc/[0-9]*": "/proc/[0-9]*",  # a node's processes are not this machine's, where others may play a kubelet
    "/run/density": "/run/density",
    "/var/lib/kubelet": "/var/lib/kubelet",
    "/var/tmp": "/var/tmp",
    "/etc/kubernetes": "/etc/kubernetes",
    "/proc/meminfo": "/proc/meminfo",
    "/proc/self/mountinfo": "/proc/mountinfo",
    "/sys/fs/cgroup": "/sys/fs/cgroup",
    "/sys/kernel/mm/ksm": "/sys/kernel/mm/ksm",
    "/dev/kmsg": "/dev/kmsg",
    "/dev/kvm": "/dev/kvm",
}
WORDS = {'"/density/meminfo /proc/meminfo "': '"covered"', '" /run/density/proc "': '"second proc"'}
PRISTINE = "kind: KubeletConfiguration\ncgroupRoot: /kubelet\nevictionHard: {nodefs.available: 0%}\n"
MEMINFO = "MemTotal:       16777216 kB\nSwapTotal:             0 kB\n"


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def read(name: str, default: Any) -> Any:
    try:
        return json.loads((WORLD / name).read_text())
    except FileNotFoundError:
        return default


def state_now() -> dict[str, Any]:
    found: dict[str, Any] = read("state.json", {"clusters": {}})
    return found


def change(function: Callable[[dict[str, Any]], object]) -> None:
    with (WORLD / "state.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = state_now()
        function(state)
        (WORLD / "state.new").write_text(json.dumps(state))
        (WORLD / "state.new").replace(WORLD / "state.json")


def option(name: str) -> str:
    for number, word in enumerate(ARGUMENTS):
        if word == name:
            return ARGUMENTS[number + 1]
        if word.startswith(name + "="):
            return word.split("=", 1)[1]
    return ""


def containers(state: dict[str, Any]) -> dict[str, Any]:
    return {name: c for cluster in state["clusters"].values() for name, c in cluster["containers"].items()}


def fail(message: str, code: int = 1) -> NoReturn:
    sys.stderr.write(message + "\n")
    sys.exit(code)


def fault() -> dict[str, Any] | None:
    """Misbehave as told; what is told to come after the real thing is returned."""
    line = " ".join([PROGRAM, *ARGUMENTS])
    for prefix, what in read("faults.json", {}).items():
        if line.startswith(prefix) or ("*" in prefix and all(part in line for part in prefix.split("*"))):
            if what.get("after"):
                return dict(what)
            misbehave(what)
    return None


def misbehave(what: dict[str, Any]) -> NoReturn:
    import subprocess  # noqa: PLC0415

    if what.get("children"):  # one in our group, one that has left it and lost its parent
        subprocess.Popen(["sleep", "3600.25"])
        subprocess.run(["sh", "-c", "setsid sleep 3601.25 >/dev/null 2>&1 &"], check=False)
    time.sleep(what.get("sleep", 0))
    fail(what.get("stderr", "it failed"), what.get("code", 1))


def kind() -> None:
    match ARGUMENTS[:2]:
        case ["version", *_]:
            say("kind v0.32.0 go1.25.1 linux/amd64")
        case ["get", "clusters"]:
            names = state_now()["clusters"]
            if names:
                say("\n".join(names))
            else:
                sys.stderr.write("No kind clusters found.\n")
        case ["get", "kubeconfig"]:
            say((WORLD / "kubeconfig").read_text())
        case ["create", "cluster"]:
            create()
        case ["delete", "cluster"]:
            change(lambda state: state["clusters"].pop(option("--name"), None))
        case ["load", "image-archive"]:
            if not Path(ARGUMENTS[2]).exists():
                fail("ERROR: no such file")
        case ["export", "logs"]:
            Path(ARGUMENTS[2]).mkdir(parents=True, exist_ok=True)
            Path(ARGUMENTS[2], "kubelet.log").touch()
        case _:
            fail("ERROR: unknown command " + " ".join(ARGUMENTS))


def create() -> None:
    name = option("--name")
    config = Path(option("--config")).read_text()
    (WORLD / "last-config.yaml").write_text(config)
    made: dict[str, Any] = {}
    workers = 0
    for role in (line.split("role:")[1].strip() for line in config.splitlines() if "role:" in line):
        workers += role == "worker"
        node = f"{name}-{role}" + (str(workers) if role == "worker" and workers > 1 else "")
        made[node] = {"id": f"{len(made):02d}" + "a" * 62, "role": role}
        root = WORLD / "nodes" / node
        for folder in ("run", "var/lib/kubelet", "proc"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        (root / "var/lib/kubelet/config.yaml").write_text(PRISTINE)
        (root / "proc/meminfo").unlink(missing_ok=True)
        (root / "proc/meminfo").write_text(MEMINFO)
        (root / "proc/real-meminfo").write_text(MEMINFO)
        (root / "proc/mountinfo").write_text("")

    def add(state: dict[str, Any]) -> None:
        if name in state["clusters"]:
            fail(f'ERROR: node(s) already exist for a cluster with the name "{name}"')
        state["clusters"][name] = {"containers": made, "created": time.time()}

    change(add)
    Path(option("--kubeconfig")).write_text((WORLD / "kubeconfig").read_text())
    sys.stderr.write(f'Creating cluster "{name}" ...\n')


def engine() -> None:
    state = state_now()
    match ARGUMENTS:
        case ["info", *_]:
            say(json.dumps(read("info.json", {})))
        case ["ps", *_]:
            wanted = option("--filter").partition("=")[2].partition("=")[2]
            for name, cluster in state["clusters"].items():
                if wanted in {"", name}:
                    say("\n".join(cluster["containers"]))
        case ["inspect", *names]:
            say(json.dumps([inspect(state, name) for name in names]))
        case ["update", *_, node]:
            must_exist(state, node)
        case ["exec", "--interactive", node, *command]:
            must_exist(state, node)
            execute(node, command)
        case ["exec", node, *command]:
            must_exist(state, node)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            execute(node, command)
        case _:
            fail("unknown command " + " ".join(ARGUMENTS))


def must_exist(state: dict[str, Any], node: str) -> None:
    if node not in containers(state):
        fail(f"Error response from daemon: No such container: {node}")


def inspect(state: dict[str, Any], name: str) -> dict[str, Any]:
    for cluster, content in state["clusters"].items():
        if name in content["containers"]:
            container = content["containers"][name]
            created = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(content["created"])) + ".123456789Z"
            labels = {"io.x-k8s.kind.cluster": cluster, "io.x-k8s.kind.role": container["role"]}
            return {
                "Id": container["id"],
                "Name": "/" + name,
                "Created": created,
                "Config": {"Labels": labels},
                "State": {"Running": container.get("running", True)},
            }
    fail(f"Error: No such object: {name}")


def execute(node: str, command: list[str]) -> NoReturn:
    root = WORLD / "nodes" / node
    rewritten: list[str] = []
    for word in command:
        text = word
        for old, new in WORDS.items():
            text = text.replace(old, new)
        for old, new in REWRITTEN.items():
            text = text.replace(old, f"\0{new}")
        rewritten.append(text.replace("\0", str(root)))
    environment = {**os.environ, "ROOT": str(root), "PATH": f"{WORLD / 'node-bin'}:{os.environ['PATH']}"}
    os.chdir(root)
    os.execvpe(rewritten[0], rewritten, environment)


def kubectl() -> None:
    if "apply" in ARGUMENTS:
        with (WORLD / "applied.ndjson").open("a") as file:
            file.writelines(line for line in sys.stdin if line.startswith("{"))


def main() -> None:
    call = {
        "program": PROGRAM,
        "arguments": ARGUMENTS,
        "docker_host": os.environ.get("DOCKER_HOST", ""),
        "provider": os.environ.get("KIND_EXPERIMENTAL_PROVIDER", ""),
    }
    with (WORLD / "calls.ndjson").open("a") as file:
        file.write(json.dumps(call) + "\n")
    after = fault()
    {"kind": kind, "docker": engine, "podman": engine, "kubectl": kubectl}[PROGRAM]()
    sys.stdout.flush()
    if after:
        misbehave(after)


main()

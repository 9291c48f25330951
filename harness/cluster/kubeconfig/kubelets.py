"""Setting kubelets of an existing cluster, where the user allows it: by a pod that writes a file and restarts one.

What exactly is done to a node (`density rbac --allow-kubelet-config` prints the pod and its script):
1. the kubelet's arguments and configuration file are read;
2. an undo entry is written here, then the settings there: a drop-in where the kubelet has `--config-dir`, else its
   configuration file is patched and the one that was is kept beside it;
3. `systemctl restart kubelet`; if it is not active for good within seconds, the same pod puts everything back;
4. `/configz` is held against what was asked, and at the end of the run everything is put back and the kubelet restarted.

A size is stood in for by thresholds (facts: option C, as `cluster.nodes.calibrate`): the kubelet of a node with C bytes
of which it uses W now acts as one of a node of M bytes, idle but for the same daemons, would.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.cluster.base import NodeRequest, Undo
from harness.cluster.errors import NODE_MEMORY, ClusterError, NotObservable
from harness.cluster.kubeconfig import helpers
from harness.cluster.kubeconfig.helpers import Place
from harness.cluster.nodes import in_force
from harness.cluster.nodes import kubelet_files as files_of
from harness.cluster.nodes.calibrate import SIGNAL, calibrated
from harness.kube import node as kubelet
from harness.kube.errors import KubeError
from harness.kube.objects import Objects
from harness.units import MIB, Bytes

OP = "kubelet-restore"
MARK = "---"
LOOK = (
    f"args=$({files_of.FIND}); "
    'if [ -z "$args" ]; then echo "no process named kubelet there"; exit 1; fi; '
    f'printf "%s\\n" "$args" {MARK}; '
    'c=$(printf "%s\\n" "$args" | sed -n "s/^--config=//p"); '
    f'cat "${{c:-{files_of.CONFIG}}}" || exit 1; command -v systemctl >/dev/null'
)
"""Prints the kubelet's arguments, a mark, and its configuration file."""
APPLY = (
    'if [ -n "$3" ]; then printf "%s" "$4" > "$3.density-new" && mv "$3.density-new" "$3" || exit 1; '
    f'else {{ {files_of.KEEP}; }} && printf "%s" "$4" | {{ {files_of.REPLACE}; }} || exit 1; fi; '
    "systemctl restart kubelet; good=0; n=0; "
    'while [ "$n" -lt 20 ] && [ "$good" -lt 5 ]; do sleep 1; n=$((n + 1)); '
    "if systemctl is-active --quiet kubelet; then good=$((good + 1)); else good=0; fi; done; "
    'if [ "$good" -lt 5 ]; then why=$(journalctl --unit kubelet --no-pager --output cat --lines 3 | tr "\\n" " "); '
    f'{files_of.RESTORE}; echo "the kubelet did not start, all was put back: $why"; exit 1; fi'
)
"""Arguments: configuration file, suffix of its pristine copy, drop-in or '', content."""


class Kubelets:
    """The kubelets of one run's nodes. `address`: `kubeconfig` and `context`, for undoing after a crash."""

    def __init__(self, place: Place, *, undo: Undo, address: Mapping[str, str]) -> None:
        self._place = place
        self._undo = undo
        self._address = address
        self._set: dict[str, files_of.Files] = {}
        self.told: list[str] = []
        """What was done, one line each."""

    async def set(self, node: str, fragment: Mapping[str, Any]) -> None:
        """Give a node's kubelet settings. Raises ClusterError; the settings are then as they were, or in the undo file."""
        place = self._place
        said = await helpers.run_once(
            place, node=node, command=("sh", "-c", LOOK), what="looking at its kubelet"
        )
        arguments, _, configuration = said.partition(f"\n{MARK}\n")
        files = files_of.files(arguments)
        content = files_of.drop_in(fragment) if files.drop_in else files_of.patched(configuration, fragment)
        self._undo(
            {
                "op": OP,
                "target": node,
                **self._address,
                "namespace": place.namespace,
                "own-namespace": place.own,
                "run": place.run,
                "image": place.image,
                "config": files.config,
                "drop-in": files.drop_in,
                "settings": dict(fragment),
            }
        )
        self._set[node] = files
        self.told.append(f"the kubelet of {node} is set by {files.drop_in or files.config} and restarted")
        command = ("sh", "-c", APPLY, "sh", files.config, files_of.PRISTINE_SUFFIX, files.drop_in, content)
        await helpers.run_once(place, node=node, command=command, what="setting its kubelet")
        await self._in_force(node, fragment)

    async def _in_force(self, node: str, fragment: Mapping[str, Any]) -> None:
        objects = Objects(self._place.connection, patience=0.0)
        wrong = await in_force.until_right(lambda: in_force.wrong_settings(objects, node, fragment))
        if wrong:
            raise ClusterError(
                f"node {node}: its settings are not in force after {in_force.IN_FORCE:g} s: {wrong}"
            )

    async def restore(self) -> None:
        """Put every kubelet back. Idempotent. Raises ClusterError after all were tried."""
        failed: ClusterError | None = None
        for node, files in list(self._set.items()):
            try:
                await restored(self._place, node=node, config=files.config, drop_in=files.drop_in)
                del self._set[node]
            except ClusterError as error:
                failed = error
        if failed is not None:
            raise ClusterError(f"{failed}; density clean tries again") from failed


async def restored(place: Place, *, node: str, config: str, drop_in: str) -> bool:
    """Put one kubelet back; False if there was nothing left to do. Raises ClusterError."""
    command = files_of.restore_arguments(config, drop_in)
    said = await helpers.run_once(place, node=node, command=command, what="putting its kubelet back")
    return "restored" in said


def stood_in(request: NodeRequest, *, capacity: Bytes, used: Bytes) -> dict[str, Any]:
    """Return the fragment by which a node of `capacity`, `used` of it now, acts as one of the size asked for.

    Raises NotObservable where no threshold could stand in for the size, or the node is too small.
    """
    assert request.memory is not None
    if not any(SIGNAL in (request.kubelet.get(key) or {}) for key in ("evictionHard", "evictionSoft")):
        raise NotObservable(
            f"node {request.name} is to have {request.memory // MIB} MiB: on a node of {capacity // MIB} MiB only a "
            f"threshold of {SIGNAL} could stand in for that, and the scenario asks for none",
            lacks=NODE_MEMORY,
        )
    size = Bytes(request.memory + used)
    if size > capacity:
        raise NotObservable(
            f"node {request.name} needs {request.memory // MIB} MiB beside the {used // MIB} MiB that are used of the "
            f"node's {capacity // MIB} MiB",
            lacks=NODE_MEMORY,
        )
    return calibrated(request.kubelet, machine=capacity, node=size)


async def used(objects: Objects, node: str, *, capacity: Bytes) -> Bytes:
    """Return what a node uses now: its capacity less what its kubelet says is available. Raises NotObservable."""
    try:
        row = kubelet.memory_row(await kubelet.stats_summary(objects, node))
    except KubeError as error:
        raise NotObservable(f"stats/summary of {node}: {error}") from error
    if row is None:
        raise NotObservable(f"the kubelet of {node} has not measured its memory yet")
    return Bytes(max(0, capacity - row[1]))

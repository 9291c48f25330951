"""The flags of `--cluster kubeconfig`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from harness.cli.option_groups import Command, Option, grouped

PANEL = "Clusters of --cluster kubeconfig"
_FLAGS: dict[str, tuple[Any, str, str, str]] = {
    # field of Options: type, flag, help, environment
    "kubeconfig": (Path, "--kubeconfig", "A kubeconfig file; else $KUBECONFIG, else ~/.kube/config.", ""),
    "context": (str, "--context", "A context of it; else its current one.", "DENSITY_CONTEXT"),
    "meant": (bool, "--i-mean-it", "With --context: also what looks like production.", "DENSITY_I_MEAN_IT"),
    "namespace": (
        str,
        "--namespace",
        "An existing namespace to run in; else one is made per run.",
        "DENSITY_NAMESPACE",
    ),
    "agent_image": (
        str,
        "--agent-image",
        "Registry reference of the guest image, which the nodes pull.",
        "DENSITY_AGENT_IMAGE",
    ),
    "guest_disk": (
        str,
        "--guest-disk",
        "In its place: registry reference of a stock container disk with cloud-init, systemd and python3. A lesser guest.",
        "DENSITY_GUEST_DISK",
    ),
    "nodes": (
        list[str],
        "--node",
        "SCENARIO-NODE=CLUSTER-NODE; else the largest usable ones. Repeatable.",
        "DENSITY_NODES",
    ),
    "patch_kubevirt": (
        bool,
        "--patch-kubevirt",
        "Patch the KubeVirt CR where a scenario asks for it, and restore it.",
        "DENSITY_PATCH_KUBEVIRT",
    ),
    "node_reader": (
        bool,
        "--node-reader",
        "Run a privileged DaemonSet that reads cgroups, memory and kernel log; shown by `density rbac --node-reader`.",
        "DENSITY_NODE_READER",
    ),
    "node_reader_image": (
        str,
        "--node-reader-image",
        "Registry reference of its image: sh, coreutils and grep; busybox will do.",
        "DENSITY_NODE_READER_IMAGE",
    ),
    "allow_kubelet_config": (
        bool,
        "--allow-kubelet-config",
        "Set kubelets as scenarios ask (drop-in or configuration file, restart), and put them back: evicts others' pods too.",
        "DENSITY_ALLOW_KUBELET_CONFIG",
    ),
}


def kubeconfig_options(command: Command) -> Command:
    """Give a typer command the flags; it receives those that were given as its keyword argument `kubeconfig`."""
    options: dict[str, Option] = {}
    for name, (kind, flag, text, variable) in _FLAGS.items():
        option = typer.Option(
            flag,
            # The environment is read by Options, where pytest finds it too.
            help=f"{text} [env: {variable}]" if variable else text,
            rich_help_panel=PANEL,
            show_default=False,
        )
        options[name] = (kind | None, option)
    return grouped(command, "kubeconfig", options, given=lambda value: value not in (None, False, []))

"""What privileged pods would run, as YAML comments: to be read before it is allowed, and not applied by mistake."""

from __future__ import annotations

from typing import Any

import yaml

from harness.cluster.kubeconfig import kubelets, node_pods
from harness.cluster.nodes import kubelet_files as files_of

RUN = "RUN"


def reader(*, namespace: str, image: str) -> str:
    """Return the DaemonSet of `--node-reader`."""
    made = node_pods.reader(image=image, namespace=namespace, run=RUN, nodes=["NODE"])
    return _comment(
        "--node-reader makes this DaemonSet for the length of a run, on the nodes that the run uses. It is privileged (to\n"
        "read the kernel log and other processes' memory), writes nothing, and is removed at the end:",
        made,
    )


def kubelet(*, namespace: str, image: str) -> str:
    """Return the pods of `--allow-kubelet-config`: looking, setting, putting back."""
    config, drop_in = files_of.CONFIG, "DROP-IN-DIRECTORY/" + files_of.DROP_IN
    commands = {
        "look": ("sh", "-c", kubelets.LOOK),
        "set": ("sh", "-c", kubelets.APPLY, "sh", config, files_of.PRISTINE_SUFFIX, drop_in, "SETTINGS"),
        "put-back": files_of.restore_arguments(config, drop_in),
    }
    made = [
        node_pods.once(image=image, namespace=namespace, run=RUN, node="NODE", name=name, command=command)
        for name, command in commands.items()
    ]
    return _comment(
        "--allow-kubelet-config runs these pods, one after the other, on nodes whose kubelet is not as a scenario asks. They\n"
        "enter the host's namespaces, write the kubelet's drop-in (where it has no --config-dir: its configuration file,\n"
        "keeping the one that was) and restart it, and put it back at the end or by `density clean`. Meanwhile the kubelet\n"
        "may evict any pod of the node:",
        *made,
    )


def _comment(head: str, *objects: dict[str, Any]) -> str:
    text = (
        head
        + "\n"
        + "---\n".join(yaml.dump(item, Dumper=_Readable, sort_keys=False, width=10_000) for item in objects)
    )
    return "".join(f"# {line}".rstrip() + "\n" for line in text.splitlines()) + "#\n"


class _Readable(yaml.SafeDumper):
    """Scripts as blocks, nothing by reference."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value.lstrip("\n"), style=style)


_Readable.add_representer(str, _text)

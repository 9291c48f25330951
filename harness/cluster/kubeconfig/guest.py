"""How guests of an existing cluster come by their agent: our image as `kernelBoot`, or a stock disk with cloud-init."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from harness.embedded.machine.linux.qemu import KERNEL_ARGS
from workloads.image.oci import INITRD_PATH, KERNEL_PATH
from workloads.lesser import LACKS, user_data

ROOT = "density-root"
USER_DATA = "density-userdata"


def with_agent(image: str, *, nonce: str, deaf: bool) -> Mapping[str, Any]:
    """Return the merge patch that boots the agent's kernel; nonce and deafness ride on the kernel command line."""
    arguments = f"{KERNEL_ARGS} density.nonce={nonce}" + (" density.deaf=1" if deaf else "")
    boot = {
        "kernelArgs": arguments,
        "container": {
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "kernelPath": KERNEL_PATH,
            "initrdPath": INITRD_PATH,
        },
    }
    return {"spec": {"domain": {"firmware": {"kernelBoot": boot}}}}


def with_disk(image: str, *, nonce: str, deaf: bool) -> Mapping[str, Any]:
    """Return the merge patch that boots a container disk, in place of any disk of the manifest, with the small agent."""
    packed = base64.b64encode(user_data(nonce=nonce, deaf=deaf)).decode()
    return {
        "spec": {
            "domain": {
                "firmware": {"kernelBoot": None},
                "devices": {
                    "disks": [{"name": name, "disk": {"bus": "virtio"}} for name in (ROOT, USER_DATA)],
                },
            },
            "volumes": [
                {"name": ROOT, "containerDisk": {"image": image, "imagePullPolicy": "IfNotPresent"}},
                {"name": USER_DATA, "cloudInitNoCloud": {"userDataBase64": packed}},
            ],
        }
    }


def qualifier(image: str) -> str:
    """Return what a badge says of guests that boot a container disk."""
    return (
        f"lesser: {image} with a small agent under the distribution's own kernel and init; the memory of its services "
        "moves by tens of MiB beside what is held, no touch latencies, a clean end takes as long as its services do"
    )


def lacks(image: str) -> Mapping[str, str]:
    """Return verb → why guests of a container disk can't do it."""
    return dict.fromkeys(LACKS, f"the lesser guest of --guest-disk {image} can't; --agent-image can")

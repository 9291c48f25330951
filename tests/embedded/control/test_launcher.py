"""The virt-launcher pod equals the recorded one, field by field."""

import gzip
import json
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from harness.embedded.control.launcher import render_pod
from tests.embedded.recorded import RECORDINGS, watched

VERSION = "v1.9.0-local"


def cases() -> Iterator[Any]:
    with gzip.open(RECORDINGS / "kubevirt-resource-matrix.ndjson.gz") as lines:
        for case in map(json.loads, lines):
            if case["pod"]:
                yield pytest.param(case, id=f"{case['settings']}-{case['case']}")


def render(vmi: dict[str, Any], *, percent: int = 100) -> dict[str, Any]:
    return render_pod(
        vmi,
        column="main",
        configuration={"developerConfiguration": {"useEmulation": True, "memoryOvercommit": percent}},
        version=VERSION,
        rng=random.Random(1),
    )


def alike(pod: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is random, what the API server adds, and where images come from."""
    text = json.dumps({key: pod[key] for key in ("metadata", "spec")})
    text = text.replace("docker.io/kubevirt/", "quay.io/kubevirt/")
    text = re.sub(r'"--qemu-timeout", "\d+s"', '"--qemu-timeout", "N"', text)
    found: dict[str, Any] = json.loads(text)
    metadata = found["metadata"]
    metadata["name"] = re.sub(r"-[a-z0-9]{5}$", "-XXXXX", metadata["name"])
    for key in ("uid", "resourceVersion", "creationTimestamp", "generation"):
        metadata.pop(key, None)
    found["spec"].pop("nodeName", None)
    return found


@pytest.mark.parametrize("case", list(cases()))
def test_the_pod_is_the_recorded_one(case: dict[str, Any]) -> None:
    percent = {"default": 100, "overcommit-150": 150}[case["settings"]]
    assert alike(render(case["vmi"], percent=percent)) == alike(case["pod"])


def test_a_kernel_boot_pod_is_the_recorded_one() -> None:
    objects = [obj for _, obj in watched("kind-1.36-kubevirt-hard-eviction-deaf", since=1.0)]
    vmi = next(
        o for o in objects if o["kind"] == "VirtualMachineInstance" and o["metadata"]["name"] == "hog-1"
    )
    pod = next(o for o in objects if o["kind"] == "Pod" and "hog-1" in o["metadata"]["name"])
    assert alike(render(vmi)) == alike(pod)
    assert pod["spec"]["terminationGracePeriodSeconds"] == 60


def test_priority_and_tolerations_are_the_vmis() -> None:
    vmi: dict[str, Any] = {
        "metadata": {"name": "a", "namespace": "default", "uid": "u"},
        "spec": {
            "domain": {"devices": {}, "memory": {"guest": "64Mi"}},
            "priorityClassName": "kubevirt-cluster-critical",
            "tolerations": [{"key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule"}],
        },
    }
    spec = render(vmi)["spec"]
    assert spec["priority"] == 1_000_000_000
    assert spec["tolerations"][0]["key"] == "node.kubernetes.io/memory-pressure"
    assert len(spec["tolerations"]) == 3
    vmi["spec"]["priorityClassName"] = "nobody"
    with pytest.raises(KeyError, match="nobody"):
        render(vmi)


def test_the_overhead_is_published_as_the_version_does() -> None:
    vmi = {
        "metadata": {"name": "a", "namespace": "default", "uid": "u"},
        "spec": {"domain": {"devices": {}, "memory": {"guest": "64Mi"}}},
    }
    gate = {"developerConfiguration": {"featureGates": ["VmiMemoryOverheadReport"]}}
    published = {
        (column, bool(configuration)): render_pod(
            vmi, column=column, configuration=configuration, version=VERSION, rng=random.Random(1)
        )["metadata"]["annotations"].get("kubevirt.io/memory-overhead-bytes")
        for column in ("v1.7", "v1.8", "v1.9", "main")
        for configuration in ({}, gate)
    }
    assert published == {
        ("v1.7", False): None,
        ("v1.7", True): None,
        ("v1.8", False): None,
        ("v1.8", True): str(268 << 20),
        ("v1.9", False): str(268 << 20),
        ("v1.9", True): str(268 << 20),
        ("main", False): str(288 << 20),
        ("main", True): str(288 << 20),
    }

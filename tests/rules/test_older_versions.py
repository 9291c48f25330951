"""What differs in older KubeVirt: v1.6's patch releases, the words of v1.7's create validator.

Source: git diff v1.6.1 v1.6.2, v1.6.2 v1.6.3, v1.6.3 v1.6.5 of pkg/defaults/defaults.go and
pkg/virt-controller/services/{renderresources,template}.go; v1.7.0 …/admitters/vmi-create-admitter.go.
"""

from __future__ import annotations

from typing import Any

import pytest

from harness.rules.admission import validate_vmi
from harness.rules.defaults import default_vmi
from harness.rules.resources import render_resources

_AT_150 = {"developerConfiguration": {"memoryOvercommit": 150}}
_GUEST = {"domain": {"devices": {}, "memory": {"guest": "1Gi"}}}
_WRITTEN = {"domain": {"devices": {}, "resources": {"requests": {"memory": "1Gi"}}}}


@pytest.mark.parametrize(
    ("version", "guest", "written"),
    [
        ("v1.6.0", "998244351", "1294Mi"),
        ("v1.6.1", "998244351", "1294Mi"),
        ("v1.6.2", "998943402", "998943402"),
        ("v1.6.3", "998244351", "1294Mi"),
        ("v1.6.4", "996846250", "1294Mi"),
        ("v1.6.5", "996846250", "1294Mi"),
        ("v1.7.0", "996846250", "1294Mi"),
        ("v1.6", "998244351", "1294Mi"),
    ],
)
def test_overcommit_in_patch_releases(version: str, guest: str, written: str) -> None:
    for spec, memory in ((_GUEST, guest), (_WRITTEN, written)):
        rendered = render_resources({"metadata": {}, "spec": spec}, column=version, configuration=_AT_150)
        assert rendered.containers[0]["resources"]["requests"]["memory"] == memory


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"domain": {"devices": {}}},
            (
                "no memory requested, at least one of 'spec.domain.memory.guest', 'spec.domain.memory.hugepages.size' "
                "or 'spec.domain.resources.requests.memory' must be set"
            ),
        ),
        (
            {"domain": {"devices": {}, "memory": {"guest": "65Mi", "hugepages": {"pageSize": "2Mi"}}}},
            "spec.domain.resources.requests.memory '0' is not a multiple of the page size spec.domain.hugepages.size '2Mi'",
        ),
        (
            {"architecture": "arm64", "domain": {"devices": {}, "memory": {"guest": "1Gi"}}},
            "MultiArchitecture feature gate is not enabled in kubevirt-config, invalid entry spec.architecture",
        ),
        (
            {
                "domain": {
                    "devices": {"filesystems": [{"name": "a", "virtiofs": {}}]},
                    "memory": {"guest": "1Gi"},
                },
                "volumes": [{"name": "a", "configMap": {"name": "a"}}],
            },
            "virtiofs is not allowed: virtiofs feature gate is not enabled for config volumes",
        ),
        (
            {"domain": {"devices": {"video": {"type": "virtio"}}, "memory": {"guest": "1Gi"}}},
            "Video configuration is specified but the VideoConfig feature gate is not enabled",
        ),
    ],
)
def test_words_of_v1_7(spec: dict[str, Any], message: str) -> None:
    vmi = default_vmi({"metadata": {}, "spec": spec}, column="v1.7")
    assert [cause.message for cause in validate_vmi(vmi, column="v1.7")] == [message]

"""A kubelet's files: where they are, what a dead kubelet said last; thresholds that stand in for a size."""

from __future__ import annotations

import pytest

from harness.cluster.errors import ClusterError
from harness.cluster.nodes.calibrate import calibrated
from harness.cluster.nodes.kubelet_files import Files, files, why_dead
from harness.units import GIB, Bytes


def test_files_are_found_in_the_kubelets_arguments() -> None:
    assert files("/usr/bin/kubelet\n--config=/var/lib/kubelet/config.yaml\n--node-ip=1.2.3.4\n") == Files()
    assert files("") == Files()
    found = files("kubelet\n--config=/etc/k.yaml\n--config-dir=/etc/kubernetes/kubelet.conf.d/\n")
    assert found == Files("/etc/k.yaml", "/etc/kubernetes/kubelet.conf.d/99-density.conf")


def test_the_last_words_of_a_dead_kubelet() -> None:
    journal = (
        'I1128 10:00:00 server.go] "Kubelet version"\n'
        'E1128 10:00:01 run.go:72] "command failed" err="failed to validate kubelet configuration"\n'
        "kubelet.service: Main process exited, code=exited, status=1/FAILURE\n"
    )
    assert (
        why_dead(journal)
        == 'E1128 10:00:01 run.go:72] "command failed" err="failed to validate kubelet configuration"'
    )
    assert why_dead("") == "its journal is empty"


def test_thresholds_are_moved_by_what_the_machine_has_more() -> None:
    fragment = {
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0%"},
        "evictionSoft": {"memory.available": "25%"},
        "evictionSoftGracePeriod": {"memory.available": "5s"},
    }
    assert calibrated(fragment, machine=Bytes(16 * GIB), node=GIB) == {
        # 15 GiB + 100 MiB, 15 GiB + 256 MiB
        "evictionHard": {"memory.available": "16210984960", "nodefs.available": "0%"},
        "evictionSoft": {"memory.available": "16374562816"},
        "evictionSoftGracePeriod": {"memory.available": "5s"},
    }


def test_a_threshold_that_can_not_be_read_is_named() -> None:
    with pytest.raises(ClusterError, match="eviction threshold 'much'"):
        calibrated({"evictionHard": {"memory.available": "much"}}, machine=GIB, node=GIB)

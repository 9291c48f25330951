"""Cluster `kubeconfig`: any existing cluster that a kubeconfig reaches, with as few rights as possible.

It changes nothing it was not told to: nodes are as they are, the KubeVirt CR is patched only with permission.
"""

from harness.cluster.kubeconfig.options import Options
from harness.cluster.kubeconfig.source import KubeconfigCluster

__all__ = ["KubeconfigCluster", "Options"]

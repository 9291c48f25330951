"""Where a cluster comes from, how its nodes are set and probed: kind, kubeconfig, local, model.

Imports `kube` and `embedded`. A source makes and unmakes clusters; it neither runs nor judges scenarios.
"""

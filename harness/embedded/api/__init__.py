"""A small Kubernetes API server: an object store with resource versions behind HTTPS, watches and consoles.

Serves what the harness and everyday kubectl send; it is not a product of its own. Nothing here decides
what happens to a pod or VMI: that is `control` and `kubelet`.
"""

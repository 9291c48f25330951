"""Cluster `kind`: real Kubernetes nodes in containers, made through pytest-kind, with KubeVirt installed.

Everything that calls `kind`, a container engine or `kubectl` lives here; each call has a deadline and leaves no
process behind. pytest-kind (GPL, unmaintained) is imported by `blocking` alone, in a child process, which is why this
file imports nothing: begin with `source.KindCluster`, `pool.Pool` and `settings.KindSettings`.
"""

"""The documented arithmetic of Kubernetes, KubeVirt and the kernel, with source, version and unit of each rule.

Pure: no input, no output, no clock, and nothing of ours but `harness.units`. Rules explain and predict;
they never judge (`judge` must not import them).
"""

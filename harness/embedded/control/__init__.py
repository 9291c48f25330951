"""Admission, virt-controller, scheduler and node lifecycle, as KubeVirt and Kubernetes do them.

Acts on the store only; never touches a process or a cgroup.
"""

"""Real guests under this machine's kernel: one QEMU per VMI in kubelet-shaped cgroups (v1, v2, or sums of PSS).

Everything it changes on the machine is reported to the undo callback before it changes.
"""

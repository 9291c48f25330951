"""Our kubelet: status loop, eviction passes, grace chain, OOM attribution, and virt-handler's part of a VMI's life.

Acts on the store and on a `machine`; as late as the real one, on purpose.
"""

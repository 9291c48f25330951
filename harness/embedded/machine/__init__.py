"""What a kubelet stands on: nodes, pods and guests of a machine, real (`linux`) or simulated (later).

`base` is the contract; nothing here knows Kubernetes objects.
"""

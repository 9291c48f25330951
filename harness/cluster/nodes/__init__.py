"""What is set on and read from the nodes of a real cluster, by whatever way in: an engine's `exec`, or a pod.

Settings of a kubelet and how to put them back, waiting until they are in force, and the program that reads a node.
Nothing here reaches a node by itself: `kind` and `kubeconfig` do, and neither imports the other.
"""

"""Errors of cluster sources. Messages are one line and name what mends it."""


class ClusterError(Exception):
    """The cluster or the machine failed (exit code 3)."""


NODE_MEMORY = "node-memory"
"""Capability that every scenario needs: nodes of the size it wants."""
KUBELET_SETTINGS = "kubelet-settings"
KUBEVIRT_SETTINGS = "kubevirt-settings"
"""Capabilities that a scenario needs which asks for settings that are not there already."""


class NotObservable(Exception):
    """This cluster can't show what the scenario asks; the message says why.

    `lacks`: the capability that turned out to be lacking only when it was needed, '' where it has no name.
    """

    def __init__(self, why: str, *, lacks: str = "") -> None:
        super().__init__(why)
        self.lacks = lacks

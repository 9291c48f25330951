"""Errors of cluster sources. Messages are one line and name what mends it."""


class ClusterError(Exception):
    """The cluster or the machine failed (exit code 3)."""


NODE_MEMORY = "node-memory"
"""Capability that every scenario needs: nodes as large as it wants them."""


class NotObservable(Exception):
    """This cluster can't show what the scenario asks; the message says why.

    `lacks`: the capability that turned out to be lacking only when it was needed, '' where it has no name.
    """

    def __init__(self, why: str, *, lacks: str = "") -> None:
        super().__init__(why)
        self.lacks = lacks

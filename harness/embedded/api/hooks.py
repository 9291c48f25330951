"""What the API server is given: how it reaches running things, and who may refuse or change what is written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal, Protocol

from harness.embedded.api.objects import Object
from harness.embedded.api.resources import Resource
from harness.embedded.machine.base import Console

Operation = Literal["CREATE", "UPDATE"]


class Hooks(Protocol):
    """Running things, by name. Raise an `ApiError` to answer with its Status; other errors answer 503."""

    def console(self, namespace: str, name: str) -> Console:
        """Return the serial console of a running VMI."""
        ...

    def stats_summary(self, node: str) -> Mapping[str, Any]:
        """Return the kubelet's `/stats/summary` (k8s.io/kubelet/pkg/apis/stats/v1alpha1.Summary)."""
        ...

    def configz(self, node: str) -> Mapping[str, Any]:
        """Return the kubelet's `/configz`: `{"kubeletconfig": KubeletConfiguration}`."""
        ...

    def pod_log(self, namespace: str, name: str, container: str, follow: bool) -> AsyncIterator[bytes]:
        """Yield a container's log from its beginning; with `follow` on until the container has ended.

        What is yielded without `follow` is a prefix of what is yielded with it.
        """
        ...


class Admitted(Protocol):
    """What admission lets through: the object, defaulted and mutated, and what to warn the user of."""

    @property
    def obj(self) -> Mapping[str, Any]:
        """The object to store."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """Texts for `Warning: 299` headers. Those of unknown fields begin with `unknown field`."""
        ...


class Admission(Protocol):
    """Called before every create and update that comes over HTTPS; never for what controllers write."""

    def __call__(
        self, resource: Resource, operation: Operation, obj: Object, old: Object | None, *, strict: bool
    ) -> Admitted:
        """Return what to store, or raise an `ApiError` or an exception with a `status` mapping.

        `obj` has the `apiVersion` it was sent with, name and namespace filled in, and may be changed in place.
        `strict`: unknown fields are an error (`fieldValidation=Strict`), not a warning.
        """
        ...


class AdmitAll:
    """An admission that lets everything through as it is."""

    class _As:
        __slots__ = ("obj", "warnings")

        def __init__(self, obj: Object) -> None:
            self.obj: Mapping[str, Any] = obj
            self.warnings: Sequence[str] = ()

    def __call__(
        self, resource: Resource, operation: Operation, obj: Object, old: Object | None, *, strict: bool
    ) -> Admitted:
        """Return `obj`, without warnings."""
        return self._As(obj)

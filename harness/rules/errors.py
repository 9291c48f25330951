"""What can be wrong with an input of a rule: one clear line each."""

from __future__ import annotations


class RulesError(ValueError):
    """An input that the rule, like the component it describes, refuses."""


class QuantityError(RulesError):
    """Not a Kubernetes quantity; the text is that of `resource.ParseQuantity`."""


class ThresholdError(RulesError):
    """Eviction settings that the kubelet refuses to start with; the text is the kubelet's."""


class ColumnError(RulesError):
    """A KubeVirt version no column is kept for."""


class ManifestError(RulesError):
    """A manifest the rules cannot be applied to (no spec, a field of the wrong type)."""


class MutationError(ManifestError):
    """What KubeVirt's mutating webhook answers where it can't set its defaults (400, the webhook's words)."""

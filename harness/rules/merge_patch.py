"""RFC 7386, JSON merge patch: what the API server, a kubelet's drop-in and a scenario's fragments are merged by.

Source: RFC 7386 section 2; Kubernetes apimachinery `types.MergePatchType` (through evanphx/json-patch).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merge(target: Any, patch: Any) -> Any:
    """Return target with a patch applied; neither is changed, and what the patch does not touch is shared."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result

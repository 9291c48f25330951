"""Why an object is refused: reason, message and field, as they stand in a Status.

Source: Kubernetes staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/types.go `StatusCause`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

INVALID: Final = "FieldValueInvalid"
REQUIRED: Final = "FieldValueRequired"
NOT_SUPPORTED: Final = "FieldValueNotSupported"
DUPLICATE: Final = "FieldValueDuplicate"
NOT_FOUND: Final = "FieldValueNotFound"
FORBIDDEN: Final = "FieldValueForbidden"


@dataclass(frozen=True, slots=True)
class Cause:
    """One `StatusCause`."""

    reason: str
    message: str
    field: str = ""

    def served(self) -> dict[str, str]:
        """As it stands in `details.causes`."""
        out = {"reason": self.reason} if self.reason else {}
        out["message"] = self.message
        if self.field:
            out["field"] = self.field
        return out

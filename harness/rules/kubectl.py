"""What kubectl prints of an API server's refusal.

Source: Kubernetes staging/src/k8s.io/kubectl/pkg/cmd/util/helpers.go `StandardErrorMessage` (as recorded).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.rules.vmi import get


def stderr(answer: Mapping[str, Any]) -> str:
    """What kubectl prints for a webhook's 422 with causes: each as `field: message`, none at all: the server's words."""
    causes = get(answer, "details", "causes") or ()
    if answer.get("reason") != "Invalid" or not causes:
        reason = f" ({answer['reason']})" if answer.get("reason") else ""
        return f'Error from server{reason}: error when creating "STDIN": {answer.get("message")}'
    lines = [f"{cause.get('field', '')}: {cause['message']}" for cause in causes]
    if len(lines) == 1:
        return f"The request is invalid: {lines[0]}"
    return "The request is invalid: \n" + "\n".join(f"* {line}" for line in lines)

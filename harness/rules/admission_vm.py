"""What KubeVirt's VM validator refuses beside its template, with its words.

Source: KubeVirt pkg/virt-api/webhooks/validating-webhook/admitters/vms-admitter.go `validateRunStrategy` (main).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from harness.rules import columns
from harness.rules.causes import INVALID, Cause

_STRATEGIES: Final = ("Halted", "Manual", "Always", "RerunOnFailure", "Once")
RUNNING_DEPRECATED: Final = "spec.running is deprecated, please use spec.runStrategy instead."
"""Warning of the VM validator where `running` is set."""


def run_strategy_causes(
    vm_spec: Mapping[str, Any], *, column: str, configuration: Mapping[str, Any]
) -> Iterator[Cause]:
    """Exactly one of `running` and `runStrategy`, and a known one."""
    running, strategy = vm_spec.get("running"), vm_spec.get("runStrategy")
    if running is not None and strategy is not None:
        text = (
            "Running and RunStrategy are mutually exclusive. "
            "Note that Running is deprecated, please use RunStrategy instead"
        )
        yield Cause(INVALID, text, "spec.running")
    if running is None and strategy is None:
        yield Cause(INVALID, "RunStrategy must be specified", "spec.running")
    if strategy == "WaitAsReceiver":
        version, name = columns.column(column), "DecentralizedLiveMigration"
        if not columns.gate(name, column=version, configuration=configuration):
            text = (
                f"Invalid RunStrategy ({strategy}), {name} feature gate is not enabled in kubevirt resource"
            )
            yield Cause(INVALID, text, "spec.runStrategy")
    elif strategy is not None and strategy not in _STRATEGIES:
        yield Cause(INVALID, f"Invalid RunStrategy ({strategy})", "spec.runStrategy")

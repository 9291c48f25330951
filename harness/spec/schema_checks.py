"""The JSON Schema of expectations: one shape a kind, from the loader's own lists."""

from __future__ import annotations

from harness.spec import checks, checks_cluster, checks_memory, measures
from harness.spec.schema_parts import (
    COUNT,
    DURATION,
    MOMENT,
    NUMBER,
    PER_COLUMN,
    QUANTITY,
    SHARE,
    TEXT,
    TRUTH,
    WHOLE,
    Schema,
    maybe_whom,
    obj,
    some,
    whom,
)


def expectations() -> dict[str, Schema]:
    """Return kind → shape."""
    qos = {"enum": list(checks.QOS_CLASSES)}
    fleets = some({"type": "string"})
    request = whom({})
    request["additionalProperties"] = obj({"requests": PER_COLUMN, "limits": PER_COLUMN}, minProperties=1)
    return {
        "request": request,
        "qos": whom({"pod": qos, "vmi": qos}, "pod"),
        "guest-memory": whom({"min": QUANTITY, "max": QUANTITY}, "min", "max"),
        "evicted": obj(
            {
                "from": fleets,
                "count": COUNT,
                "after": DURATION,
                "within": DURATION,
                "of": {"type": "string", "pattern": "^(threshold-crossed|workload-done|step:.+)$"},
                "order": fleets,
            },
            "from",
        ),
        "survives": whom({}),
        "grace": whom({"min": DURATION, "max": DURATION}),
        "shutdown": whom({"clean": {"type": "boolean"}}, "clean"),
        "oom": obj(
            {
                "from": fleets,
                "scope": {"enum": list(checks.SCOPES)},
                "count": COUNT,
                "before-eviction": {"type": "boolean"},
            },
            "from",
        ),
        "phase": whom(
            {"vmi": some({"enum": list(checks.VMI_PHASES)}), "pod": some({"enum": list(checks.POD_PHASES)})}
        ),
        **_of_the_cluster(),
        **_of_memory(),
    }


def _of_the_cluster() -> dict[str, Schema]:
    which = {"node": TEXT, "of": TEXT}
    return {
        "admission": whom(
            {"allowed": TRUTH, "code": WHOLE, "message": TEXT, "warning": TEXT, "warnings": COUNT},
            "allowed",
        ),
        "oom-score-adj": whom(
            {key: {"type": "integer", "minimum": -1000, "maximum": 1000} for key in ("min", "max")}
        ),
        "allocatable": obj(
            {**which, "memory": QUANTITY, "capacity": QUANTITY, "tolerance": QUANTITY},
            anyOf=[{"required": ["memory"]}, {"required": ["capacity"]}],
        ),
        "configz": {
            "type": "object",
            "minProperties": 1,
            "description": "Fields of KubeletConfiguration and their values, none for not set; knows: names of fields.",
            "properties": {**which, "knows": {"type": "array", "items": TEXT, "minItems": 1}},
        },
        "vnc": whom({"status": WHOLE, "message": TEXT}, "status"),
        "condition": whom(
            {
                "object": {"enum": list(checks_cluster.OBJECTS)},
                "type": TEXT,
                "status": {"enum": [*checks_cluster.STATUSES, True, False]},
                "reason": TEXT,
                "ever": TRUTH,
            },
            "type",
            "status",
        ),
        "successor": maybe_whom(
            {
                "node": {"enum": list(checks_cluster.PLACES)},
                "count": COUNT,
                "after": DURATION,
                "within": DURATION,
                "until": {"enum": list(checks_cluster.REACHED)},
                "max-usage": SHARE,
            }
        ),
    }


def _of_memory() -> dict[str, Schema]:
    bound = {"type": ["string", "integer", "number"], "minimum": 0}
    shares = {"min-share": SHARE, "max-share": SHARE}
    ends = {"since": MOMENT, "at": MOMENT}
    return {
        "ratio": whom(
            {
                "to": TEXT,
                "measure": {"enum": list(measures.MEASURES)},
                "how": {"enum": list(checks_memory.HOWS)},
                "min": bound,
                "max": bound,
                "equals": bound,
            },
            "measure",
        ),
        "stall": whom(
            {
                "quantile": {"enum": list(checks_memory.QUANTILES)},
                "min": DURATION,
                "max": DURATION,
                "min-factor": NUMBER,
                "max-factor": NUMBER,
                "to": TEXT,
                "during": TEXT,
            }
        ),
        "holds-bytes": whom(
            {
                "measure": {"enum": list(checks_memory.HELD)},
                "how": {"enum": list(checks_memory.CHANGES)},
                **ends,
                "min": QUANTITY,
                "max": QUANTITY,
                **shares,
            },
            "measure",
        ),
        "ksm": maybe_whom(
            {
                **ends,
                "run": {"enum": [0, 1, 2]},
                "min": QUANTITY,
                "max": QUANTITY,
                **shares,
                **dict.fromkeys(("min-cpu", "max-cpu", "min-cpu-factor"), NUMBER),
                "knobs": {"enum": list(checks_memory.KNOBS)},
            }
        ),
        "swap": maybe_whom(
            {
                **dict.fromkeys(("min", "max", "min-peak", "max-peak", "min-limit", "max-limit"), QUANTITY),
                "min-fall": SHARE,
                "pressure": TRUTH,
            }
        ),
        "integrity": whom(
            {f"{end}-lost-{what}": WHOLE for end in ("min", "max") for what in ("synced", "unsynced")}
        ),
    }

"""The JSON Schema of scenario files, for editors: generated from the loader's own lists, kept in `suites/scenario.schema.json`.

It is what a schema can say: shapes, keys and closed lists. References, quantities' sense and fragments are the loader's.
Write it anew with `python -m harness.spec.schema > suites/scenario.schema.json`.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final

from harness.spec import checks, fleet, loader, workload
from harness.spec.expectations import KINDS

Schema = dict[str, Any]

_NAME: Final[Schema] = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", "maxLength": 40}
_DURATION: Final[Schema] = {
    "type": "string",
    "pattern": r"^(0|([0-9]+(\.[0-9]*)?(h|m|s|ms|us|µs|ns))+)$",
    "description": "A duration such as 90s, 1m30s, 500ms.",
}
_QUANTITY_PATTERN: Final = r"([0-9]+(\.[0-9]*)?|\.[0-9]+)([kMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?"
_QUANTITY: Final[Schema] = {
    "type": ["string", "integer"],
    "pattern": f"^{_QUANTITY_PATTERN}$",
    "minimum": 0,
    "description": "A Kubernetes quantity in bytes such as 512Mi or 1024M, or a number of bytes.",
}
_AMOUNT: Final[Schema] = {
    "type": ["string", "integer"],
    "pattern": rf"^({_QUANTITY_PATTERN}|[0-9]+(\.[0-9]+)?%)$",
    "minimum": 0,
    "description": "Bytes, or a share of the guest's MemAvailable of at most 90%.",
}
_RATE: Final[Schema] = {
    "type": "string",
    "pattern": f"^{_QUANTITY_PATTERN} ?/s$",
    "description": "Such as 25Mi/s, a guest.",
}
_AVAILABLE: Final[Schema] = {
    "type": ["string", "integer"],
    "description": "Node memory.available to stop at: 'threshold - 60Mi', 'soft-threshold + 10Mi' or a quantity.",
}
_COUNT: Final[Schema] = {
    "type": ["string", "integer"],
    "pattern": r"^[0-9]+\s*\.\.\s*[0-9]*$",
    "minimum": 0,
    "description": "1, 0, 1..2 or 1.. (as many as there are).",
}
_COLUMN: Final = f"({'|'.join(column.replace('.', '[.]') for column in checks.COLUMNS)})"
_BYTES_OR_NONE: Final[Schema] = {
    "anyOf": [_QUANTITY, {"const": "none", "description": "Not set."}],
}
_PER_COLUMN: Final[Schema] = {
    "anyOf": [
        _BYTES_OR_NONE,
        {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": False,
            "patternProperties": {f"^({_COLUMN}(-{_COLUMN})?|[*])$": _BYTES_OR_NONE},
        },
    ]
}
_FREE: Final[Schema] = {"type": "object"}


def _object(properties: Schema, *required: str, **more: Any) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
        **more,
    }


def _some(item: Schema) -> Schema:
    return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}


def _whom(properties: Schema, *required: str) -> Schema:
    """An object that says whom by exactly one of `of` and `fleet`."""
    return _object(
        {**{key: {"type": "string"} for key in checks.WHOM}, **properties},
        *required,
        oneOf=[{"required": [key]} for key in checks.WHOM],
    )


def _expectations() -> dict[str, Schema]:
    qos = {"enum": list(checks.QOS_CLASSES)}
    fleets = _some({"type": "string"})
    request = _whom({})
    request["additionalProperties"] = _object(
        {"requests": _PER_COLUMN, "limits": _PER_COLUMN}, minProperties=1
    )
    return {
        "request": request,
        "qos": _whom({"pod": qos, "vmi": qos}, "pod"),
        "guest-memory": _whom({"min": _QUANTITY, "max": _QUANTITY}, "min", "max"),
        "evicted": _object(
            {
                "from": fleets,
                "count": _COUNT,
                "after": _DURATION,
                "within": _DURATION,
                "of": {"type": "string", "pattern": "^(threshold-crossed|workload-done|step:.+)$"},
                "order": fleets,
            },
            "from",
        ),
        "survives": _whom({}),
        "grace": _whom({"min": _DURATION, "max": _DURATION}),
        "shutdown": _whom({"clean": {"type": "boolean"}}, "clean"),
        "oom": _object(
            {
                "from": fleets,
                "scope": {"enum": list(checks.SCOPES)},
                "count": _COUNT,
                "before-eviction": {"type": "boolean"},
            },
            "from",
        ),
        "phase": _whom(
            {"vmi": _some({"enum": list(checks.VMI_PHASES)}), "pod": _some({"enum": list(checks.POD_PHASES)})}
        ),
    }


def _section(*, promised: bool) -> Schema:
    kinds = {kind: {"$ref": f"#/$defs/{kind}"} for kind in KINDS}
    claim: Schema = {"claim": {"type": "string", "description": "An id of claims.yaml."}} if promised else {}
    return {
        "type": "array",
        "items": _object(
            {**claim, **kinds},
            *claim,
            minProperties=1 + promised,
            maxProperties=1 + promised,
        ),
    }


def _step() -> Schema:
    arguments: Schema = {
        "fleet": _some({"type": "string"}),
        "to": _AMOUNT,
        "until": _object({"available": _AVAILABLE}, "available"),
        "rate": _RATE,
        "pages": {"enum": list(workload.PAGES)},
    }
    verbs = {
        verb: _object(
            {name: arguments[name] for name in names},
            *(("fleet", "to") if verb in workload.NEED_TO else ("fleet",)),
        )
        for verb, names in workload.ARGUMENTS.items()
    }
    when = _object(
        {
            "fleet": {"type": "string"},
            "is": {"enum": ["Running", "Ready"]},
            "step": {
                "type": "string",
                "description": "done (the step before), or the name of an earlier step.",
            },
            "after": {"anyOf": [_DURATION, {"const": "stats-refreshed"}]},
            "stats-refreshed": {"type": "boolean"},
            "pressure": {"type": "boolean"},
        },
        minProperties=1,
    )
    return _object({"name": _NAME, "when": when, **verbs}, oneOf=[{"required": [verb]} for verb in verbs])


def _fleet() -> Schema:
    properties = {
        "name": _NAME,
        "manifest": {
            "anyOf": [{"type": "string", "description": "Path, relative to this file."}, _FREE],
            "description": "A VMI or VM as one would `kubectl apply` it.",
        },
        "set": {"type": "object", "description": "Dotted paths into the manifest; null removes."},
        "count": {"type": "integer", "minimum": 1, "maximum": fleet.MOST_MEMBERS},
        "node": {"type": "string"},
        "deaf": {"type": "boolean", "description": "The guest ignores the power button."},
        "match": _object({"names": {"type": "array", "items": {"type": "string"}, "minItems": 1}}, "names"),
    }
    assert tuple(properties) == fleet.KEYS
    return _object(properties, "name", anyOf=[{"required": ["manifest"]}, {"required": ["match"]}])


def scenario_schema() -> Schema:
    """The schema as a JSON document."""
    properties: Schema = {
        "apiVersion": {"const": loader.API_VERSION},
        "kind": {"const": "Scenario"},
        "metadata": _object({"name": _NAME, "title": {"type": "string"}}, "name", "title"),
        "budget": _DURATION,
        "needs": _some({"enum": list(loader.CAPABILITIES)}),
        "seed": {"type": "integer", "minimum": 0},
        "observe": _DURATION,
        "kubevirtVersion": {"enum": list(checks.COLUMNS)},
        "nodes": {
            "type": "array",
            "minItems": 1,
            "items": _object({"name": _NAME, "memory": _QUANTITY, "kubelet": _FREE}, "name"),
        },
        "kubevirt": {
            "type": "object",
            "description": "Fragment of the KubeVirt CR's spec.configuration, verbatim.",
        },
        "fleet": {"type": "array", "minItems": 1, "items": _fleet()},
        "workload": {"type": "array", "items": _step()},
        "promises": _section(promised=True),
        "requires": _section(promised=False),
        "control": {
            "type": "object",
            "minProperties": 1,
            "description": "Paths of this file and their values there.",
        },
        "stated": _object(
            {
                "kubelet": _FREE,
                "actions": {"type": "array", "items": _FREE},
                "kubevirtColumn": {"enum": list(checks.COLUMNS)},
                "window": _object({"from": _DURATION, "to": _DURATION}),
            }
        ),
    }
    assert tuple(properties) == loader.KEYS
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "density/v1 Scenario",
        **_object(properties, "apiVersion", "kind", "metadata", "fleet"),
        "$defs": _expectations(),
    }


def rendered() -> str:
    """The text of `suites/scenario.schema.json`."""
    return json.dumps(scenario_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(rendered())

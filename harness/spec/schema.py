"""The JSON Schema of scenario files, for editors: generated from the loader's own lists, kept in `suites/scenario.schema.json`.

It is what a schema can say: shapes, keys and closed lists. References, quantities' sense and fragments are the loader's.
Write it anew with `python -m harness.spec.schema > suites/scenario.schema.json`.
"""

from __future__ import annotations

import json
import sys

from harness.spec import checks, daemons, fleet, host, ksmtuned, loader, matrix, workload
from harness.spec.expectations import KINDS
from harness.spec.schema_checks import expectations
from harness.spec.schema_parts import (
    AMOUNT,
    AVAILABLE,
    DURATION,
    ELSEWHERE,
    FREE,
    NAME,
    QUANTITY,
    RATE,
    SHARED,
    TRUTH,
    WHOLE,
    Schema,
    loose,
    obj,
    some,
)


def _section(*, promised: bool) -> Schema:
    kinds = {kind: {"$ref": f"#/$defs/{kind}"} for kind in KINDS}
    claim: Schema = {"claim": {"type": "string", "description": "An id of claims.yaml."}} if promised else {}
    return {
        "type": "array",
        "items": obj(
            {**claim, **kinds},
            *claim,
            minProperties=1 + promised,
            maxProperties=1 + promised,
        ),
    }


def _step() -> Schema:
    arguments: Schema = {
        "fleet": some({"type": "string"}),
        "daemon": some({"type": "string"}),
        "to": AMOUNT,
        "until": obj({"available": AVAILABLE}, "available"),
        "rate": RATE,
        "pages": {"enum": list(workload.PAGES)},
        "write": TRUTH,
        "fsync": TRUTH,
        "block": {"enum": list(workload.BLOCKS)},
        "low": AMOUNT,
        "touch": AMOUNT,
        "times": {"type": "integer", "minimum": 1},
        **dict.fromkeys(("for", "gap", "every"), DURATION),
    }
    pace: Schema = {
        "type": "string",
        "pattern": r"^[0-9]+\s*/\s*s$",
        "description": "Records a second: 100/s.",
    }
    arguments["ksm"] = _ksm()
    verbs = {
        verb: obj(
            {name: pace if (verb, name) == ("record", "rate") else arguments[name] for name in names},
            *(() if verb in (*workload.OF_DAEMONS, *workload.OF_THE_MACHINE) else ("fleet",)),
            *(("ksm",) if verb in workload.OF_THE_MACHINE else ()),
            *(("to",) if verb in workload.NEED_TO else ()),
            **(
                {"oneOf": [{"required": [whose]} for whose in ("fleet", "daemon")]}
                if verb in workload.OF_DAEMONS
                else {}
            ),
        )
        for verb, names in workload.ARGUMENTS.items()
    }
    verbs |= {
        profile: obj({name: arguments[name] for name in names}, "fleet", *workload.PROFILE_NEEDS[profile])
        for profile, names in workload.PROFILES.items()
    }
    when = obj(
        {
            "fleet": {"type": "string"},
            "is": {"enum": ["Running", "Ready"]},
            "step": {
                "type": "string",
                "description": "done (the step before), or the name of an earlier step.",
            },
            "after": {"anyOf": [DURATION, {"const": "stats-refreshed"}]},
            "stats-refreshed": {"type": "boolean"},
            "pressure": {"type": "boolean"},
            "on": {"enum": list(workload.EVENTS)},
            "of": {"type": "string", "description": "The fleet it happens to; anyone if left out."},
        },
        minProperties=1,
    )
    return obj({"name": NAME, "when": when, **verbs}, oneOf=[{"required": [verb]} for verb in verbs])


def _fleet() -> Schema:
    properties = {
        "name": NAME,
        "manifest": {
            "anyOf": [{"type": "string", "description": "Path, relative to this file."}, FREE],
            "description": "A VMI or VM as one would `kubectl apply` it.",
        },
        "set": {"type": "object", "description": "Dotted paths into the manifest; null removes."},
        "count": {"type": "integer", "minimum": 1, "maximum": fleet.MOST_MEMBERS},
        "fill": {
            "type": "boolean",
            "description": "Make members until the scheduler finds no node for one; count is the most.",
        },
        "stagger": DURATION,
        "node": {"type": "string"},
        "deaf": {"type": "boolean", "description": "The guest ignores the power button."},
        "shutdown": {
            **DURATION,
            "description": "How long the guest takes to shut down; at once if left out.",
        },
        "validation": {"enum": list(fleet.VALIDATIONS), "description": "fieldValidation of its manifests."},
        "match": obj({"names": {"type": "array", "items": {"type": "string"}, "minItems": 1}}, "names"),
    }
    assert tuple(properties) == fleet.KEYS
    return obj(properties, "name", anyOf=[{"required": ["manifest"]}, {"required": ["match"]}])


def _ksm(more: Schema | None = None) -> Schema:
    ksm = {
        "run": {"enum": [0, 1, 2]},
        "pages_to_scan": {"type": "integer", "minimum": 1},
        "sleep_millisecs": WHOLE,
        "smart_scan": TRUTH,
        "advisor": {"enum": list(host.ADVISORS)},
    }
    assert tuple(ksm) == host.KSM_KEYS
    return obj({**ksm, **(more or {})})


def _tuners() -> Schema:
    settings = {
        name: {"type": "integer", "minimum": least, "maximum": most}
        for name, (least, most) in ksmtuned.BOUNDS.items()
    }
    tuners: Schema = {
        "tuned": {
            "anyOf": [{"type": "string", "description": "Path, relative to this file."}, obj(settings)],
            "description": "Tunes KSM as ksmtuned does by its ksmtuned.conf.",
        },
        "by": {
            "enum": list(host.TUNERS),
            "description": "Tunes KSM as KubeVirt's handler does on the nodes of ksmConfiguration.",
        },
    }
    assert tuple(tuners) == host.TUNED_BY
    return tuners


def _host() -> Schema:
    swap = {"kind": {"enum": list(host.SWAPS)}, "size": QUANTITY}
    assert tuple(swap) == host.SWAP_KEYS
    return obj({"ksm": _ksm(_tuners()), "swap": obj(swap)})


def _daemon() -> Schema:
    properties = {"name": NAME, "node": {"type": "string"}}
    assert tuple(properties) == daemons.KEYS
    return obj(properties, *properties)


def scenario_schema() -> Schema:
    """The schema as a JSON document."""
    properties: Schema = {
        "apiVersion": {"const": loader.API_VERSION},
        "kind": {"const": "Scenario"},
        "metadata": obj({"name": NAME, "title": {"type": "string"}}, "name", "title"),
        "budget": DURATION,
        "needs": some({"enum": list(loader.CAPABILITIES)}),
        "seed": {"type": "integer", "minimum": 0},
        "observe": DURATION,
        "kubevirtVersion": {"enum": list(checks.COLUMNS)},
        "nodes": {
            "type": "array",
            "minItems": 1,
            "items": obj({"name": NAME, "memory": QUANTITY, "kubelet": FREE}, "name"),
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
        "stated": obj(
            {
                "kubelet": FREE,
                "actions": {"type": "array", "items": FREE},
                "kubevirtColumn": {"enum": list(checks.COLUMNS)},
                "window": obj({"from": DURATION, "to": DURATION}),
            }
        ),
        "tier": {"enum": list(loader.TIERS)},
        "technique": {
            "type": "string",
            "description": "A preset of techniques.yaml, or several joined by '+'.",
        },
        "matrix": {
            "type": "object",
            "minProperties": 1,
            "description": "Axes: technique, a dotted path, or a name written $(name) where it belongs.",
            "properties": {matrix.EXCLUDE: {"type": "array", "items": FREE}},
            "additionalProperties": {
                "anyOf": [{"type": "array", "minItems": 1}, {"type": "object", "minProperties": 1}]
            },
        },
        "repeats": {"type": "integer", "minimum": 1, "maximum": matrix.MOST_REPEATS},
        "host": _host(),
        "daemons": {"type": "array", "items": _daemon(), "maxItems": daemons.MOST},
        "kubevirtConfigMap": {
            "type": "object",
            "description": "Data of the ConfigMap kubevirt-config in KubeVirt's namespace.",
            "additionalProperties": {"type": "string"},
        },
    }
    assert tuple(properties) == loader.KEYS
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "density/v1 Scenario",
        **loose(obj(properties, "apiVersion", "kind", "metadata", "fleet"), top=True),
        "$defs": {
            **{kind: loose(shape)["anyOf"][0] for kind, shape in expectations().items()},
            **SHARED,
            "elsewhere": ELSEWHERE,
        },
    }


def rendered() -> str:
    """The text of `suites/scenario.schema.json`."""
    return json.dumps(scenario_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(rendered())

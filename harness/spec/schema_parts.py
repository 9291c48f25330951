"""Parts of the JSON Schema of scenario files: leaves, shapes, and what may stand in place of any value."""

from __future__ import annotations

from typing import Any, Final

from harness.spec import checks, matrix, subjects

Schema = dict[str, Any]

NAME: Final[Schema] = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", "maxLength": 40}
DURATION: Final[Schema] = {
    "type": "string",
    "pattern": r"^(0|([0-9]+(\.[0-9]*)?(h|m|s|ms|us|µs|ns))+)$",
    "description": "A duration such as 90s, 1m30s, 500ms.",
}
QUANTITY_PATTERN: Final = r"([0-9]+(\.[0-9]*)?|\.[0-9]+)([kMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?"
QUANTITY: Final[Schema] = {
    "type": ["string", "integer"],
    "pattern": f"^{QUANTITY_PATTERN}$",
    "minimum": 0,
    "description": "A Kubernetes quantity in bytes such as 512Mi or 1024M, or a number of bytes.",
}
AMOUNT: Final[Schema] = {
    "type": ["string", "integer"],
    "pattern": rf"^({QUANTITY_PATTERN}|[0-9]+(\.[0-9]+)?%)$",
    "minimum": 0,
    "description": "Bytes, or a share of the guest's MemAvailable of at most 90%.",
}
RATE: Final[Schema] = {
    "type": "string",
    "pattern": f"^{QUANTITY_PATTERN} ?/s$",
    "description": "Such as 25Mi/s, a guest.",
}
AVAILABLE: Final[Schema] = {
    "type": ["string", "integer"],
    "description": "Node memory.available to stop at: 'threshold - 60Mi', 'soft-threshold + 10Mi' or a quantity.",
}
COUNT: Final[Schema] = {
    "type": ["string", "integer"],
    "pattern": r"^[0-9]+\s*\.\.\s*[0-9]*$",
    "minimum": 0,
    "description": "1, 0, 1..2 or 1.. (as many as there are).",
}
COLUMN: Final = f"({'|'.join(column.replace('.', '[.]') for column in checks.COLUMNS)})"
BYTES_OR_NONE: Final[Schema] = {
    "anyOf": [QUANTITY, {"const": "none", "description": "Not set."}],
}
PER_COLUMN: Final[Schema] = {
    "anyOf": [
        BYTES_OR_NONE,
        {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": False,
            "patternProperties": {f"^({COLUMN}(-{COLUMN})?|[*])$": BYTES_OR_NONE},
        },
    ]
}
SHARE: Final[Schema] = {
    "type": "string",
    "pattern": r"^[0-9]+(\.[0-9]+)?\s*%$",
    "description": "A share such as 90%.",
}
MOMENT: Final[Schema] = {"type": "string", "pattern": "^(start|end|step:.+)$"}
NUMBER: Final[Schema] = {"type": "number", "minimum": 0}
WHOLE: Final[Schema] = {"type": "integer", "minimum": 0}
TEXT: Final[Schema] = {"type": "string"}
TRUTH: Final[Schema] = {"type": "boolean"}
FREE: Final[Schema] = {"type": "object"}
ELSEWHERE: Final[Schema] = {
    "description": "$(axis), or one value a kind of cluster.",
    "anyOf": [
        {"type": "string", "pattern": r"\$\("},
        {
            "type": "object",
            "additionalProperties": False,
            "required": [matrix.PER_CLUSTER],
            "properties": {
                matrix.PER_CLUSTER: {
                    "type": "object",
                    "minProperties": 1,
                    "additionalProperties": False,
                    "properties": {name: {} for name in (*matrix.CLUSTERS, matrix.DEFAULT)},
                }
            },
        },
    ],
}
"""What may stand in place of any value: it is there only once the file is read."""
SHARED: Final[dict[str, Schema]] = {
    "a-duration": DURATION,
    "a-quantity": QUANTITY,
    "an-amount": AMOUNT,
    "a-rate": RATE,
    "a-share": SHARE,
    "a-column-value": PER_COLUMN,
}
"""Leaves that stand in many places, under `$defs`."""


def obj(properties: Schema, *required: str, **more: Any) -> Schema:
    """Return a mapping of these keys and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
        **more,
    }


def some(item: Schema) -> Schema:
    """Return one item or a list of them."""
    return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}


def whom(properties: Schema, *required: str) -> Schema:
    """An object that says whom by exactly one of `of` and `fleet`."""
    return obj(
        {**{key: {"type": "string"} for key in subjects.WHOM}, **properties},
        *required,
        oneOf=[{"required": [key]} for key in subjects.WHOM],
    )


def loose(schema: Schema, *, top: bool = False) -> Schema:
    """The schema with `$(axis)` and per-cluster values allowed for every value inside it."""
    if "$ref" in schema:
        return schema
    out = dict(schema)
    for key in ("properties", "patternProperties"):
        if key in out:
            out[key] = {
                name: value if top and name in FIXED else loose(value) for name, value in out[key].items()
            }
    for key in ("items", "additionalProperties"):
        if isinstance(out.get(key), dict):
            out[key] = loose(out[key], top=key == "items")
    if top:
        return out
    for name, leaf in SHARED.items():
        if schema == leaf:
            out = {"$ref": f"#/$defs/{name}"}
    return {"anyOf": [out, {"$ref": "#/$defs/elsewhere"}]}


FIXED: Final = ("apiVersion", "kind", "metadata", "matrix", "name")
"""Keys whose values are what they are before a combination is chosen."""


def maybe_whom(properties: Schema) -> Schema:
    """An object that may say whom."""
    return obj({**dict.fromkeys(subjects.WHOM, TEXT), **properties}, minProperties=1)

"""`meta.k8s.io` Tables: what a server answers to `Accept: application/json;as=Table`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from harness.embedded.api.columns import columns
from harness.embedded.api.resources import Resource

IncludeObject = Literal["None", "Metadata", "Object"]


def table(
    resource: Resource,
    objects: Iterable[Mapping[str, Any]],
    *,
    now: datetime,
    resource_version: str,
    include: IncludeObject = "Metadata",
    version: str = "v1",
    header: bool = True,
) -> dict[str, Any]:
    """Return the Table of some objects; `include` says how much of each object a row carries.

    `header=False` leaves the column definitions out, as watches do after their first event.
    """
    shape = columns(resource)
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": {"resourceVersion": resource_version},
        "columnDefinitions": [
            {
                "name": name,
                "type": kind,
                "format": "name" if index == 0 and name == "Name" else "",
                "description": "",
                "priority": priority,
            }
            for index, (name, kind, priority) in enumerate(shape.definitions)
        ]
        if header
        else [],
        "rows": [{"cells": shape.row(obj, now), **_included(obj, include, version)} for obj in objects],
    }


def _included(obj: Mapping[str, Any], include: IncludeObject, version: str) -> dict[str, Any]:
    if include == "Object":
        return {"object": obj}
    if include == "None":
        return {}
    return {
        "object": {
            "kind": "PartialObjectMetadata",
            "apiVersion": f"meta.k8s.io/{version}",
            "metadata": obj["metadata"],
        }
    }

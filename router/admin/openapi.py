"""The OpenAPI 3.1 document of a table of routes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from router import __version__
from router.admin.routes import Nothing, Route
from router.http.problems import PROBLEM_TYPE, ProblemDetails

Json = dict[str, Any]

_REF = "#/components/schemas/{model}"
_TOKEN = "registrationToken"  # noqa: S105 - the name of a scheme, not a secret
_PATH_PARAMETERS = {
    "aet": "AE title of the candidate.",
    "id": "Number of the delivery.",
    "study_instance_uid": "Study Instance UID.",
}


def describe(routes: Sequence[Route[Any, Any, Any]]) -> Json:
    """The document that describes exactly these routes."""
    schemas, definitions = _schemas(routes)
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "dicom-router",
            "version": __version__,
            "summary": "Candidates register here; studies and deliveries are looked at here.",
        },
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {_TOKEN: {"type": "http", "scheme": "bearer"}},
        },
    }


_Key = tuple[type[BaseModel], JsonSchemaMode]


def _schemas(routes: Sequence[Route[Any, Any, Any]]) -> tuple[dict[_Key, Json], Json]:
    """A reference to the schema of each model, and the schemas that they refer to."""
    wanted: dict[_Key, None] = {(ProblemDetails, "serialization"): None}
    for route in routes:
        wanted[(route.answer, "serialization")] = None
        if route.body is not Nothing:
            wanted[(route.body, "validation")] = None
    references, document = models_json_schema(list(wanted), ref_template=_REF)
    return {key: references[key] for key in wanted}, document.get("$defs", {})


def _operation(route: Route[Any, Any, Any], schemas: dict[_Key, Json]) -> Json:
    operation: Json = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [*_path_parameters(route.path), *_query_parameters(route.query)],
        "responses": {
            "200": _content("Done.", "application/json", schemas[(route.answer, "serialization")]),
            **{str(status.value): _problem(status, schemas) for status in route.problems},
        },
    }
    if route.description:
        operation["description"] = route.description
    if route.body is not Nothing:
        body = {"application/json": {"schema": schemas[(route.body, "validation")]}}
        operation["requestBody"] = {"required": True, "content": body}
    if route.guarded:
        operation["security"] = [{}, {_TOKEN: []}]
    return operation


def _problem(status: HTTPStatus, schemas: dict[_Key, Json]) -> Json:
    schema = schemas[(ProblemDetails, "serialization")]
    return _content(f"{status.phrase}.", PROBLEM_TYPE, schema)


def _content(description: str, content_type: str, schema: Json) -> Json:
    return {"description": description, "content": {content_type: {"schema": schema}}}


def _path_parameters(path: str) -> list[Json]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PATH_PARAMETERS[name],
            "schema": {"type": "string"},
        }
        for name in re.findall(r"\{(\w+)\}", path)
    ]


def _query_parameters(query: type[BaseModel]) -> list[Json]:
    schema = query.model_json_schema(ref_template=_REF)
    definitions = schema.get("$defs", {})
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": described.get("description", ""),
            "schema": _inlined(described, definitions),
        }
        for name, described in schema.get("properties", {}).items()
    ]


def _inlined(schema: Any, definitions: Json) -> Any:
    """The schema with its references replaced by what they refer to."""
    if isinstance(schema, list):
        return [_inlined(one, definitions) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return definitions[schema["$ref"].rpartition("/")[2]]
    return {key: _inlined(value, definitions) for key, value in schema.items()}

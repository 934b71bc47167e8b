"""The OpenAPI description, made from the routes there are and the shapes of what they take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import models_json_schema

from allowance.server.gate import Need
from allowance.server.keys_api import ROUTES
from allowance.server.schemas import BODIES, REPLIES, Problem
from allowance.wire.verbs import VERBS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel

    from allowance.server.endpoints import Endpoint

__all__ = ["ABOUT", "document"]

ABOUT: Final = (
    "Budgets for calls to language models. What a call may cost is reserved before it is sent, and settled "
    "when it is known. Amounts are whole nano-dollars, times whole microseconds. Ids are chosen by the "
    "client, so that every request may be sent twice. Errors are problem+json."
)

_REF: Final = "#/components/schemas/{model}"
_ABOUTS: Final = {
    "/v1/": "What this server is.",
    "/get_budget": "LiteLLM's protocol: the records of a project's users.",
    "/set_budget": "LiteLLM's protocol: take over what its BudgetManager has counted.",
    "/healthz": "Whether the process answers.",
    "/readyz": "Whether its store and its own database do.",
    "/metrics": "Figures for Prometheus.",
    "/docs": "This description, to read.",
    "/openapi.json": "This description.",
}
_PROBLEMS: Final = {
    400: "The request is no HTTP",
    401: "No valid key",
    403: "The key may not do this",
    404: "No such budget, or no such address",
    405: "Another method",
    408: "The body did not come in time",
    409: "One id, two different requests",
    413: "The body is too large",
    415: "The body is packed",
    422: "It cannot be done as it is",
    429: "Too many requests of this key",
    503: "The store does not answer: send it again, with the same id",
}


def document(endpoints: Iterable[Endpoint], version: str) -> dict[str, Any]:
    """The description of these endpoints."""
    shapes: set[type[BaseModel]] = {*BODIES.values(), *REPLIES.values(), Problem}
    ordered = sorted(shapes, key=lambda shape: shape.__name__)
    _, definitions = models_json_schema([(shape, "validation") for shape in ordered], ref_template=_REF)
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "allowance", "version": version, "description": ABOUT},
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "allowance keys add NAME"}
            },
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{endpoint.method.lower()} {endpoint.path}",
        "summary": _about(endpoint),
        "responses": {"200": _answer(endpoint)},
    }
    if endpoint.need is not Need.OPEN:
        operation["security"] = [{"key": []}]
        operation["description"] = f"Needs a key with the scope {endpoint.need.value}."
        problems = [status for status in _PROBLEMS if status not in (400, 405)]
    else:
        problems = [503] if endpoint.path == "/readyz" else []
    if endpoint.method == "POST":
        shape = BODIES[endpoint.path].__name__
        schema = {"$ref": _REF.format(model=shape)}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    for status in problems:
        media = "application/json" if endpoint.path == "/readyz" else "application/problem+json"
        name = "Status" if endpoint.path == "/readyz" else "Problem"
        content = {media: {"schema": {"$ref": _REF.format(model=name)}}}
        operation["responses"][str(status)] = {"description": _PROBLEMS[status], "content": content}
    return operation


def _about(endpoint: Endpoint) -> str:
    if endpoint.path in _ABOUTS:
        return _ABOUTS[endpoint.path]
    for route in ROUTES:
        if (route.method, route.path) == (endpoint.method, endpoint.path):
            return f"{route.about[:1].upper()}{route.about[1:]}."
    return VERBS[endpoint.path.removeprefix("/v1/")].about


def _answer(endpoint: Endpoint) -> dict[str, Any]:
    shape = REPLIES.get((endpoint.method, endpoint.path))
    if shape is not None:
        schema = {"$ref": _REF.format(model=shape.__name__)}
        return {"description": "Done", "content": {"application/json": {"schema": schema}}}
    media = {"/metrics": "text/plain", "/docs": "text/html"}.get(endpoint.path, "application/json")
    return {"description": "Done", "content": {media: {}}}

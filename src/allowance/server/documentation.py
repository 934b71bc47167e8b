"""``/docs`` and ``/openapi.json``: how to speak to the server. Nothing in them is secret."""

from __future__ import annotations

import json
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

from allowance.server.endpoints import Endpoint
from allowance.server.gate import Need
from allowance.server.problems import GUARDS, Reply, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from allowance.server.endpoints import Call
    from allowance.server.gate import Gate
    from allowance.server.metrics import Metrics

__all__ = ["documentation"]


def documentation(described: Callable[[], dict[str, Any]], gate: Gate, metrics: Metrics) -> list[Endpoint]:
    """The two endpoints; ``described`` gives the description."""
    build = partial(Endpoint, need=Need.OPEN, gate=gate, metrics=metrics, method="GET")
    return [
        build("/openapi.json", partial(_json, described)),
        build("/docs", partial(_page, described)),
    ]


async def _json(described: Callable[[], dict[str, Any]], _: Call) -> Reply:
    return json_reply(described())


async def _page(described: Callable[[], dict[str, Any]], _: Call) -> Reply:
    policy = (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    )
    headers = [policy, *(header for header in GUARDS if header[0] != policy[0])]
    return Reply(200, [(b"content-type", b"text/html; charset=utf-8"), *headers], _html(described()).encode())


def _html(document: dict[str, Any]) -> str:
    schemas = document["components"]["schemas"]
    parts = [_HEAD, f"<h1>allowance {escape(document['info']['version'])}</h1>"]
    parts.append(f"<p>{escape(document['info']['description'])}</p>")
    parts.append('<p><a href="openapi.json">openapi.json</a></p>')
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2>")
            about = f"{operation['summary']} {operation.get('description', '')}"
            parts.append(f"<p>{escape(about)}</p>")
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body:
                parts.append(_shape("Body", body["schema"], schemas))
            answer = operation["responses"]["200"]["content"].get("application/json", {}).get("schema")
            if answer:
                parts.append(_shape("Answer", answer, schemas))
    parts.append("<h1>Shapes</h1>")
    for name, schema in schemas.items():
        text = escape(json.dumps(schema.get("properties", {}), indent=1, ensure_ascii=False))
        parts.append(f'<h2 id="{escape(name)}">{escape(name)}</h2><pre tabindex="0">{text}</pre>')
    return "\n".join(parts) + "</main></body></html>"


def _shape(what: str, schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    name = schema["$ref"].rpartition("/")[2]
    fields = schemas[name].get("properties", {})
    required = schemas[name].get("required", [])
    listed = ", ".join(f"<b>{escape(field)}</b>" if field in required else escape(field) for field in fields)
    return f'<p>{what}: <a href="#{escape(name)}">{escape(name)}</a> {{ {listed} }}</p>'


_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>allowance: the protocol</title>
<meta name="viewport" content="width=device-width">
<style>
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 }
main { max-width: 60rem; margin: 0 auto; padding: 1rem }
h2 { font-size: 1.1rem; margin: 2rem 0 .2rem }
pre { overflow: auto; font-size: .8rem }
p { margin: .3rem 0 }
</style></head><body><main>"""

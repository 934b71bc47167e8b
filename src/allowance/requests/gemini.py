"""Gemini's ``generate_content``: the SDK's keywords, with ``config`` a dict or an object, and REST dicts."""

from __future__ import annotations

from inspect import isfunction, ismethod
from typing import TYPE_CHECKING, Any, Final

from allowance.requests.content import add_content
from allowance.requests.fields import as_count, as_list, field, first_field, members
from allowance.requests.media import add_data, add_unknown
from allowance.requests.request import Image

if TYPE_CHECKING:
    from collections.abc import Mapping

    from allowance.requests.draft import Draft, Readers

__all__ = ["read_gemini"]

_SERVER_TOOLS: Final = (
    ("google_search", "googleSearch"),
    ("google_search_retrieval", "googleSearchRetrieval"),
    ("enterprise_web_search", "enterpriseWebSearch"),
    ("google_maps", "googleMaps"),
    ("url_context", "urlContext"),
    ("code_execution", "codeExecution"),
    ("file_search", "fileSearch"),
    ("retrieval", "retrieval"),
    ("mcp_servers", "mcpServers"),
)


def read_gemini(draft: Draft, arguments: Mapping[str, Any]) -> None:
    """Read one call of Gemini's.

    What the SDK takes in ``config`` stands, in REST, beside ``contents`` and in ``generationConfig``:
    all three places are read.
    """
    draft.cap_name = "max_output_tokens"
    draft.read(arguments, _ARGUMENTS)
    draft.messages = max(1, draft.messages)
    if "embed" in draft.model:
        draft.max_output = 0


def _settings(draft: Draft, settings: object) -> None:
    named = members(settings)
    if named is not None:
        draft.read(named, _SETTINGS)
        if draft.tools:
            _see_automatic_calling(draft, named)


def _rest_settings(draft: Draft, settings: object) -> None:
    draft.cap_name = "maxOutputTokens"
    _settings(draft, settings)


def _stream(draft: Draft, value: object) -> None:
    draft.stream = value is True


def _cap(draft: Draft, value: object) -> None:
    cap = as_count(value, "max_output_tokens")
    if cap is not None:
        draft.max_output = max(cap, draft.max_output or 0)


def _candidates(draft: Draft, value: object) -> None:
    draft.set_choices(value, "candidate_count")


def _schema(draft: Draft, value: object) -> None:
    draft.add_schema(value)


def _service_tier(draft: Draft, value: object) -> None:
    if isinstance(value, str):
        tier = str(getattr(value, "value", value)).lower()
        if tier not in ("standard", "unspecified", "service_tier_unspecified"):
            draft.service_tier = tier


def _cached_content(draft: Draft, value: object) -> None:
    if isinstance(value, str):
        draft.unbound("cached_content adds input that the request does not show")


def _tools(draft: Draft, tools: object) -> None:
    for tool in as_list(tools) or (tools,):
        draft.add_tools([tool])
        for name, other in _SERVER_TOOLS:
            if first_field(tool, name, other) is not None:
                draft.unbound(f"the server tool {name} adds input that the request does not show")
                if name.startswith(("google_search", "enterprise_web_search")):
                    draft.web_searches = None


def _see_automatic_calling(draft: Draft, settings: Mapping[str, Any]) -> None:
    tools = settings.get("tools")
    if not any(
        isfunction(tool) or ismethod(tool) or hasattr(tool, "call_tool") for tool in as_list(tools) or ()
    ):
        return
    calling = first_field(settings, "automatic_function_calling", "automaticFunctionCalling")
    if field(calling, "disable") is not True:
        draft.unbound("automatic function calling sends several requests: disable it, or meter each of them")


def _add_contents(draft: Draft, contents: object, depth: int = 0) -> None:
    """Texts, parts, contents, files, and lists of them in any mixture."""
    if contents is None:
        return
    if isinstance(contents, str):
        draft.texts.append(contents)
        return
    draft.count_part(depth)
    items = as_list(contents)
    if items is not None:
        for item in items:
            _add_contents(draft, item, depth + 1)
        return
    named = members(contents)
    if named is None:
        return
    parts = named.get("parts")
    if parts is not None:
        draft.messages += 1
        for part in as_list(parts) or (parts,):
            _add_contents(draft, part, depth + 1)
    else:
        _add_part(draft, contents, named, depth)


def _add_part(draft: Draft, part: object, named: Mapping[str, Any], depth: int) -> None:
    blob = first_field(named, "inline_data", "inlineData")
    file = first_field(named, "file_data", "fileData")
    if blob is not None:
        add_data(draft, _mime(blob), field(blob, "data"))
    elif file is not None or named.get("uri") is not None:
        add_unknown(draft, _mime(named if file is None else file))
    elif hasattr(part, "tobytes"):
        draft.images.append(Image())
    else:
        for name, value in named.items():
            if isinstance(value, (str, int, float)) or name in ("text", "content"):
                add_content(draft, value, depth + 1)
            elif value is not None and not isinstance(value, bytes) and not name.startswith("_"):
                draft.add_json(value)


def _mime(thing: object) -> str:
    mime = first_field(thing, "mime_type", "mimeType")
    return mime.lower() if isinstance(mime, str) else ""


_SETTINGS: Final[Readers] = {
    "max_output_tokens": _cap,
    "maxOutputTokens": _cap,
    "candidate_count": _candidates,
    "candidateCount": _candidates,
    "system_instruction": _add_contents,
    "systemInstruction": _add_contents,
    "response_schema": _schema,
    "responseSchema": _schema,
    "response_json_schema": _schema,
    "responseJsonSchema": _schema,
    "service_tier": _service_tier,
    "serviceTier": _service_tier,
    "cached_content": _cached_content,
    "cachedContent": _cached_content,
    "tools": _tools,
}

_ARGUMENTS: Final[Readers] = {
    **_SETTINGS,
    "contents": _add_contents,
    "config": _settings,
    "stream": _stream,
    "generationConfig": _rest_settings,
    "generation_config": _rest_settings,
}

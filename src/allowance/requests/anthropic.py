"""Anthropic's messages: ``messages.create``, ``messages.stream``, ``messages.parse`` and their beta forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from allowance.requests.content import add_content, add_messages
from allowance.requests.draft import Draft
from allowance.requests.fields import as_count, as_list, field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from allowance.requests.draft import Readers

__all__ = ["read_messages"]

_SERVER_TOOLS: Final = ("web_search", "web_fetch", "code_execution", "tool_search", "mcp_toolset", "advisor")


def read_messages(draft: Draft, arguments: Mapping[str, Any]) -> None:
    """Read one call of Anthropic's; ``max_tokens`` is required there and includes the thinking."""
    draft.read(arguments, _MESSAGES)
    draft.read_cap(arguments, "max_tokens", "max_tokens_to_sample")


def _stream(draft: Draft, value: object) -> None:
    draft.stream = value is True


def _service_tier(draft: Draft, value: object) -> None:
    # "auto" may be served by a priority commitment; "standard_only" may not.
    if isinstance(value, str) and value not in ("auto", "standard", "standard_only"):
        draft.service_tier = value


def _system(draft: Draft, value: object) -> None:
    add_content(draft, value)


def _tools(draft: Draft, value: object) -> None:
    draft.add_tools(value)
    searches: int | None = 0
    for tool in draft.tools:
        kind = field(tool, "type")
        if not isinstance(kind, str) or not kind.startswith(_SERVER_TOOLS):
            continue
        draft.unbound(f"the server tool {kind} adds input that the request does not show")
        if kind.startswith("web_search"):
            uses = as_count(field(tool, "max_uses"), "max_uses")
            searches = None if uses is None or searches is None else searches + uses
    draft.web_searches = searches


def _cache_control(draft: Draft, value: object) -> None:
    draft.see_cache(value)


def _speed(draft: Draft, value: object) -> None:
    if isinstance(value, str) and value != "standard":
        draft.speed = value


def _region(draft: Draft, value: object) -> None:
    if isinstance(value, str):
        draft.region = value


def _output_config(draft: Draft, value: object) -> None:
    _output_format(draft, field(value, "format"))


def _output_format(draft: Draft, value: object) -> None:
    if field(value, "type") == "json_schema":
        draft.add_schema(field(value, "schema"))
    elif isinstance(value, type):
        draft.add_schema(value)


def _mcp_servers(draft: Draft, value: object) -> None:
    if as_list(value):
        draft.unbound("the MCP servers add input that the request does not show")


def _context_management(draft: Draft, value: object) -> None:
    if field(value, "edits"):
        draft.unbound("context_management may compact the context, which is billed on its own")


_MESSAGES: Final[Readers] = {
    "messages": add_messages,
    "system": _system,
    "tools": _tools,
    "stream": _stream,
    "service_tier": _service_tier,
    "cache_control": _cache_control,
    "speed": _speed,
    "inference_geo": _region,
    "output_config": _output_config,
    "output_format": _output_format,
    "mcp_servers": _mcp_servers,
    "context_management": _context_management,
    "thinking": Draft.see_thinking,
}

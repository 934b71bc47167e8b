"""OpenAI's arguments, which LiteLLM, Groq, Mistral, DeepSeek, xAI and others share: chat, responses,
legacy completions, embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from allowance.requests.content import add_content, add_messages
from allowance.requests.draft import Draft
from allowance.requests.fields import as_count, as_list, field

if TYPE_CHECKING:
    from allowance.requests.draft import Readers

__all__ = ["read_chat", "read_completions", "read_embeddings", "read_responses"]

_SERVER_TOOLS: Final = (
    "web_search",
    "file_search",
    "code_interpreter",
    "mcp",
    "image_generation",
    "x_search",
)


def read_chat(draft: Draft, arguments: Mapping[str, Any]) -> None:
    """``chat.completions.create`` and ``litellm.completion``."""
    draft.read(arguments, _CHAT)
    if "max_tokens" in arguments and "max_completion_tokens" not in arguments:
        draft.read_cap(arguments, "max_tokens")
    else:
        draft.read_cap(arguments, "max_completion_tokens", "max_tokens")


def read_responses(draft: Draft, arguments: Mapping[str, Any]) -> None:
    """``responses.create``, ``responses.parse``, ``responses.stream`` and ``litellm.responses``."""
    draft.read(arguments, _RESPONSES)
    draft.read_cap(arguments, "max_output_tokens")
    draft.min_output = 16
    calls = as_count(arguments.get("max_tool_calls"), "max_tool_calls")
    if draft.web_searches is None and calls is not None:
        draft.web_searches = calls


def read_completions(draft: Draft, arguments: Mapping[str, Any]) -> None:
    """The legacy ``completions.create`` and ``litellm.text_completion``."""
    draft.read(arguments, _COMPLETIONS)
    draft.read_cap(arguments, "max_tokens")
    prompts = as_list(arguments.get("prompt"))
    if prompts is not None and not _are_ids(prompts):
        draft.choices *= max(1, len(prompts))


def read_embeddings(draft: Draft, arguments: Mapping[str, Any]) -> None:
    """``embeddings.create`` and ``litellm.embedding``: there is no output."""
    draft.read(arguments, _EMBEDDINGS)
    draft.max_output = 0


def _stream(draft: Draft, value: object) -> None:
    draft.stream = value is True


def _service_tier(draft: Draft, value: object) -> None:
    if isinstance(value, str) and value not in ("auto", "default", "standard", "standard_only"):
        draft.service_tier = value


def _n(draft: Draft, value: object) -> None:
    draft.set_choices(value, "n")


def _best_of(draft: Draft, value: object) -> None:
    draft.set_choices(value, "best_of")


def _tools(draft: Draft, value: object) -> None:
    draft.add_tools(value)
    for tool in draft.tools:
        kind = field(tool, "type")
        if isinstance(kind, str) and kind.startswith(_SERVER_TOOLS):
            draft.unbound(f"the server tool {kind} adds input that the request does not show")
            if kind.startswith("web_search"):
                draft.web_searches = None


def _response_format(draft: Draft, value: object) -> None:
    wrapped = field(value, "json_schema")
    if wrapped is not None:
        draft.add_schema(wrapped)
    elif isinstance(value, type):
        draft.add_schema(value)


def _text_format(draft: Draft, value: object) -> None:
    shape = field(value, "format")
    if field(shape, "type") == "json_schema":
        draft.add_schema(shape)


def _web_search(draft: Draft, value: object) -> None:
    if isinstance(value, Mapping):
        draft.unbound("web search adds input that the request does not show")
        draft.web_searches = None


def _input(draft: Draft, value: object) -> None:
    if isinstance(value, str):
        draft.texts += ("user", value)
        draft.messages += 1
    else:
        add_messages(draft, value)


def _prompt(draft: Draft, value: object) -> None:
    # A function of the user's own that takes a prompt sends it as one message.
    _input(draft, value)
    draft.messages = max(1, draft.messages)


def _instructions(draft: Draft, value: object) -> None:
    if isinstance(value, str):
        draft.texts += ("system", value)
        draft.messages += 1


def _stored(what: str) -> Any:
    def read(draft: Draft, value: object) -> None:
        if isinstance(value, (str, Mapping, list)):
            draft.unbound(f"{what} adds input that the request does not show")

    return read


def _prediction(draft: Draft, value: object) -> None:
    if isinstance(value, Mapping):
        add_content(draft, value.get("content"))
        draft.unbound("the rejected part of a prediction is billed as output")


def _text_or_ids(draft: Draft, value: object) -> None:
    items = as_list(value)
    if items is None:
        add_content(draft, value)
    elif _are_ids(items):
        draft.token_ids += len(items)
    else:
        for item in items:
            ids = as_list(item)
            if ids is not None and _are_ids(ids):
                draft.token_ids += len(ids)
            else:
                add_content(draft, item)


def _are_ids(items: Any) -> bool:
    return len(items) > 0 and isinstance(items[0], int)


_COMMON: Final[Readers] = {
    "stream": _stream,
    "service_tier": _service_tier,
    "n": _n,
    "tools": _tools,
    "functions": lambda draft, value: draft.add_tools(value),
}

_CHAT: Final[Readers] = {
    **_COMMON,
    "messages": add_messages,
    "prompt": _prompt,
    "response_format": _response_format,
    "web_search_options": _web_search,
    "prediction": _prediction,
    "thinking": Draft.see_thinking,  # LiteLLM passes it on to Anthropic
}

_RESPONSES: Final[Readers] = {
    **_COMMON,
    "input": _input,
    "instructions": _instructions,
    "text": _text_format,
    "text_format": lambda draft, value: draft.add_schema(value),
    "prompt": _stored("a stored prompt template"),
    "previous_response_id": _stored("previous_response_id"),
    "conversation": _stored("a stored conversation"),
    "context_management": _stored("context_management"),
}

_COMPLETIONS: Final[Readers] = {
    **_COMMON,
    "prompt": _text_or_ids,
    "suffix": add_content,
    "best_of": _best_of,
}

_EMBEDDINGS: Final[Readers] = {"input": _text_or_ids}

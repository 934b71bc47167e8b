"""LiteLLM: the functions that its ``@client`` decorator keeps in a closure cell as ``original_function``.

A hit of LiteLLM's cache is answered above the cell: it is not metered, and costs nothing. LiteLLM's own
retries happen above it too: each is a call of its own here.
"""

from __future__ import annotations

import inspect
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from allowance.calls.sdk_call import SdkCall
from allowance.sdks.asking import FIELD, Arguments, Asking, asks_nothing, refuses
from allowance.sdks.points import CellPoint, Read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from allowance.requests.request import Api
    from allowance.sdks.points import Point

__all__ = ["NOT_METERED", "POINTS"]

NOT_METERED = (
    "its native route (LITELLM_RUST), batches, fine-tuning, assistants, realtime and web searches; of what "
    "completion(model_list=...) sends at once, all but one"
)

_FUNCTIONS: tuple[tuple[str, Api, tuple[str, ...]], ...] = (
    ("litellm.main", "chat", ("completion", "acompletion")),
    ("litellm.main", "completions", ("text_completion", "atext_completion")),
    ("litellm.main", "embeddings", ("embedding", "aembedding")),
    ("litellm.main", "speech", ("speech", "aspeech")),
    ("litellm.main", "transcription", ("transcription", "atranscription")),
    ("litellm.responses.main", "responses", ("responses", "aresponses")),
    ("litellm.responses.main", "responses", ("compact_responses", "acompact_responses")),
    ("litellm.images.main", "images", ("image_generation", "aimage_generation")),
    ("litellm.images.main", "images", ("image_edit", "aimage_edit", "image_variation", "aimage_variation")),
    ("litellm.videos.main", "video", ("video_generation", "avideo_generation")),
    ("litellm.videos.main", "other", ("video_remix", "avideo_remix")),
    ("litellm.rerank_api.main", "other", ("rerank", "arerank")),
    ("litellm.ocr.main", "ocr", ("ocr", "aocr")),
    ("litellm.ocr.dispatch", "ocr", ("ocr", "aocr")),
    ("litellm.google_genai.main", "gemini", ("generate_content", "agenerate_content")),
    ("litellm.google_genai.main", "gemini", ("generate_content_stream", "agenerate_content_stream")),
    ("litellm.llms.anthropic.pass_through.messages.handler", "messages", ("anthropic_messages",)),
    (
        "litellm.llms.anthropic.experimental_pass_through.messages.handler",
        "messages",
        ("anthropic_messages",),
    ),
)
"""Modules that only some versions have are never imported by others, and so never missed."""

_ESSENTIAL = frozenset({"completion", "acompletion", "embedding", "aembedding"})

_ASKED = frozenset({"openai", "azure"})
"""Vendors, in LiteLLM's words, whose streams tell their usage only where they are asked to."""

_CAPPED = frozenset({"chat", "completions", "responses", "messages"})


def _reader(name: str, api: Api, original: Callable[..., Any]) -> Read:
    names = _positional(original)
    if not names:
        # LiteLLM declares some as (*args, **kwargs), which their sync twins or its native code are handed.
        module = sys.modules.get(original.__module__)
        twins = (getattr(module, each, None) for each in (name.removeprefix("a"), "_bind_request"))
        names = next((known for twin in twins if callable(twin) and (known := _positional(twin))), ())

    def read(function: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> SdkCall:
        arguments = {**dict(zip(names, args, strict=False)), **kwargs}
        if name.endswith("_stream"):
            arguments["stream"] = True
        if api == "chat":
            arguments["model"] = _meant(arguments.get("model"))
        if arguments.get("reasoning_effort") is not None and arguments.get("thinking") is None:
            arguments["thinking"] = _thinking(arguments)
        provider = kwargs.get("custom_llm_provider")
        asks = api == "chat" and bool(arguments.get("stream"))
        return SdkCall(
            sdk="litellm",
            function=function,
            args=args,
            kwargs=kwargs,
            arguments=arguments,
            api=api,
            provider=provider if isinstance(provider, str) else None,
            with_cap=partial(_changed, names, args, kwargs) if api in _CAPPED else None,
            with_model=partial(_with_model, names),
            asking=_asking(function, names, arguments) if asks else None,
            others=_fallbacks(arguments) if api == "chat" else (),
        )

    return read


def _meant(model: object) -> object:
    """The model that LiteLLM sends: the user may have given it a name of his own."""
    aliases = getattr(sys.modules.get("litellm"), "model_alias_map", None)
    return aliases.get(model, model) if isinstance(aliases, dict) and isinstance(model, str) else model


def _thinking(arguments: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What LiteLLM asks of Claude in place of an effort: the cap must leave room for these thoughts."""
    name = f"DEFAULT_REASONING_EFFORT_{str(arguments['reasoning_effort']).upper()}_THINKING_BUDGET"
    tokens = getattr(sys.modules.get("litellm.constants"), name, None)
    if not isinstance(tokens, int) or "claude" not in str(arguments.get("model")):
        return None
    return {"budget_tokens": max(tokens, 1024)}  # the least that Anthropic takes


def _fallbacks(arguments: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """What it sends where the model fails: beneath us, and it would swallow a refusal there."""
    named = arguments.get("fallbacks")
    if not isinstance(named, (list, tuple)):
        return ()
    changes = (each if isinstance(each, dict) else {"model": each} for each in named)
    return tuple([{**arguments, **each} for each in changes])


def _asking(
    function: Callable[..., Any], names: tuple[str, ...], arguments: Mapping[str, Any]
) -> Asking | None:
    """What asks for a stream's usage; of vendors with an API of their own LiteLLM has it anyway."""
    model = str(arguments.get("model"))
    vendor = str(arguments.get("custom_llm_provider") or _vendor(model))
    server = arguments.get("api_base") or arguments.get("base_url")
    target = (f"litellm {vendor} {server}", model)
    if vendor not in _ASKED or not asks_nothing(arguments) or refuses(target):
        return None
    return Asking(function, partial(_put_asking, names), target, known=vendor == "openai" and not server)


def _put_asking(names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    given[FIELD] = {**(given.get(FIELD) or {}), "include_usage": True}
    return args[len(names) :], given


def _positional(function: Callable[..., Any]) -> tuple[str, ...]:
    parameters = inspect.signature(function).parameters.values()
    return tuple(each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD)


def _with_model(
    names: tuple[str, ...], args: tuple[Any, ...], kwargs: Mapping[str, Any], model: str
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    to_one = any(given.get(name) for name in ("api_key", "api_base", "base_url"))
    if to_one and not given.get("custom_llm_provider") and _vendor(model) != _vendor(str(given.get("model"))):
        return None  # one vendor's key must not go to another
    return _changed(names, args, kwargs, model, "model")


def _vendor(model: str) -> str | None:
    """Whom LiteLLM asks for a model; None where it does not know that either."""
    litellm: Any = sys.modules.get("litellm")
    prefix, slash, _ = model.partition("/")
    if slash and prefix in getattr(litellm, "provider_list", ()):
        return prefix
    known = getattr(litellm, "model_cost", {}).get(model)
    return known.get("litellm_provider") if isinstance(known, dict) else None


def _changed(
    names: tuple[str, ...], args: tuple[Any, ...], kwargs: Mapping[str, Any], value: object, name: str
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with another model or cap in them: by name, for it may be positional, as None."""
    _keep_out_of_cache(kwargs.get("litellm_logging_obj"))
    return args[len(names) :], {**dict(zip(names, args, strict=False)), **kwargs, name: value}


def _keep_out_of_cache(logging: Any) -> None:
    """Have LiteLLM not cache this call's reply.

    Its cache lies above us: what a cheaper model said, or said shorter, would stand under the key of the
    call as it was made, and be given to users whose budgets are not short.
    """
    handler = getattr(logging, "llm_caching_handler", None)
    if handler is not None:
        # It is asked before anything is stored, be it a plain reply or a stream; so it was called before.
        for name in ("should_store_result_in_cache", "_should_store_result_in_cache"):
            setattr(handler, name, _never)


def _never(*_: object, **__: object) -> bool:
    return False


POINTS: tuple[Point, ...] = tuple(
    CellPoint(module, name, "original_function", partial(_reader, name, api), essential=name in _ESSENTIAL)
    for module, api, names in _FUNCTIONS
    for name in names
)

"""The input of a request in tokens: texts, chat format, tools, schemas, images, attachments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from allowance.quotes.attachments import weigh
from allowance.quotes.images import image_tokens
from allowance.quotes.tools import compact_json, function_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from allowance.quotes.families import Family
    from allowance.quotes.tokens import Count
    from allowance.requests.request import Request

__all__ = ["Measure", "measure"]

# The constant of OpenAI's formula for one function (cookbook): 7 with o200k, 10 with cl100k.
_FUNCTION: Final = {"o200k_base": 7, "cl100k_base": 10}


@dataclass(slots=True)
class Measure:
    """Tokens of an input. ``reasons`` say why ``bound`` is none; audio and images are part of both sums.

    ``seconds`` of sound and ``pages`` of documents are beside them, for models that bill these.
    """

    bound: int
    usual: int
    audio: int = 0
    images: int = 0
    seconds: int = 0
    pages: int = 0
    reasons: tuple[str, ...] = ()


def measure(request: Request, family: Family, count: Callable[[Sequence[str]], Count]) -> Measure:
    """What the input of a request comes to, its texts counted by ``count``."""
    texts = count(request.texts)
    fixed = request.token_ids
    if request.messages:
        fixed += family.per_message * request.messages + family.per_call + request.names
    result = Measure(texts.bound + fixed, texts.usual + fixed)
    if texts.estimated:
        result.reasons = (_estimated(request.model),)
    if request.tools or request.schemas:
        _add_definitions(result, request, family, count)
    if request.images or request.attachments:
        _add_media(result, request, family)
    return result


def _add_definitions(
    result: Measure, request: Request, family: Family, count: Callable[[Sequence[str]], Count]
) -> None:
    written = [compact_json(schema) for schema in request.schemas]
    fixed = family.per_tools if request.tools else 0
    if family.exact:
        start = _FUNCTION[family.encoding]
        fixed += sum(
            function_tokens(tool, lambda text: count((text,)).bound, start) for tool in request.tools
        )
    else:
        written += [compact_json(tool) for tool in request.tools]
    found = count(written)
    result.bound += fixed + found.bound
    result.usual += fixed + found.usual
    if found.estimated and not result.reasons:
        result.reasons = (_estimated(request.model),)


def _add_media(result: Measure, request: Request, family: Family) -> None:
    for image in request.images:
        tokens, bounded = image_tokens(family, request.model, image)
        result.bound += tokens
        result.usual += tokens
        result.images += tokens
        if not bounded:
            _because(result, "an image's size, or the rule for this model's images, is unknown")
    for attachment in request.attachments:
        weight = weigh(family, attachment)
        result.bound += weight.tokens
        result.usual += weight.tokens
        result.audio += weight.audio
        result.seconds += weight.seconds
        result.pages += weight.pages
        if weight.reason:
            _because(result, weight.reason)


def _because(result: Measure, reason: str) -> None:
    if reason not in result.reasons:
        result.reasons += (reason,)


def _estimated(model: str) -> str:
    return f"the tokens of {model} are known only by a factor on another vocabulary's count"

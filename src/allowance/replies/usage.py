"""`Usage`: what a reply says was used, in one vocabulary for every vendor."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ["Usage"]


class Usage(NamedTuple):
    """The billed quantities of one reply.

    The two totals are inclusive: ``input_tokens`` counts cached, cache-writing, audio and image tokens
    too, ``output_tokens`` counts reasoning, audio and image tokens too. The others say how many of them
    are of that sort. Vendors count differently (Anthropic's input excludes the cache, Gemini's output
    excludes thoughts); the readers in `allowance.replies` bring them to this form.

    Attributes:
        model: the model that the reply names, else None.
        provider: where the reply tells, else None.
        service_tier: the tier that served it (``"flex"``, ``"priority"``, ``"batch"``, ...), else None.
        speed, region: Anthropic's ``usage.speed`` and ``usage.inference_geo``, and their like.
        cache_write_tokens: written for five minutes or the vendor's only term; ``cache_write_1h_tokens``
            those written for an hour. The two do not overlap.
        requests: how many requests the vendor billed.
        seconds, pages, characters, images: for speech, documents and pictures.
        image_size, image_quality: of pictures made, where the price depends on them.
        search_context: ``"low"``, ``"medium"`` or ``"high"``, where the price of a search depends on it.
        reported_cost: what the provider itself says it charged, in US dollars, else None.
        counted: True where the reply carried no usage and its text was counted here instead.
        parts: further usage that is billed for other models (Anthropic's ``iterations``).
    """

    model: str | None = None
    provider: str | None = None
    service_tier: str | None = None
    speed: str | None = None
    region: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    audio_cache_read_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    requests: int = 1
    web_searches: int = 0
    seconds: float = 0
    pages: int = 0
    characters: int = 0
    images: int = 0
    image_size: str | None = None
    image_quality: str | None = None
    search_context: str | None = None
    reported_cost: Decimal | None = None
    counted: bool = False
    parts: tuple[Usage, ...] = ()

"""`Sheet`: the rates of one situation, complete and as integers, and the sum over a usage."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from typing import TYPE_CHECKING

from allowance.prices.rates import UNITS_PER_NANO, scaled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from allowance.replies.usage import Usage

__all__ = ["Sheet", "dearest", "make_sheet"]


@dataclass(frozen=True, slots=True)
class Sheet:
    """Every rate, in 10⁻³⁰ dollars for one token or unit; what is not billed is 0."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    reasoning: int
    audio_input: int
    audio_output: int
    audio_cache_read: int
    image_input: int
    image_output: int
    request: int
    search: int
    search_low: int
    search_high: int
    second: int
    character: int
    page: int
    image: int

    def nanos(self, usage: Usage, times: int = 1, over: int = 1, *, searches: int | None = None) -> int:
        """Nano-dollars of a usage, rounded up once.

        Args:
            times, over: a factor on all tokens, as a ratio.
            searches: how many there are, where it is not the usage that says so.
        """
        if searches is None:
            searches = usage.web_searches
        others = usage.requests * self.request
        if usage.images or usage.characters or usage.pages:
            others += self._units(usage)
        if searches:
            others += searches * self._search(usage.search_context)
        total = (self._input(usage) + self._output(usage)) * times + others * over
        if usage.seconds and self.second:
            # A float is what its repr says, as everywhere: 0.1 s is a tenth.
            seconds, per = Decimal(repr(usage.seconds)).as_integer_ratio()
            total = total * per + self.second * seconds * over
            over *= per
        return -(-total // (UNITS_PER_NANO * over))

    def _input(self, usage: Usage) -> int:
        read = usage.cache_read_tokens
        write, write_1h = usage.cache_write_tokens, usage.cache_write_1h_tokens
        fresh = usage.input_tokens
        total = 0
        if read or write or write_1h:
            fresh = max(fresh - read - write - write_1h, 0)
            read_audio = min(usage.audio_cache_read_tokens, read)
            total = (
                (read - read_audio) * self.cache_read
                + read_audio * self.audio_cache_read
                + write * self.cache_write
                + write_1h * self.cache_write_1h
            )
        if usage.audio_input_tokens:
            audio = min(max(usage.audio_input_tokens - usage.audio_cache_read_tokens, 0), fresh)
            total += audio * self.audio_input
            fresh -= audio
        if usage.image_input_tokens:
            image = min(usage.image_input_tokens, fresh)
            total += image * self.image_input
            fresh -= image
        if self.character and usage.characters:
            return total  # the same text is not billed by tokens as well
        return total + fresh * self.input

    def _output(self, usage: Usage) -> int:
        reasoning, audio, image = (
            usage.reasoning_tokens,
            usage.audio_output_tokens,
            usage.image_output_tokens,
        )
        if not (reasoning or audio or image):
            return usage.output_tokens * self.output
        text = max(usage.output_tokens - reasoning - audio - image, 0)
        return (
            text * self.output
            + reasoning * self.reasoning
            + audio * self.audio_output
            + image * self.image_output
        )

    def _units(self, usage: Usage) -> int:
        total = 0
        if usage.images and not (usage.output_tokens and self.image_output):
            total += usage.images * self.image  # pictures billed by their tokens are not billed again
        if usage.characters:
            total += usage.characters * self.character
        if usage.pages:
            total += usage.pages * self.page
        return total

    def _search(self, size: str | None) -> int:
        if size == "low":
            return self.search_low
        return self.search_high if size == "high" else self.search


_NAMES = tuple(field.name for field in fields(Sheet))


def make_sheet(rates: Mapping[str, Decimal]) -> Sheet:
    """Complete rates by the fallbacks that `MoreRates` states. Exact."""
    known = {name: scaled(name, rate) for name, rate in rates.items()}
    for name, other, times, over in _FALLBACKS:
        if name not in known and other in known:
            known[name] = known[other] * times // over
    return Sheet(**{name: known.get(name, 0) for name in _NAMES})


_FALLBACKS = (
    ("output", "image_output", 1, 1),
    ("output", "audio_output", 1, 1),
    ("cache_read", "input", 1, 1),
    ("cache_write", "input", 5, 4),
    ("cache_write_1h", "cache_write", 8, 5),
    ("reasoning", "output", 1, 1),
    ("audio_input", "input", 1, 1),
    ("audio_output", "output", 1, 1),
    ("audio_cache_read", "cache_read", 1, 1),
    ("image_input", "input", 1, 1),
    ("image_output", "output", 1, 1),
    ("search_low", "search", 1, 1),
    ("search_high", "search", 1, 1),
)


def dearest(sheets: Iterable[Sheet]) -> Sheet:
    """The sheet of each rate's highest value."""
    several = list(sheets)
    return Sheet(**{name: max(getattr(sheet, name) for sheet in several) for name in _NAMES})

"""`Quoting`: a request and its price become a quote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from allowance.errors import ConfigurationError
from allowance.quotes.families import Family, family_of
from allowance.quotes.history import OutputHistory
from allowance.quotes.measure import Measure, measure
from allowance.quotes.quote import Quote
from allowance.quotes.tokens import Count, count_bytes, count_texts
from allowance.quotes.vocabularies import Vocabularies
from allowance.replies.usage import Usage

if TYPE_CHECKING:
    from allowance.requests.request import Request

__all__ = ["Counter", "Pricing", "Quoting"]

Counter: TypeAlias = Callable[[str, Sequence[str]], int | None]
"""A counter of the user's own: the model and the texts, to their tokens, or None where it cannot tell."""

_Count: TypeAlias = Callable[[Sequence[str]], Count]

_BYTES: Final[tuple[str, str, _Count]] = ("bytes", "", count_bytes)

DEFAULT_MAX_OUTPUT: Final = 128_000
"""What a model whose limit is unknown can put out at most: the largest limit of the models of today."""

# Tokens of the dearest picture, 1,024 by 1,536 in high quality (OpenAI, image generation guide).
_PICTURE: Final = 6_240

# Audio tokens for a character that is spoken: 20 a second, at ten characters a second.
_SPOKEN: Final = 2

_SHARED: Final = Vocabularies()


class Pricing(Protocol):
    """What a quote needs of a price; `allowance.prices.Price` is one."""

    @property
    def max_output_tokens(self) -> int | None:
        """The most tokens of one reply, None where that is not known."""
        ...

    def cost(self, usage: Usage) -> int:
        """Nano-dollars at the ordinary rate."""
        ...

    def worst(self, usage: Usage, request: Request) -> int:
        """Nano-dollars at the dearest rate that the request can hit."""
        ...


class Quoting:
    """Makes quotes, and learns from replies how long they usually are.

    Args:
        vocabularies: where the counts come from; one set for the process is shared by default.
        counter: counts texts in place of a vocabulary, such as a provider's own counting endpoint. Its
            counts are taken to be exact.
        max_output: the output of models whose limit the price does not name.
    """

    def __init__(
        self,
        *,
        vocabularies: Vocabularies | None = None,
        counter: Counter | None = None,
        max_output: int = DEFAULT_MAX_OUTPUT,
    ) -> None:
        self._vocabularies = vocabularies or _SHARED
        self._counter = counter
        self._max_output = max_output
        self._history = OutputHistory()

    def observe(self, model: str, output_tokens: int) -> None:
        """Learn the length of one reply, for the quotes of uncapped calls to this model."""
        self._history.observe(model, output_tokens)

    def quote(self, request: Request, price: Pricing, *, cheap: bool = False) -> Quote:
        """What the call may cost.

        With ``cheap`` the texts are not tokenized but count as their bytes, which is an upper bound for
        every model and takes microseconds; a price is met by many times what the call needs, and
        ``expected`` is not reckoned apart from the bound where there is one. Without
        it, they are counted wherever a vocabulary is on the machine.

        Raises:
            ConfigurationError: for tools or schemas that no provider could be sent.
        """
        family = family_of(request.model, request.provider)
        counted_by, note, count = _BYTES if cheap else self._ruler(request.model, family)
        found = measure(request, family, count)
        return _quote(request, price, found, self._output(request, price), counted_by, note, cheap=cheap)

    def count(self, request: Request, texts: Sequence[str]) -> int:
        """Tokens of a reply's texts by the request's model: counted, or what they likely are."""
        family = family_of(request.model, request.provider)
        _, _, count = self._ruler(request.model, family)
        return count(texts).usual

    def affordable(self, request: Request, price: Pricing, amount: int) -> int:
        """The largest output cap with which the call costs ``amount`` nano-dollars at most; 0 for none."""
        family = family_of(request.model, request.provider)
        found = measure(request, family, self._ruler(request.model, family)[2])
        low, high = 0, price.max_output_tokens or self._max_output
        while low < high:
            cap = (low + high + 1) // 2
            if price.worst(_usage(request, found, found.bound, cap * request.choices), request) <= amount:
                low = cap
            else:
                high = cap - 1
        return low

    def _ruler(self, model: str, family: Family) -> tuple[str, str, _Count]:
        """What counts texts, its name, and how a better one is to be had."""
        encoding = self._vocabularies.get(family.encoding)
        if encoding is None:
            name, note, count = "bytes", self._vocabularies.remedy(family.encoding), count_bytes
        else:
            name, note, count = encoding.name, "", partial(count_texts, encoding=encoding, family=family)
        if self._counter is None:
            return name, note, count
        return "counter", "", partial(_ask, counter=self._counter, model=model, otherwise=count)

    def _output(self, request: Request, price: Pricing) -> _Output:
        most = price.max_output_tokens or self._max_output
        likely = self._history.likely(request.model)
        if request.api == "images":
            return _Output(_PICTURE, _PICTURE, _PICTURE, capped=True)
        if request.api == "speech":
            spoken = _SPOKEN * sum(map(len, request.texts))
            return _Output(spoken, spoken, spoken, capped=False)
        if request.max_output is not None:
            return _Output(
                min(likely, request.max_output), request.max_output, request.max_output, capped=True
            )
        likely = min(likely, most)
        return _Output(likely, likely, most, capped=False)


@dataclass(slots=True)
class _Output:
    """Output tokens of one reply: expected, to be held, and at most."""

    expected: int
    held: int
    most: int
    capped: bool


def _quote(
    request: Request,
    price: Pricing,
    found: Measure,
    output: _Output,
    counted_by: str,
    note: str,
    *,
    cheap: bool,
) -> Quote:
    choices = request.choices
    amount = price.worst(_usage(request, found, found.bound, output.held * choices), request)
    floor = ceiling = amount
    if not output.capped:
        floor = price.worst(_usage(request, found, found.bound, 0), request)
        if output.most != output.held:
            ceiling = price.worst(_usage(request, found, found.bound, output.most * choices), request)
    unbounded = request.unbounded + found.reasons
    bounded = not unbounded
    expected = amount
    if not (cheap and bounded and output.capped):
        expected = price.cost(_usage(request, found, found.usual, output.expected * choices))
    if not output.capped and ceiling > floor:
        unbounded += (f"no output cap: add {request.cap_name or 'one'}",)
    return Quote(
        request.model,
        found.bound,
        output.held * choices,
        output.most * choices,
        floor,
        amount,
        ceiling,
        min(expected, amount),
        output.capped,
        bounded,
        unbounded,
        counted_by,
        note,
        found.usual,
    )


def _usage(request: Request, found: Measure, into: int, out: int) -> Usage:
    pictures = request.api == "images"
    spoken = request.api == "speech"
    media = pictures or spoken or found.audio or found.images or found.pages or request.seconds
    if not (media or request.web_searches or request.service_tier or request.speed or request.region):
        return Usage(input_tokens=into, output_tokens=out)  # tokens are all that there is to price
    return Usage(
        service_tier=request.service_tier,
        speed=request.speed,
        region=request.region,
        input_tokens=into,
        output_tokens=out,
        audio_input_tokens=min(found.audio, into),
        image_input_tokens=min(found.images, into),
        image_output_tokens=out if pictures else 0,
        audio_output_tokens=out if spoken else 0,
        web_searches=request.web_searches or 0,
        images=request.choices if pictures else 0,
        image_size=request.size,
        characters=sum(map(len, request.texts)) if spoken else 0,
        seconds=_seconds(request, found),
        pages=found.pages if request.api == "ocr" else 0,
    )


def _seconds(request: Request, found: Measure) -> int:
    """Of the sound that is to be heard, or of the videos that are to be made."""
    return found.seconds if request.api == "transcription" else request.seconds * request.choices


def _ask(texts: Sequence[str], *, counter: Counter, model: str, otherwise: _Count) -> Count:
    tokens = counter(model, texts)
    if tokens is None:
        return otherwise(texts)
    if type(tokens) is not int or tokens < 0:
        raise ConfigurationError(f"The counter must return a whole number of tokens or None, not {tokens!r}")
    return Count(tokens, tokens)

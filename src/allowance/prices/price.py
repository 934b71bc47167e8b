"""`Price`: what one model costs, in every situation that its vendor distinguishes."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from allowance.errors import ConfigurationError
from allowance.prices.rates import MoreRates, Rates, read_rate, read_rates
from allowance.prices.tariff import Tariff
from allowance.prices.variants import Situation, Variant, read_variant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal
    from typing import Unpack

    from allowance.money import Money
    from allowance.replies.usage import Usage
    from allowance.requests.request import Request

__all__ = ["MoreRates", "Price", "Rates", "Situation"]

# The others write a cache unasked where they have a price for that at all.
_WRITES_WHEN_ASKED: Final = ("anthropic", "bedrock", "amazon")


class Price:
    """The price of one model: ``Price(input="2.50", output="10.00")`` in US dollars per million tokens.

    Args:
        input, output: US dollars per million tokens; None where tokens are not billed.
        variants: rates that replace these in some situation, see `Situation`:
            ``[{"above": 200_000, "input": "5"}, {"tier": "flex", "input": "1.25", "output": "5"}]``.
            A variant's ``output`` holds for reasoning too, and its ``cache_write`` for an hour's (1.6
            times), where it does not say otherwise. Of several that hold, the most particular wins.
        multipliers: factors on all tokens by speed or region: ``{"fast": 2, "us": "1.1"}``;
            ``"regional"`` stands for every region that is not named.
        model, provider, source, as_of, rule: which model this is the price of, where the figures come
            from and of when, and which rule of names found it; the catalogue fills them in.
        max_input_tokens, max_output_tokens: the model's limits, where known.
        mode: ``"chat"``, ``"embedding"``, ``"image_generation"``, ... where known.
        rates: the further rates, see `MoreRates`.

    Numbers are int, str, Decimal, or float read through its repr. Reading a price again never changes
    it: it is immutable, and equal to another that says the same.

    Raises:
        ConfigurationError: for a bool, NaN, infinity, negative, or more than $10,000; for unknown names.
    """

    __slots__ = (
        "_tariff", "as_of", "max_input_tokens", "max_output_tokens", "mode", "model", "multipliers",
        "provider", "rates", "rule", "source", "variants",
    )  # fmt: skip

    model: str | None
    provider: str | None
    source: str | None
    as_of: str | None
    rule: str | None
    max_input_tokens: int | None
    max_output_tokens: int | None
    mode: str | None
    rates: Mapping[str, Decimal]
    variants: tuple[Variant, ...]
    multipliers: Mapping[str, Decimal]
    _tariff: Tariff

    def __init__(
        self,
        input: Money | None = None,  # noqa: A002  # the vendors' word
        output: Money | None = None,
        *,
        variants: Sequence[Situation] = (),
        multipliers: Mapping[str, Money] | None = None,
        model: str | None = None,
        provider: str | None = None,
        source: str | None = None,
        as_of: str | None = None,
        rule: str | None = None,
        max_input_tokens: int | None = None,
        max_output_tokens: int | None = None,
        mode: str | None = None,
        **rates: Unpack[MoreRates],
    ) -> None:
        what = f"the price of {model!r}" if model else "Price"
        read = read_rates({"input": input, "output": output, **rates}, what)
        if not read and not variants:
            raise ConfigurationError(
                f'{what} has no rate: write Price(input="2.50", output="10.00"), or Price(input=0, output=0)'
            )
        found = [read_variant(one, f"{what}: variant {number}") for number, one in enumerate(variants, 1)]
        factors = {
            key.lower(): read_rate(value, f"{what}: {key}") for key, value in (multipliers or {}).items()
        }
        given = {
            "model": model, "provider": provider, "source": source, "as_of": as_of, "rule": rule,
            "max_input_tokens": max_input_tokens, "max_output_tokens": max_output_tokens, "mode": mode,
            "rates": MappingProxyType(read), "multipliers": MappingProxyType(factors),
            "variants": tuple(sorted(found, key=lambda variant: variant.rank)),
        }  # fmt: skip
        self._fill(given)

    def _fill(self, given: Mapping[str, Any]) -> None:
        for name, value in given.items():
            object.__setattr__(self, name, value)
        provider, model = self.provider or "", (self.model or "").lower()
        asks_first = "claude" in model or provider.startswith(_WRITES_WHEN_ASKED)
        tariff = Tariff(
            self.rates,
            self.variants,
            self.multipliers,
            writes_unasked=not asks_first and "cache_write" in self.rates,
            open_region=provider == "anthropic",
            always_searches=provider == "perplexity",
        )
        object.__setattr__(self, "_tariff", tariff)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Price is immutable: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Price is immutable: {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Price) and all(
            getattr(self, name) == getattr(other, name) for name in _FIELDS
        )

    def __hash__(self) -> int:
        return hash((self.model, self.provider, self.input, self.output))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, ({name: _plain(getattr(self, name)) for name in _FIELDS},)

    def __repr__(self) -> str:
        rates = ", ".join(f'{name}="{rate:f}"' for name, rate in self.rates.items())
        more = f", {len(self.variants)} variants" if self.variants else ""
        return f"Price({f'model={self.model!r}, ' if self.model else ''}{rates}{more})"

    @property
    def input(self) -> Decimal | None:
        """US dollars per million input tokens, in the ordinary case; None where they are not billed."""
        return self.rates.get("input")

    @property
    def output(self) -> Decimal | None:
        """US dollars per million output tokens, in the ordinary case; None where they are not billed."""
        return self.rates.get("output")

    @property
    def free(self) -> bool:
        """True where nothing that it bills costs anything."""
        return not any(self.rates.values()) and not any(any(one.rates.values()) for one in self.variants)

    def named(self, **names: str | None) -> Price:
        """The same price with another ``model``, ``provider``, ``source``, ``as_of`` or ``rule``."""
        copy = object.__new__(Price)
        copy._fill({**{name: getattr(self, name) for name in _FIELDS}, **names})
        return copy

    def cost(self, usage: Usage, *, at: datetime | None = None) -> int:
        """Nano-dollars of a reply's usage: exact, and rounded up once. Its ``parts`` are not included.

        Args:
            usage: its service tier, speed and region choose the rates. A tier that this price does not
                know costs the dearest that it does, but for those that are never dearer than standard.
            at: the moment of the call, for prices that depend on it; now, where it is None.
        """
        return self._tariff.cost(usage, at)

    def worst(self, usage: Usage, request: Request) -> int:
        """Nano-dollars of the projected ``usage`` of ``request`` at the dearest rates the call could hit.

        Those are the dearest of: context tiers that its input can reach; reading and, where the vendor
        does it unasked or the request asks, writing the cache; reasoning, audio and pictures; the
        service tier asked for and the standard one; any time of day; the speed and region asked for.
        Searches are priced at their dearest, one where their number is not limited.
        """
        return self._tariff.worst(usage, request)


_FIELDS: Final = tuple(name for name in Price.__slots__ if not name.startswith("_"))


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, MappingProxyType) else value


def _rebuild(given: dict[str, Any]) -> Price:
    price = object.__new__(Price)
    for name in ("rates", "multipliers"):
        given[name] = MappingProxyType(given[name])
    price._fill(given)
    return price

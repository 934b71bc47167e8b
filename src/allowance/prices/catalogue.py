"""`Catalogue`: the prices of all known models, and what a usage costs by them."""

from __future__ import annotations

import threading
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from allowance.errors import ConfigurationError, UnknownModelError
from allowance.money import nanos_up
from allowance.prices.data import PriceData, shipped_data
from allowance.prices.names import candidates, is_free_variant, is_local
from allowance.prices.overrides import Overrides, read_overrides
from allowance.prices.price import Price

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from allowance.replies.usage import Usage

__all__ = ["Catalogue", "OnUnknown"]

OnUnknown: TypeAlias = "Literal['raise', 'free'] | Price"
"""What a model without a price costs: nothing is assumed, it is free, or this."""

_MOST_CACHED: Final = 4096
_LONGEST_NAME: Final = 500
_NEAREST: Final = 5


class Catalogue:
    """Prices by name. Safe to share between threads; nothing is loaded before the first lookup.

    Args:
        load: gives the data; the catalogue that the package ships, where it is None.
        overrides: prices of the user's own, which come first. A name may be a pattern of the shell's
            (``"azure/my-*"``); exact names come before patterns, and patterns in the order given.
    """

    def __init__(
        self,
        load: Callable[[], PriceData] | None = None,
        *,
        overrides: Overrides | None = None,
    ) -> None:
        self._load = load or shipped_data
        self._data: PriceData | None = None
        self._lock = threading.RLock()  # a signal's handler or a finalizer may ask while it is being loaded
        own = read_overrides(overrides) if overrides is not None else {}
        self._own = {name.strip().lower(): price for name, price in own.items()}
        self._patterns = [(name, price) for name, price in self._own.items() if set(name) & set("*?[")]
        self._resolve = lru_cache(maxsize=_MOST_CACHED)(self._look_up)
        self._answer = lru_cache(maxsize=_MOST_CACHED)(self._answered)

    def with_overrides(self, prices: Overrides) -> Catalogue:
        """A catalogue in which these come first, then this one's own overrides, then its data.

        Args:
            prices: prices by model, or a JSON file of them, see `Overrides`.

        Raises:
            ConfigurationError: names the file, the model and the rate that is wrong.
        """
        first = {name.strip().lower(): price for name, price in read_overrides(prices).items()}
        return Catalogue(lambda: self.data, overrides={**first, **_without(self._own, first)})

    @property
    def data(self) -> PriceData:
        """The data behind it, loaded at first use."""
        if self._data is None:
            with self._lock:
                if self._data is None:
                    self._data = self._load()
        return self._data

    def find(self, model: str, *, provider: str | None = None, unknown: OnUnknown = "raise") -> Price:
        """The price of a model; ``Price.rule`` says which rule found it.

        Args:
            model: the name, as an SDK, LiteLLM or a reply writes it.
            provider: who serves it, where that is known; it chooses between equal names.
            unknown: what to do where there is none: raise, take it as free, or take this price.

        Raises:
            UnknownModelError: no price is known, and ``unknown`` is ``"raise"``.
        """
        found = self._find(model, provider)
        if found is not None:
            return found
        if isinstance(unknown, Price):
            return unknown.named(model=model, provider=provider, rule="assumed")
        if unknown == "free":
            return Price(input=0, output=0, model=model, provider=provider, rule="assumed free")
        raise UnknownModelError(model=model, near=self.near(model))

    def cost(
        self,
        usage: Usage,
        *,
        model: str | None = None,
        provider: str | None = None,
        at: datetime | None = None,
        unknown: OnUnknown = "raise",
    ) -> int:
        """Nano-dollars of a reply's usage and its parts, each rounded up.

        What the provider says it charged is taken as it is, where it is more than nothing. Else it is
        billed as the model that the reply names, where that has a price, else as ``model``, which was
        asked for. A price of the user's own for either name comes before the catalogue's.

        Raises:
            UnknownModelError: neither model has a price, and ``unknown`` is ``"raise"``.
        """
        if usage.reported_cost is not None and usage.reported_cost > 0:
            return nanos_up(usage.reported_cost)
        total = self.billed(usage, model=model, provider=provider, unknown=unknown).cost(usage, at=at)
        for part in usage.parts:
            total += self.cost(part, model=model, provider=provider, at=at, unknown=unknown)
        return total

    def billed(
        self,
        usage: Usage,
        *,
        model: str | None = None,
        provider: str | None = None,
        unknown: OnUnknown = "raise",
    ) -> Price:
        """The price by which `cost` bills this usage, its parts aside."""
        named, place = usage.model, usage.provider or provider
        if place is not None and provider is not None and provider.startswith(f"{place}/"):
            place = provider  # with its region, which no reply tells
        if named is None or named == model or model is None:
            return self.find(named or model or "", provider=place, unknown=unknown)
        if len(named) <= _LONGEST_NAME and len(model) <= _LONGEST_NAME:
            found = self._answer(named, model, place)
            if found is not None:
                return found
        return self.find(model, provider=place, unknown=unknown)

    def _answered(self, named: str, asked: str, provider: str | None) -> Price | None:
        """The price of a reply that names another model than was asked for."""
        own = self._overriding(named) or self._overriding(asked)
        if own is not None:
            return own
        wanted = self._find(asked, provider)
        if wanted is not None and (_as_asked(provider) or (wanted.free and is_free_variant(asked))):
            return wanted
        for name in _beside(asked, named):
            if beside := self._exact(name, rule="prefix"):
                return beside
        return self._find(named, provider) or wanted

    def near(self, model: str) -> tuple[str, ...]:
        """The nearest known names, the nearest first."""
        from difflib import get_close_matches

        word = model.strip().lower()[:_LONGEST_NAME]
        short = word.rsplit("/", 1)[-1]
        names = [*self._own, *self.data.names]
        # Comparing with every name takes a tenth of a second; those that begin alike are a few hundred.
        alike = [name for name in names if name.rsplit("/", 1)[-1][:3] == short[:3]] or names
        close = get_close_matches(word, alike, n=_NEAREST, cutoff=0.5)
        return tuple(self.data.names.get(name, name) for name in close)

    def _find(self, model: str, provider: str | None) -> Price | None:
        if not isinstance(model, str):
            raise ConfigurationError(f"a model's name must be a str, not {type(model).__name__}")
        if not model.strip() or len(model) > _LONGEST_NAME:
            return None
        return self._resolve(model, provider)

    def _look_up(self, model: str, provider: str | None) -> Price | None:
        own = self._overriding(model)
        if own is not None:
            return own
        for rule, name in candidates(model, provider):
            if rule != "exact" and (own := self._own.get(name)):
                return own.named(model=name, rule=f"override, {rule}")
            if found := self._exact(name, rule=rule):
                return found
        if is_free_variant(model) or is_local(model, provider):
            rule = "free variant" if is_free_variant(model) else "local"
            return Price(input=0, output=0, model=model, provider=provider, rule=rule)
        return None

    def _overriding(self, model: str) -> Price | None:
        name = model.strip().lower()
        if own := self._own.get(name):
            return own
        for pattern, price in self._patterns:
            if fnmatchcase(name, pattern):
                return price.named(model=name, rule="override pattern")
        return None

    def _exact(self, name: str, *, rule: str) -> Price | None:
        found = self.data.entry(name)
        if found is None:
            return None
        written, entry = found
        known = {"source": "; ".join(self.data.sources), "as_of": self.data.as_of, **entry}
        return Price(**known, model=written, rule=rule)


def _without(prices: Mapping[str, Price], names: Iterable[str]) -> dict[str, Price]:
    return {name: price for name, price in prices.items() if name not in set(names)}


def _as_asked(provider: str | None) -> bool:
    """Whether it bills the model that was asked for: Bedrock's replies have the name of the maker's own."""
    return provider is not None and provider.partition("/")[0] == "bedrock"


def _beside(asked: str, named: str) -> list[str]:
    """The reply's name under the path of the name that was asked for, the longest path first.

    ``azure/eu/gpt-4o`` that was answered by ``gpt-4o-2024-08-06`` is ``azure/eu/gpt-4o-2024-08-06``.
    """
    path = asked.strip().split("/")[:-1]
    return [f"{'/'.join(path[:length])}/{named.strip()}" for length in range(len(path), 0, -1)]

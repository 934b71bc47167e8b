"""Overrides: prices of the user's own, from code or from a file."""

from __future__ import annotations

import json
import os
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from allowance.errors import ConfigurationError
from allowance.prices.figures import Refused
from allowance.prices.litellm_map import read_litellm_entry
from allowance.prices.price import Price
from allowance.prices.rates import RATES

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pydantic

__all__ = ["Overrides", "read_overrides"]

Overrides: TypeAlias = "Mapping[str, Price | Mapping[str, Any]] | str | os.PathLike[str]"
"""Prices by model, or the path of a JSON file of them. A price is a `Price`, its arguments, or an entry
as LiteLLM writes it (``input_cost_per_token``, ...)."""


def read_overrides(given: Overrides) -> dict[str, Price]:
    """Read overrides. A name may be a pattern of the shell's, such as ``"azure/my-*"``.

    Raises:
        ConfigurationError: names the file, the model, and what is wrong with its price.
    """
    if isinstance(given, (str, os.PathLike)):
        return _read_file(Path(given))
    items = getattr(given, "items", None)
    if items is None:
        raise ConfigurationError(
            f'prices= takes prices by model, {{"model": Price(...)}}, or a file, not {type(given).__name__}.'
        )
    return {name: _price(name, price, f"the price of {name!r}") for name, price in items()}


def _read_file(path: Path) -> dict[str, Price]:
    try:
        held = json.loads(path.read_bytes(), parse_float=Decimal)
    except OSError as error:
        raise ConfigurationError(f"the price file {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"the price file {path} is not JSON: {error}") from None
    if not isinstance(held, dict):
        raise ConfigurationError(
            f'the price file {path} must hold an object: {{"model": {{"input": "2.50"}}}}'
        )
    return {name: _price(name, price, f"{path}: the price of {name!r}") for name, price in held.items()}


def _price(name: object, given: object, what: str) -> Price:
    if not isinstance(name, str) or not name.strip():
        raise ConfigurationError(f"{what}: a model's name must be a text that is not empty")
    if isinstance(given, Price):
        price = given
    elif isinstance(given, dict) and any("_cost_per_" in str(key) for key in given):
        price = _from_litellm(name, given, what)
    else:
        entry = _checked(given, what)
        try:
            price = Price(**entry)
        except ConfigurationError as error:
            raise ConfigurationError(f"{what}: {error}") from None
    return price.named(model=price.model or name, rule="override", source=price.source or "override")


def _from_litellm(name: str, given: dict[str, Any], what: str) -> Price:
    try:
        entry = read_litellm_entry(name, given)
    except Refused as reason:
        raise ConfigurationError(f"{what}: {reason}") from None
    if entry is None:
        raise ConfigurationError(f"{what}: no rate that is known here is among its fields")
    return Price(**entry)


def _checked(given: object, what: str) -> dict[str, Any]:
    import pydantic

    try:
        read = _entry_model().model_validate(given)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "entry"
        if first["type"] == "extra_forbidden":
            known = ", ".join(sorted(RATES))
            raise ConfigurationError(f"{what}: it knows no {where!r}. The rates it knows: {known}") from None
        raise ConfigurationError(f"{what}: {where}: {first['msg']}") from None
    return read.model_dump(exclude_none=True)


@cache
def _entry_model() -> type[pydantic.BaseModel]:
    """The form of an entry: its words and their types. The figures themselves are judged by `Price`."""
    import pydantic

    strict = pydantic.ConfigDict(extra="forbid", strict=True)
    number = str | int | Decimal | float | None
    rates: dict[str, Any] = dict.fromkeys(sorted(RATES), (number, None))
    word: Any = (str | None, None)
    variant = pydantic.create_model(
        "Variant", __config__=strict, above=(int | None, None), hours=(list[str] | None, None),
        tier=word, size=word, quality=word, valid_from=word, valid_until=word, **rates,
    )  # fmt: skip
    return pydantic.create_model(
        "Price", __config__=strict, variants=(list[variant], []),  # type: ignore[valid-type]  # made above
        multipliers=(dict[str, str | int | Decimal | float] | None, None),
        max_input_tokens=(int | None, None), max_output_tokens=(int | None, None),
        provider=word, source=word, as_of=word, mode=word, **rates,
    )  # fmt: skip

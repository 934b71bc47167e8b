"""Settings: from code with `allowance.configure`, from the environment with ``ALLOWANCE_*``; code wins."""

from __future__ import annotations

import os
from pathlib import Path  # noqa: TC003  # pydantic reads the annotations
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from allowance.errors import ConfigurationError
from allowance.money import UNSET

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FROM_ENVIRONMENT", "Settings", "read_settings"]

FROM_ENVIRONMENT = (
    "store",
    "project",
    "catalogue",
    "prices",
    "on_unknown_model",
    "on_error",
    "on_store_error",
    "stream_usage",
    "warn_at",
    "hold_minutes",
    "journal_megabytes",
    "api_key",
    "allow_insecure",
)


class Settings(BaseModel):
    """What the default books are made of; each is an argument of `allowance.configure`.

    Attributes:
        store: a URL or a store object; None is the file in the user's state directory.
        project: whose users these are; projects share a store and never see each other's users.
        catalogue: a file that `allowance.prices.refresh` made, in place of the catalogue that is shipped.
        prices: prices of the user's own, by model (exact names, then globs), or a file of them.
        default_limit, default_duration, default_uncapped: terms for users that the store has never seen;
            the limit in US dollars. Without a default limit an unknown user is an error.
        on_unknown_model: ``"raise"``, ``"free"``, or a Price.
        on_error: ``"charge"`` or ``"release"`` a call that failed without telling whether it was billed.
        on_store_error: ``"closed"`` or ``"open"``: what a call does whose budget cannot be asked.
        stream_usage: ``"auto"`` asks streams of OpenAI's API for their usage, and keeps the chunk that the
            user did not ask for; ``"off"`` sends what the user wrote, and counts the text instead.
        warn_at: the part of a limit at which a ``threshold`` event is sent.
        on_event: one hook or several.
        counter: counts texts in place of a vocabulary: (model, texts) to tokens.
        hold_minutes: how long the hold of a process that died stands before it is charged: 3 at least, for
            the holds of living ones are renewed each minute.
        journal_megabytes: how much of what calls have cost is kept here for a hosted store or a database that
            does not answer; when it is full, further calls are refused until it does.
        api_key: the key for a hosted store; it is shown nowhere.
        allow_insecure: whether a hosted store may be spoken to without TLS on another machine than this one.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, frozen=True)

    store: Any = Field(default=None, repr=False)  # a URL may hold a password
    project: str = "default"
    catalogue: str | Path | None = None
    prices: Any = None
    default_limit: Any = UNSET
    default_duration: str | None = None
    default_uncapped: Literal["shrink", "clamp", "reserve", "refuse"] = "shrink"
    on_unknown_model: Any = "raise"
    on_error: Literal["charge", "release"] = "charge"
    on_store_error: Literal["closed", "open"] = "closed"
    stream_usage: Literal["auto", "off"] = "auto"
    warn_at: float = Field(default=0.8, gt=0, le=1, allow_inf_nan=False)
    on_event: Any = ()
    counter: Any = None
    hold_minutes: float = Field(default=15, ge=3, le=24 * 60, allow_inf_nan=False)
    journal_megabytes: float = Field(default=64, gt=0, le=10_000, allow_inf_nan=False)
    api_key: str | None = Field(default=None, repr=False)
    allow_insecure: bool = False

    @field_validator("warn_at", "hold_minutes", "journal_megabytes", mode="before")
    @classmethod
    def _no_bool(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("a number, not a bool")  # pydantic passes on ValueErrors
        return value


def read_settings(given: Mapping[str, Any], *, caller: str = "configure") -> Settings:
    """The settings: those given, then the environment's, then the defaults.

    ``caller`` is the function that they were given to, for the error's message.

    Raises:
        ConfigurationError: names the setting or the variable, and what it may be.
    """
    environment = {
        name: value for name in FROM_ENVIRONMENT if (value := os.environ.get(f"ALLOWANCE_{name.upper()}"))
    }
    try:
        return Settings(**{**environment, **given})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        where = (
            f"ALLOWANCE_{name.upper()}"
            if name in environment and name not in given
            else f"{caller}({name}=...)"
        )
        if first["type"] == "extra_forbidden":
            names = ", ".join(Settings.model_fields)
            raise ConfigurationError(f"{caller}() knows no {name!r}. It knows: {names}.") from None
        raise ConfigurationError(f"{where}: {first['msg']}.") from None

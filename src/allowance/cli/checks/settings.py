"""The settings in force, and where each comes from. No value is shown that could be a secret."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from allowance.cli.checks.check import Check
from allowance.config import FROM_ENVIRONMENT, Settings, read_settings
from allowance.errors import BudgetError, ConfigurationError
from allowance.money import to_nanos
from allowance.stores.open import default_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Setting", "cap_checks", "settings_check", "settings_in_force", "without_secrets"]

_BESIDES: Final = {"ALLOWANCE_DOWNLOAD_VOCABULARY": "1", "ALLOWANCE_INSTRUMENT": "1"}
"""Variables that are no settings of configure(), and what they are where they are not set."""

_KNOWN: Final = {f"ALLOWANCE_{name.upper()}" for name in FROM_ENVIRONMENT} | {
    *_BESIDES,
    "ALLOWANCE_MAX_BUDGET",
}


class Setting(NamedTuple):
    """One setting: its value as text, and whether it is the ``default``, or what it comes from."""

    name: str
    value: str
    origin: str


def settings_check(given: Mapping[str, Any]) -> tuple[Settings | None, list[Check]]:
    """The settings of this environment and what is wrong with them; None where they cannot be read.

    ``given`` are those of the command line, which come first.
    """
    checks = [
        Check(
            name,
            "note",
            "is set, and means nothing to allowance.",
            f"Is it misspelt? Known: {', '.join(sorted(_KNOWN))}.",
        )
        for name in sorted(os.environ)
        if name.startswith("ALLOWANCE_") and name not in _KNOWN
    ]
    try:
        return read_settings(given), checks
    except BudgetError as error:
        return None, [*checks, Check("settings", "problem", str(error), "Set it right, or unset it.")]


def settings_in_force(settings: Settings, given: Mapping[str, Any]) -> Iterator[Setting]:
    """Every setting that the environment may set, and its origin."""
    for name in FROM_ENVIRONMENT:
        value = getattr(settings, name)
        if name == "store":
            value = without_secrets(str(value)) if value is not None else default_url()
        elif name == "api_key":
            value = "none" if value is None else "set, and not shown"
        elif value is None:
            value = {"catalogue": "the shipped one", "prices": "none"}.get(name, "none")
        yield Setting(name, str(value), _origin(name, given))
    for variable, default in _BESIDES.items():
        origin = variable if variable in os.environ else "default"
        yield Setting(variable.removeprefix("ALLOWANCE_").lower(), os.environ.get(variable, default), origin)


def _origin(name: str, given: Mapping[str, Any]) -> str:
    if name in given:
        return f"--{name}"
    variable = f"ALLOWANCE_{name.upper()}"
    return variable if os.environ.get(variable) else "default"


def cap_checks() -> Iterator[Check]:
    """The process cap, which this command line inherits from the environment."""
    cap = os.environ.get("ALLOWANCE_MAX_BUDGET")
    if cap and (wrong := _no_amount(cap)):
        yield Check(
            "process cap",
            "problem",
            f"ALLOWANCE_MAX_BUDGET={cap[:40]!r}: {wrong}",
            "Programs that import allowance will not start. Set it to US dollars, such as 10, or unset it.",
        )
    elif cap:
        yield Check(
            "process cap",
            "note",
            f"ALLOWANCE_MAX_BUDGET={cap[:40]} counts each process by itself: N workers may spend N times it.",
            "For one cap over all of them, use a named budget in a store that they share.",
        )
    else:
        yield Check("process cap", "ok", "none (ALLOWANCE_MAX_BUDGET is not set)")


def _no_amount(text: str) -> str:
    """What is wrong with an amount; empty where nothing is."""
    try:
        to_nanos(text, what="it")
    except ConfigurationError as error:
        return str(error)
    return ""


def without_secrets(url: str) -> str:
    """A URL without the password and the query that it may carry."""
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", "")) if parts.netloc else url.partition("?")[0]
    except ValueError:
        return url.partition("://")[0] + "://..."

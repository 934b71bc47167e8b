"""Which calls an account counts: the globs that its terms give for models."""

from __future__ import annotations

import re
from fnmatch import translate
from functools import lru_cache
from typing import TYPE_CHECKING

from allowance.errors import ConfigurationError
from allowance.ledger.names import MAX_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from allowance.ledger.records import Terms

__all__ = ["applies", "check_models"]

_DATE = re.compile(r"[-@]20\d\d-?[01]\d-?[0-3]\d$")
"""The day at the end of a snapshot's name, as the vendors write it."""


def applies(terms: Terms, model: str | None) -> bool:
    """Whether an account with these terms counts a call of this model; None: a call that names none.

    The patterns are those of `fnmatch`, in any case. Each is tried on the whole name and on what follows
    each of its slashes, with the date at its end and without: ``"openai/gpt-4o-2024-08-06"`` fits
    ``"gpt-4o"``, ``"gpt-4o*"`` and ``"openai/*"``. A reply names the dated model where the call did not.
    """
    models = terms.models
    return not models or (model is not None and _fits(models, model))


def check_models(models: tuple[str, ...]) -> None:
    """Refuse patterns that are no tuple of text, blank, or longer than a name may be.

    Raises:
        ConfigurationError: for such patterns.
    """
    # By type, and not by kind: terms are compared, hashed and kept.
    if type(models) is not tuple or not all(type(pattern) is str for pattern in models):
        raise ConfigurationError(
            f'models must be a tuple of names or patterns, such as ("gpt-4o*",), not {models!r:.60}.'
        )
    for pattern in models:
        if not pattern.strip() or len(pattern) > MAX_NAME:
            raise ConfigurationError(
                f"A pattern for models must have 1 to {MAX_NAME} characters, not all of them blank; this is "
                f'{pattern!r:.60}. Use the name of a model or a pattern, such as "gpt-4o*".'
            )


@lru_cache(maxsize=4096)
def _fits(models: tuple[str, ...], model: str) -> bool:
    matches = _parse(models)
    name = model.lower()
    while not matches(name) and not matches(_DATE.sub("", name)):
        _, slash, name = name.partition("/")
        if not slash:
            return False
    return True


@lru_cache(maxsize=256)
def _parse(models: tuple[str, ...]) -> Callable[[str], object]:
    return re.compile("|".join(translate(pattern.lower()) for pattern in models)).match

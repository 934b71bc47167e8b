"""Pictures, speech, and calls whose input stands under no known name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from allowance.requests.content import add_content
from allowance.requests.fields import as_list

if TYPE_CHECKING:
    from allowance.requests.draft import Draft, Readers

__all__ = ["read_other", "read_pictures", "read_speech"]

_GUESSED: Final = "the input was guessed from the arguments: name it messages, or give request="


def read_pictures(draft: Draft, arguments: Mapping[str, Any]) -> None:
    """``images.generate`` and ``litellm.image_generation``: pictures are counted by ``choices``."""
    draft.read(arguments, _PICTURES)


def read_speech(draft: Draft, arguments: Mapping[str, Any]) -> None:
    """``audio.speech.create``: the text that is spoken."""
    draft.read(arguments, _SPEECH)


def read_other(draft: Draft, arguments: Mapping[str, Any]) -> None:
    """Every text among the arguments, lists and dicts included, is taken for the input."""
    for name, value in arguments.items():
        if name not in ("model", "self", "cls"):
            _add_texts(draft, value, 0)
    draft.messages = 1
    draft.read_cap(arguments, "max_tokens", "max_completion_tokens", "max_output_tokens")
    draft.unbound(_GUESSED)


def _add_texts(draft: Draft, value: object, depth: int) -> None:
    if isinstance(value, str):
        draft.texts.append(value)
        return
    items = as_list(value)
    if items is None and isinstance(value, Mapping):
        items = list(value.values())
    if items is not None:
        draft.count_part(depth)
        for item in items:
            _add_texts(draft, item, depth + 1)


def _n(draft: Draft, value: object) -> None:
    draft.set_choices(value, "n")


_PICTURES: Final[Readers] = {"prompt": add_content, "n": _n}
_SPEECH: Final[Readers] = {"input": add_content, "instructions": add_content}

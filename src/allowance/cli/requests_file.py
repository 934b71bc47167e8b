"""A call read from a file: a text, a list of messages, or a whole request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from allowance.cli.exits import BadInput
from allowance.cli.inputs import read_text
from allowance.requests import read

if TYPE_CHECKING:
    from allowance.requests import Request

__all__ = ["read_request"]

_INPUTS: Final = ("messages", "input", "contents", "prompt")
_FORMS: Final = (
    'A request is an object with "messages" (or "input", "contents", "prompt"), or a list of messages:\n'
    '[{"role": "user", "content": "..."}]'
)
_LARGEST: Final = 50_000_000


def read_request(path: str, model: str | None, *, as_text: bool = False) -> Request:
    """The request in a file, ``-`` for standard input; ``model`` comes before the one that it names.

    What begins with ``{`` or ``[`` is JSON, unless ``as_text`` says that it is a text.

    Raises:
        BadInput: it cannot be read, is no request, or names no model.
    """
    text = read_text(path)
    name = "standard input" if path == "-" else path
    if not text.strip():
        raise BadInput(f"{_begun(name)} is empty: there is nothing to quote.")
    if "\0" in text or len(text) > _LARGEST:
        raise BadInput(f"{_begun(name)} is no text, or is longer than {_LARGEST:,} characters.")
    if as_text or text.lstrip()[0] not in "[{":
        arguments: dict[str, Any] = {"messages": [{"role": "user", "content": text}]}
    else:
        arguments = _arguments(_parsed(text, name), name)
    if model:
        arguments["model"] = model
    if not isinstance(arguments.get("model"), str) or not arguments["model"].strip():
        raise BadInput("Name the model: --model gpt-4o")
    request = read(arguments)
    if request is None:
        raise BadInput(f"{_begun(name)} holds no request.\n{_FORMS}")
    return request


def _parsed(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput(
            f"{_begun(name)} is not JSON: {error.msg}, line {error.lineno}, column {error.colno}.\n"
            "If it is a text that only looks like JSON, add --text."
        ) from None
    except (RecursionError, ValueError):
        raise BadInput(
            f"{_begun(name)} is JSON that cannot be a request: it is nested too deeply, or has a number of "
            "thousands of digits."
        ) from None


def _arguments(held: Any, name: str) -> dict[str, Any]:
    if isinstance(held, dict) and "role" in held and "content" in held:
        held = [held]
    if isinstance(held, list):
        if not held or not all(isinstance(one, dict) and ("role" in one or "parts" in one) for one in held):
            raise BadInput(f"{_begun(name)} is a list, but not of messages.\n{_FORMS}")
        return {"contents" if any("parts" in one for one in held) else "messages": held}
    if not any(held.get(key) for key in (*_INPUTS, "extra_body")):
        raise BadInput(f"{_begun(name)} is an object, but no request.\n{_FORMS}")
    return dict(held)


def _begun(name: str) -> str:
    return name[:1].upper() + name[1:] if name == "standard input" else name

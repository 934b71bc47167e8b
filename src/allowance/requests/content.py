"""Content: text, or blocks of text, images, audio and files, in the shapes of all vendors.

OpenAI's, Anthropic's and LiteLLM's blocks carry their kind in ``type`` and do not clash, so one table
reads them all. A block that is not known counts as the JSON it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from allowance.requests.draft import Draft
from allowance.requests.fields import as_list, field, members
from allowance.requests.media import add_data, add_image_url, add_unknown, split_data_url

__all__ = ["add_content", "add_messages"]

# Values that steer a block, or name its kind, and are no text of the prompt.
_NO_TEXT: Final = frozenset(
    {"type", "cache_control", "detail", "format", "media_type", "annotations", "logprobs", "status"}
)

# Values that are content again: text, or a list of blocks.
_NESTED: Final = frozenset({"content", "text", "summary", "output", "parts"})

_ITERATOR: Final = "the messages are an iterator, which can be read only once: pass a list"


def add_messages(draft: Draft, messages: object) -> None:
    """Read a list of messages or items: their texts, and how many of them there are and carry a name."""
    items = messages if type(messages) is list else as_list(messages)
    if items is None:
        add_content(draft, messages, 0)
        return
    texts = draft.texts
    for message in items:
        named = message if type(message) is dict else members(message)
        if named is None:
            add_content(draft, message, 0)
        elif "type" in named:
            _add_block(draft, named, 0)
        else:
            for key, value in named.items():
                if type(value) is str:
                    texts.append(value)
                    if key == "name":
                        draft.names += 1
                elif value is not None:
                    _add_member(draft, key, value, 0)
    draft.messages += len(items)


def add_content(draft: Draft, value: object, depth: int = 0) -> None:
    """Read content wherever it stands: a text, a block, or any nesting of lists of them."""
    if isinstance(value, str):
        draft.texts.append(value)
        return
    if value is None:
        return
    if isinstance(value, (int, float)):
        draft.add_json(value)
        return
    draft.count_part(depth)
    items = as_list(value)
    if items is not None:
        for item in items:
            add_content(draft, item, depth + 1)
    elif hasattr(value, "__next__"):
        draft.unbound(_ITERATOR)
    else:
        named = members(value)
        if named is not None:
            _add_block(draft, named, depth + 1)


def _add_block(draft: Draft, block: Mapping[str, Any], depth: int) -> None:
    draft.count_part(depth)
    kind = block.get("type")
    reader = _BLOCKS.get(kind) if isinstance(kind, str) else None
    if reader is not None:
        draft.see_cache(block.get("cache_control"))
        reader(draft, block, depth)
        return
    for key, value in block.items():
        _add_member(draft, key, value, depth)


def _add_member(draft: Draft, key: object, value: object, depth: int) -> None:
    if key == "cache_control":
        draft.see_cache(value)
    if value is None or key in _NO_TEXT or str(key).startswith("_"):
        return
    if isinstance(value, str):
        draft.texts.append(value)
    elif key in _NESTED:
        add_content(draft, value, depth + 1)
    elif value != [] and value != {}:
        draft.add_json(value)


def _text(draft: Draft, block: Mapping[str, Any], depth: int) -> None:
    add_content(draft, block.get("text"), depth + 1)


def _image_url(draft: Draft, block: Mapping[str, Any], _depth: int) -> None:
    # Chat has {"image_url": {"url", "detail"}}, Responses {"image_url": "...", "detail"}.
    given = block.get("image_url")
    if isinstance(given, str) or given is None:
        add_image_url(draft, given, block.get("detail"))
    else:
        add_image_url(draft, field(given, "url"), field(given, "detail"))


def _media(mime: str) -> Callable[[Draft, Mapping[str, Any], int], None]:
    """A reader of Anthropic's blocks, whose ``source`` tells; LangChain writes the same values beside it."""

    def read(draft: Draft, block: Mapping[str, Any], depth: int) -> None:
        for label in ("title", "context"):
            add_content(draft, block.get(label), depth + 1)
        source = members(block.get("source")) or block
        kind = source.get("type")
        data = source.get("data") or source.get("base64")
        if kind == "text":
            add_content(draft, data, depth + 1)
        elif kind == "content":
            add_content(draft, source.get("content"), depth + 1)
        elif isinstance(source.get("url"), str):
            _addressed(draft, source["url"], mime)
        else:
            given = source.get("media_type") or source.get("mime_type")
            add_data(draft, given if isinstance(given, str) else mime, data)

    return read


def _addressed(draft: Draft, url: object, mime: str) -> None:
    carried = split_data_url(url) if isinstance(url, str) else None
    if carried is None:
        add_unknown(draft, mime)
    else:
        add_data(draft, carried[0] or mime, carried[1])


def _pointer(key: str, mime: str) -> Callable[[Draft, Mapping[str, Any], int], None]:
    """A reader of ``{"video_url": {"url": ...}}`` and its like."""

    def read(draft: Draft, block: Mapping[str, Any], _depth: int) -> None:
        given = block.get(key)
        _addressed(draft, given if isinstance(given, str) else field(given, "url"), mime)

    return read


def _input_audio(draft: Draft, block: Mapping[str, Any], _depth: int) -> None:
    audio = block.get("input_audio")
    kind = field(audio, "format")
    add_data(draft, f"audio/{kind if isinstance(kind, str) else ''}", field(audio, "data"))


def _file(draft: Draft, block: Mapping[str, Any], _depth: int) -> None:
    # Chat nests it under "file", Responses does not; both take a data URL or bare base64.
    file = members(block.get("file")) or block
    given = file.get("format")
    mime = given if isinstance(given, str) else "application/pdf"
    data = file.get("file_data")
    if isinstance(data, str) and data[:5].lower() != "data:":
        add_data(draft, mime, data)
    else:
        _addressed(
            draft, data if isinstance(data, str) else file.get("file_url") or file.get("file_id"), mime
        )


def _made_image(draft: Draft, block: Mapping[str, Any], _depth: int) -> None:
    add_data(draft, "image/png", block.get("result"))


Block: TypeAlias = Callable[[Draft, Mapping[str, Any], int], None]

_BLOCKS: Final[Mapping[str, Block]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "image_url": _image_url,
    "input_image": _image_url,
    "computer_screenshot": _image_url,
    "image_generation_call": _made_image,
    "image": _media("image/"),
    "document": _media("application/pdf"),
    "audio": _media("audio/"),
    "video": _media("video/"),
    "input_audio": _input_audio,
    "audio_url": _pointer("audio_url", "audio/"),
    "video_url": _pointer("video_url", "video/"),
    "file": _file,
    "input_file": _file,
}

"""How many tokens texts have: counted with a vocabulary, or bounded by their bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    import tiktoken

    from allowance.quotes.families import Family

__all__ = ["Count", "byte_length", "count_bytes", "count_texts", "count_tokens"]

PIECE: Final = 100_000
"""Characters that are encoded at once. tiktoken panics on a run of a million spaces."""

# A letter, then a space and a letter: both vocabularies cut there anyway, so a cut changes no count.
_CUT: Final = re.compile(r"(?<=[a-zA-Z])(?= [a-zA-Z])")
_LOOK_BACK: Final = 2_000

_BYTES_PER_TOKEN: Final = 3  # likely at least: English and code have four and more, few scripts have less


@dataclass(slots=True)
class Count:
    """Tokens of some texts.

    Attributes:
        bound: the most they can be, or an estimate on the safe side where ``estimated``.
        usual: what they likely are.
        estimated: whether ``bound`` rests on a family's factor.
    """

    bound: int = 0
    usual: int = 0
    estimated: bool = False


def byte_length(text: str) -> int:
    """The UTF-8 bytes of a text, which no byte-level vocabulary exceeds in tokens. Surrogates count three."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def count_bytes(texts: Iterable[str]) -> Count:
    """An upper bound for any model, without a vocabulary."""
    total = 0
    for text in texts:
        total += len(text) if text.isascii() else byte_length(text)
    return Count(total, -(-total // _BYTES_PER_TOKEN))


def count_texts(texts: Iterable[str], encoding: tiktoken.Encoding, family: Family) -> Count:
    """Each text counted: exactly for the vocabulary's own family, else times the family's factor.

    No text counts more than its bytes.
    """
    result = Count()
    for text in texts:
        tokens = count_tokens(encoding, text)
        if family.exact:
            result.bound += tokens
            result.usual += tokens
            continue
        if family.digits:
            tokens += -(-2 * sum(map(str.isdigit, text)) // 3)
        length = byte_length(text)
        bound = -(-tokens * family.factor // 100)
        result.bound += min(bound, length)
        result.usual += min(-(-tokens * family.usual // 100), length)
        result.estimated = result.estimated or bound < length
    return result


def count_tokens(encoding: tiktoken.Encoding, text: str) -> int:
    """Tokens of a text; special tokens in it count as the plain text they are. Never more than its bytes.

    Exact up to 100,000 characters, and beyond them where there are words to cut between; else the
    pieces are counted one by one, and their sum may be some tokens more.
    """
    if len(text) <= PIECE:
        return _count(encoding, text)
    total = 0
    start = 0
    while start < len(text):
        end = _cut(text, start)
        total += _count(encoding, text[start:end])
        start = end
    return total


def _cut(text: str, start: int) -> int:
    end = start + PIECE
    if end >= len(text):
        return len(text)
    last = end
    for found in _CUT.finditer(text, end - _LOOK_BACK, end):
        last = found.start()
    return last


def _count(encoding: tiktoken.Encoding, text: str) -> int:
    try:
        return len(encoding.encode(text, disallowed_special=()))
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException:  # noqa: BLE001  # tiktoken's panic is a BaseException; the bytes bound the count
        return byte_length(text)

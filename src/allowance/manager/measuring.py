"""What a call cost that was made elsewhere, and what one would cost."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

from allowance.calls.ask import quote
from allowance.calls.ids import new_id
from allowance.calls.settled import was_settled
from allowance.errors import ConfigurationError
from allowance.ledger.records import Posting, Scope
from allowance.replies import Tally, Usage, cached_reply, combine, is_stream, measure, model_of, reply_id
from allowance.requests import read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from allowance.calls.books import Books
    from allowance.ledger.records import AccountKey

__all__ = ["projection", "receipt"]


def projection(books: Books, model: str, messages: Any, call: Mapping[str, Any]) -> int:
    """Nano-dollars of a call: of its input, and where its output is capped of all that it may put out."""
    return quote(model=model, books=books, **{"messages": messages, **call}).floor


def receipt(
    books: Books,
    key: AccountKey,
    reply: Any,
    model: str | None,
    input_text: str | None,
    output_text: str | None,
) -> Posting | None:
    """What a call cost that was made elsewhere; None where a metered call has charged it to the user already.

    Raises:
        UnknownModelError: no price is known for its model.
        ConfigurationError: nothing tells what it cost.
    """
    usage, named, free = None, model, False
    if reply is not None:
        replies = _replies(reply)
        due = [one for one in replies if not was_settled(one.known_as, key, books.store)]
        if replies and not due:
            return None
        usage = combine(one.usage for one in due if not one.free)
        named = next((one.model for one in due if one.model is not None), model)
        free = usage is None and any(one.free for one in due)
    if usage is None and not free:
        usage = _counted(books, reply, model, input_text, output_text)
    amount = 0
    if usage is not None:
        named = usage.model or named
        amount = books.catalogue.cost(usage, model=model, unknown=books.policy.on_unknown_model)
    return Posting(
        new_id(),
        amount,
        (Scope(key, None, books.default_terms),),
        named,
        0 if usage is None else sum(one.input_tokens for one in (usage, *usage.parts)),
        0 if usage is None else sum(one.output_tokens for one in (usage, *usage.parts)),
        counted=usage is not None and usage.counted,
        reason="answered from a cache" if free else "",
    )


class _Reply(NamedTuple):
    """One reply: its usage, its model, what it is known by if it was charged, and whether it was free."""

    usage: Usage | None
    model: str | None
    known_as: object
    free: bool


def _replies(reply: Any) -> list[_Reply]:
    """The replies that `update_cost` was given: one, several in a list, or one as the list of its chunks."""
    if inspect.isawaitable(reply):
        raise ConfigurationError("This reply is not here yet: await it, and pass what comes back.")
    if is_stream(reply):
        raise ConfigurationError(
            "A stream tells at its end what it cost: read it, and pass the list of its chunks; or make the "
            "call inside budget(...), which follows streams by itself."
        )
    if not isinstance(reply, (list, tuple)):
        return [_Reply(measure(reply), model_of(reply), reply, cached_reply(reply))]
    if _are_chunks(reply):
        return [_joined(reply)]
    return [_Reply(measure(one), model_of(one), one, cached_reply(one)) for one in reply]


def _are_chunks(replies: Sequence[Any]) -> bool:
    """Whether these are the pieces of one reply, and not several replies.

    Of pieces some have no usage; or (Gemini's) all have, with one id, and only the last one is an end.
    """
    if any(measure(one) is None for one in replies):
        return True
    ids = {reply_id(one) for one in replies}
    return len(ids) == 1 and None not in ids and not all(map(_is_an_end, replies))


def _is_an_end(reply: object) -> bool:
    tally = Tally()
    tally.see(reply)
    return tally.finished


def _joined(chunks: Sequence[Any]) -> _Reply:
    tally = Tally()
    for chunk in chunks:
        tally.see(chunk)
    tally.end()
    usage = tally.usage()
    # By its id and its tokens a stream is known that a metered call has followed.
    tokens = (
        None
        if usage is None
        else {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens}
    )
    return _Reply(usage, tally.model, {"id": tally.reply_id, "usage": tokens}, free=False)


def _counted(
    books: Books, reply: object, model: str | None, input_text: str | None, output_text: str | None
) -> Usage:
    """The usage of a call of which the texts are known, and no more."""
    if reply is None and (input_text is None or output_text is None):
        raise ConfigurationError(
            "update_cost() needs the reply, or else all of model, input_text and output_text; a text may be "
            "empty."
        )
    if input_text is None or output_text is None:
        raise ConfigurationError(
            f"This {type(reply).__name__} carries no usage, so nothing tells what it cost; nothing was "
            "recorded. A stream's last chunk carries it, OpenAI's only with "
            'stream_options={"include_usage": True}: pass the list of all chunks. Or pass model, input_text '
            "and output_text too."
        )
    request = read({"model": model, "messages": [{"role": "user", "content": input_text}]})
    if request is None or not isinstance(model, str) or not all(map(_is_text, (input_text, output_text))):
        raise ConfigurationError(
            "update_cost() takes model, input_text and output_text together, each a str."
        )
    price = books.catalogue.find(model, provider=request.provider, unknown=books.policy.on_unknown_model)
    return Usage(
        model=model,
        input_tokens=books.quoting.quote(request, price).likely_input_tokens,
        output_tokens=books.quoting.count(request, (output_text,)),
        counted=True,
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str)

"""One metered call, from its reservation to its end, however it is made and whatever it gives back.

A `Call` serves a decorated function and an SDK's own function alike. Sync and async differ in two thin
edges only: `Call.run` and `Call.arun`.
"""

from __future__ import annotations

import logging
import sys
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from allowance.calls import lifeline, process
from allowance.calls.charge import Charge
from allowance.calls.edges import run as run_in_edge
from allowance.calls.failures import verdict
from allowance.calls.follow import stand_in
from allowance.calls.ids import made_here, owner
from allowance.calls.settled import remember, remember_id
from allowance.calls.stack import frames_in_force, push, suspend
from allowance.errors import ConfigurationError
from allowance.replies import Usage, cached_reply, is_pending, is_usage_alone, measure, texts_of, unmark_usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from allowance.calls.books import Books
    from allowance.calls.overrun import Watch
    from allowance.calls.sdk_call import Asking
    from allowance.calls.stack import Frame
    from allowance.replies import Tally
    from allowance.requests import Request

__all__ = ["Call"]

log = logging.getLogger("allowance")

LONG_TEXT = 100_000
"""Characters from which on a prompt is counted in a worker thread, so that an event loop goes on."""


class Call:
    """One call: who pays, what is held for it, what came back.

    Attributes:
        frame: the frame that is on the stack while the call's code runs.
        charge: its hold; None for a scope (a decorated function whose arguments name no model).
        owner: the process that makes it.
        request: what was asked for; None for a scope.
        tally: what was seen of a stream; None until there is one.
        sent: whether the provider may have got the request.
        watch: what gives its stream more from the budget as it runs; None where it needs none.
        asking: what asked for the stream's usage in the user's place; None where the user did, or nobody.
    """

    __slots__ = (
        "__weakref__",
        "asking",
        "books",
        "charge",
        "frame",
        "frames",
        "owner",
        "request",
        "sent",
        "tally",
        "watch",
    )

    def __init__(self, books: Books, frame: Frame, request: Request | None) -> None:
        self.books = books
        self.frame = frame
        self.owner = owner()
        self.request = request
        self.frames = (process.FRAME, *frames_in_force(), frame)
        self.charge: Charge | None = None
        self.tally: Tally | None = None
        self.sent = False
        self.asking: Asking | None = None
        self.watch: Watch | None = None

    # -- before ----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Reserve; raises what `Charge.reserve` raises, and then nothing is held.

        Raises:
            ConfigurationError: no budget applies to this call.
        """
        lifeline.catch_up()
        self._check_budget()
        if self.request is None:
            return
        charge = Charge(self.books, self.frames, self.request.model, self.request.provider)
        self.charge = charge  # before anything is held: whatever interrupts, the call's end finds it
        charge.reserve(self.request)
        self._began(charge)

    async def abegin(self) -> None:
        """`begin`, without blocking the event loop."""
        lifeline.catch_up()
        self._check_budget()
        if self.request is None:
            return
        charge = Charge(self.books, self.frames, self.request.model, self.request.provider)
        blocking = charge.blocking() or _is_long(self.request)
        reserve = partial(charge.reserve, self.request)
        undo = partial(charge.release, "cancelled before it was sent")
        self.charge = charge
        await run_in_edge(reserve, blocking=blocking, undo=undo)
        self._began(charge)

    def _check_budget(self) -> None:
        for frame in self.frames:
            if frame.payer is not None:
                return
        raise ConfigurationError(
            "This call has no budget: name a user in @budgeted(user=...), open a block with "
            "budget(...) around it, or set allowance.max_budget."
        )

    def _began(self, charge: Charge) -> None:
        self.frame.charge = weakref.ref(charge)
        lifeline.opened(charge.call_id, self)

    # -- the two edges ---------------------------------------------------------------------------------

    def run(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a plain function that was reserved for; its reply, or a stand-in that follows it."""
        self.sent = True
        handling = sys.exception()
        push(self.frame)
        try:
            reply = function(*args, **kwargs)
        except BaseException as error:
            self.failed(error, handling)
            raise
        finally:
            suspend(self.frame)
        return self.follow(reply)

    async def arun(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Await a coroutine function that was reserved for; its reply, or a stand-in that follows it."""
        self.sent = True
        handling = sys.exception()
        push(self.frame)
        try:
            reply = await function(*args, **kwargs)
        except BaseException as error:
            await self.aend(partial(self.failed, error, handling))
            raise
        finally:
            suspend(self.frame)
        return await self.afollow(reply)

    def end(self, end: Callable[[], None]) -> None:
        """Run one of the endings below, or have the lifeline do it, where a finalizer came upon our own code.

        A generator or a coroutine that is collected is closed: its ``with`` and ``finally`` run wherever
        the collector came, be it inside a store that this thread has locked (R13).
        """
        if isinstance(sys.exception(), GeneratorExit) and lifeline.is_interrupted():
            lifeline.later(end)
        else:
            end()

    async def aend(self, end: Callable[[], None]) -> None:
        """`end`, without blocking the event loop; a cancellation cannot stop it."""
        if isinstance(sys.exception(), GeneratorExit):
            self.end(end)  # a coroutine that is being closed may not wait any more
            return
        await run_in_edge(end, blocking=self.charge is not None and self.charge.blocking())

    def follow(self, reply: Any) -> Any:
        """Settle by what came back. What is not over yet comes back as a stand-in that settles later."""
        other = stand_in(reply, self)
        if other is not None:
            return other
        self.finished(reply)
        return reply

    async def afollow(self, reply: Any) -> Any:
        """`follow`, for a reply that was awaited."""
        other = stand_in(reply, self)
        if other is not None:
            return other
        await self.aend(partial(self.finished, reply))
        return reply

    def see(self, chunk: object) -> None:
        """Take note of a chunk of the stream."""
        if self.tally is not None:
            self.tally.see(chunk)

    def keeps(self, chunk: object) -> bool:
        """Whether a chunk of a stream is ours alone: it has the usage that the user did not ask for."""
        if self.asking is None or not self.asking.asked:
            return False
        if is_usage_alone(chunk):
            return True
        unmark_usage(chunk)
        return False

    # -- the endings: each is called from wherever the call ends, and only the first counts ---------------

    def finished(self, reply: object) -> None:
        """The call is over, and this is the reply."""
        if self.covered():
            return
        charge = self.charge
        if charge is None:
            self._charge_afterwards(reply)
        elif cached_reply(reply):
            charge.release("the reply came from a cache")
            remember(reply, charge.payees(), None)
        else:
            usage = measure(reply) or self._counted(None if is_pending(reply) else texts_of(reply))
            if usage is None:
                charge.settle_expected("the reply carries neither usage nor text")
            else:
                charge.settle(usage)
            remember(reply, charge.payees(), usage)

    def failed(self, error: BaseException, handling: BaseException | None = None) -> None:
        """The call raised this; the exception itself goes on to the caller, unchanged (R12).

        ``handling`` is what the caller was handling when it made the call.
        """
        if self.covered() or self.charge is None:
            return
        if verdict(error, handling) == "not billed":
            self.charge.release(f"not billed: {type(error).__name__}")
        elif self.books.policy.on_error == "release" and isinstance(error, Exception):
            self.charge.release(f"released by on_error: {type(error).__name__}")
        else:
            self.charge.settle_expected(f"unknown whether it was billed: {type(error).__name__}")

    def stream_ended(self, *, complete: bool) -> None:
        """The stream is over: at its end, or (not ``complete``) closed, broken, cancelled or dropped."""
        if self.covered():
            return
        charge, tally, usage = self.charge, self.tally, None
        if complete and tally is not None:
            tally.end()
        if charge is None:
            usage = None if tally is None else tally.known()
            if usage is not None:
                charge = self._post_afterwards(usage)
        elif not self.sent:
            charge.release("its stream was never begun")
        else:
            usage = None if tally is None else tally.usage()
            if usage is None and (self._billed_by_length() or (tally is not None and tally.background)):
                charge.settle_expected("its stream did not come to its end")
            else:
                usage = usage or self._seen()
                charge.settle(usage)
        if charge is not None and tally is not None:
            # Whoever puts the chunks together counts for himself what was kept from him.
            withheld = self.asking is not None and self.asking.asked
            remember_id(tally.reply_id, charge.payees(), None if withheld else usage)

    def stream_failed(self, error: BaseException, handling: BaseException | None = None) -> None:
        """The stream raised this: before its first chunk the call failed, after it what was seen counts."""
        seen = self.tally is not None and (self.tally.texts() or self.tally.known() is not None)
        if seen:
            self.stream_ended(complete=False)
        else:
            self.failed(error, handling)

    def lost(self) -> None:
        """Nobody will end this call: what was seen of its stream is charged, or its likely cost."""
        if self.tally is not None:
            self.stream_ended(complete=False)
        elif not self.covered() and self.charge is not None:
            if self.sent:
                self.charge.settle_expected("its reply was never looked at")
            else:
                self.charge.release("it was never sent")

    def __del__(self) -> None:
        # A finalizer may run anywhere, even inside a lock: it only leaves a note for the lifeline (R13).
        charge = getattr(self, "charge", None)
        if charge is not None and charge.is_open() and not charge.replaced and made_here(charge.call_id):
            lifeline.later(self.lost)

    def covered(self) -> bool:
        """Whether this call records nothing of its own: metered calls inside were charged, or are open."""
        if self.owner != owner():
            return True  # made before a fork: the parent's to record (R13)
        if not (self.frame.charged_inner or self.frame.open_inner > 0):
            return False
        if self.charge is not None:
            self.charge.release("the metered calls inside are charged")
        return True

    # -- measuring ---------------------------------------------------------------------------------------

    def _counted(self, texts: tuple[str, ...] | None) -> Usage | None:
        """Usage of a reply that carries none: the quote's input, and its text counted here.

        Of speech it is what was to be spoken. What is billed by its length no text tells.
        """
        if self.request is None or self._billed_by_length():
            return None
        quote = None if self.charge is None else self.charge.counted()
        if self.request.api == "speech" and quote is not None:
            return Usage(
                model=self.request.model,
                input_tokens=quote.likely_input_tokens,
                output_tokens=quote.output_tokens,
                audio_output_tokens=quote.output_tokens,
                characters=sum(map(len, self.request.texts)),
                counted=True,
            )
        if texts is None:
            return None
        output = self.books.quoting.count(self.request, texts)
        if quote is not None and quote.capped:
            output = min(output, quote.output_tokens)  # a vendor cannot have sent more
        return Usage(
            model=self.request.model,
            input_tokens=0 if quote is None else quote.likely_input_tokens,
            output_tokens=output,
            counted=True,
        )

    def _billed_by_length(self) -> bool:
        """Whether seconds or pages are billed, which no text of the reply tells."""
        return self.request is not None and self.request.api in ("transcription", "ocr", "video")

    def _seen(self) -> Usage:
        """What was seen of a stream that did not end: its stated figures, or its text counted, if more."""
        tally = self.tally
        texts = () if tally is None else tally.texts()
        if self.request is not None and self.request.choices == 1:
            texts = ("".join(texts),)  # a stream's pieces need not be whole tokens
        counted = self._counted(texts) or Usage(counted=True)
        known = None if tally is None else tally.known()
        if known is None:
            return counted
        return known._replace(
            input_tokens=known.input_tokens or counted.input_tokens,
            output_tokens=max(known.output_tokens, counted.output_tokens),
            counted=True,
        )

    def _charge_afterwards(self, reply: object) -> None:
        usage = None if cached_reply(reply) else measure(reply)
        if usage is not None:
            remember(reply, self._post_afterwards(usage).payees(), usage)

    def _post_afterwards(self, usage: Usage) -> Charge:
        _warn_afterwards()
        charge = Charge(self.books, self.frames, usage.model, usage.provider)
        charge.settle_afterwards(usage)
        return charge


def _is_long(request: Request) -> bool:
    return sum(map(len, request.texts)) > LONG_TEXT


_warned = False


def _warn_afterwards() -> None:
    global _warned
    if not _warned:
        _warned = True
        log.warning(
            "A call was charged only after it was made, because the arguments of the decorated function "
            "name no model: such a call cannot be refused in advance. Give budgeted() model=..., or "
            "request=..., or call an SDK that is metered. This is said once."
        )

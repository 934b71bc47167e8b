"""What an exception says about the bill (R12): was the call sent, and did the provider charge for it?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from allowance.errors import BudgetError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Verdict", "verdict"]

Verdict: TypeAlias = Literal["not billed", "unknown"]

# By name, because no SDK and no HTTP library is imported here: httpx and httpcore, requests and urllib3,
# aiohttp, botocore, and the standard library.
_NEVER_CONNECTED = frozenset(
    {
        "ConnectError",
        "ConnectTimeout",
        "PoolTimeout",
        "ConnectionRefusedError",
        "gaierror",
        "NewConnectionError",
        "NameResolutionError",
        "ConnectTimeoutError",
        "ClientConnectorError",
        "ConnectionTimeoutError",
        "EndpointConnectionError",
        "UnsupportedProtocol",
        "InvalidURL",
    }
)
_CUT_OFF = frozenset(
    {
        "Timeout",
        "TimeoutError",
        "APITimeoutError",
        "TimeoutException",
        "ReadTimeout",
        "WriteTimeout",
        "ReadError",
        "WriteError",
        "RemoteProtocolError",
        "ConnectionResetError",
        "BrokenPipeError",
        "ServerDisconnectedError",
        "ChunkedEncodingError",
        "IncompleteRead",
        "CancelledError",
    }
)


def verdict(error: BaseException, handling: BaseException | None = None) -> Verdict:
    """Whether a call that raised this was certainly not billed.

    Not billed are: our own refusals, calls whose connection was never made, calls that the provider
    answered with an HTTP error, and a TypeError of the call itself (its arguments do not fit the
    function, so it never ran). A timeout or a connection that was cut says nothing, whatever status an
    SDK makes up for it (LiteLLM gives its client-side timeouts a 408).

    ``handling`` is what the caller was handling when it made the call (``sys.exception()``): that says
    nothing of this call.
    """
    if isinstance(error, BudgetError):
        return "not billed"
    if isinstance(error, TypeError) and _never_ran(error):
        return "not billed"
    names: set[str] = set()
    status = False
    chain = list(_chain(error, handling))
    for link, beneath in zip(chain, [*chain[1:], None], strict=True):
        # LiteLLM's transport says ConnectError of a request that was cancelled, sent or not.
        if type(beneath).__name__ != "CancelledError":
            names.update(cls.__name__ for cls in type(link).__mro__)
        status = status or _http_status(link)
    if names & _NEVER_CONNECTED:
        return "not billed"
    if names & _CUT_OFF:
        return "unknown"
    return "not billed" if status else "unknown"


def _chain(error: BaseException, handling: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was made from: its causes, and contexts that an SDK wrapped."""
    seen = {id(handling)}
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        context = None if link.__suppress_context__ else link.__context__
        link = link.__cause__ or (context if _wrapped_by(link, context) else None)


def _wrapped_by(error: BaseException, context: BaseException | None) -> bool:
    """Whether ``context`` was caught where ``error`` comes from, not in code that went on to another call.

    ``try: primary() except OpenAIError: fallback()`` makes the first failure the context of the second,
    of which it says nothing. An SDK's own error is raised in the package that caught the one beneath.
    """
    if context is None or context.__traceback__ is None:
        return False
    caught_in = str(context.__traceback__.tb_frame.f_globals.get("__name__", ""))
    return caught_in.partition(".")[0] == type(error).__module__.partition(".")[0]


def _http_status(error: BaseException) -> bool:
    response = _attribute(error, "response")
    for holder in (error, response):
        for name in ("status_code", "code", "status"):
            status = _attribute(holder, name)
            if type(status) is int and 400 <= status <= 599:
                return True
    if isinstance(response, dict):  # botocore's ClientError
        metadata = response.get("ResponseMetadata")
        status = metadata.get("HTTPStatusCode") if isinstance(metadata, dict) else None
        return type(status) is int and status >= 400
    return False


def _attribute(holder: object, name: str) -> object:
    try:
        return getattr(holder, name, None)
    except Exception:  # noqa: BLE001  # a property may raise anything; the user's exception must go through
        return None


def _never_ran(error: TypeError) -> bool:
    """Whether the innermost code that ran is ours: the function was called wrongly and did not start."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("allowance.calls")

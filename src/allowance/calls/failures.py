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


def verdict(error: BaseException) -> Verdict:
    """Whether a call that raised this was certainly not billed.

    Not billed are: our own refusals, calls whose connection was never made, calls that the provider
    answered with an HTTP error, and a TypeError of the call itself (its arguments do not fit the
    function, so it never ran). A timeout or a connection that was cut says nothing, whatever status an
    SDK makes up for it (LiteLLM gives its client-side timeouts a 408).
    """
    if isinstance(error, BudgetError):
        return "not billed"
    if isinstance(error, TypeError) and _never_ran(error):
        return "not billed"
    names: set[str] = set()
    status = False
    for link in _chain(error):
        names.update(cls.__name__ for cls in type(link).__mro__)
        status = status or _http_status(link)
    if names & _NEVER_CONNECTED:
        return "not billed"
    if names & _CUT_OFF:
        return "unknown"
    return "not billed" if status else "unknown"


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _http_status(error: BaseException) -> bool:
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "code", "status"):
            status = getattr(holder, name, None)
            if isinstance(status, int) and not isinstance(status, bool) and 400 <= status <= 599:
                return True
    response = getattr(error, "response", None)  # botocore's ClientError keeps a dict
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return isinstance(status, int) and status >= 400
    return False


def _never_ran(error: TypeError) -> bool:
    """Whether the innermost code that ran is ours: the function was called wrongly and did not start."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("allowance.calls")

"""What a decorated function tells of its calls where it is an SDK's method, such as a client's ``create``.

`calls` knows no SDK: `allowance.sdks` says here whom to ask, for as long as the SDKs are metered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Callee", "callee_of", "tell_callees"]


class Callee(NamedTuple):
    """Who answers the calls of a function.

    Attributes:
        provider: in the catalogue's words, where the client tells; else None.
        is_scope: its ``model`` need not be a model's name (a Router's is a group of deployments): nothing is
            reserved for its calls, and the metered calls inside are charged.
    """

    provider: str | None = None
    is_scope: bool = False


UNKNOWN: Final = Callee()

_tell: Callable[[object], Callee | None] | None = None


def tell_callees(tell: Callable[[object], Callee | None] | None) -> None:
    """Ask ``tell`` about decorated functions from here on, or nobody."""
    global _tell
    _tell = tell


def callee_of(function: object) -> Callee:
    """Who answers this function's calls; of the user's own functions nobody knows."""
    found = None if _tell is None else _tell(function)
    return UNKNOWN if found is None else found

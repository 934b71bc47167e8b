"""Which lock a family of accounts is under."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from zlib import crc32

if TYPE_CHECKING:
    from allowance.ledger.records import AccountKey

__all__ = ["STRIPES", "stripe_of"]

STRIPES: Final = 1024
"""Locks that families share, each by the hash of its name. Part of the schema: all must agree.

A bounded number, so that no transaction, however large, can fill the server's table of locks.
"""


def stripe_of(key: AccountKey) -> int:
    """The lock of the key's family, whatever its label."""
    name = "\0".join(key[:3]).encode(
        "utf-8", "surrogatepass"
    )  # what cannot be kept is refused where it is kept
    return crc32(name) % STRIPES

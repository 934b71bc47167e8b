"""Protocol v1: how a ledger's verbs, records and errors travel as JSON. Pure: no sockets, no clock.

Both ends of a hosted budget stand on it: the client in `allowance.stores.hosted`, the server in
`allowance.server`. Amounts are whole nano-dollars and times whole microseconds, as in the ledger. A field
that is None, or has its usual value, is left out; fields that a reader does not know are passed over, so
that the two ends can be upgraded apart.
"""

from typing import Final

__all__ = ["PROTOCOL"]

PROTOCOL: Final = 1
"""The version of the protocol, the ``v1`` of its addresses."""

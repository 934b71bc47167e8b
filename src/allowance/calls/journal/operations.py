"""What must reach a store although nobody waits for it: a cost, or that a hold goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from allowance.errors import ConfigurationError, HoldConflictError
from allowance.money import to_usd

if TYPE_CHECKING:
    from allowance.ledger.records import Hold, Posting, Settlement
    from allowance.stores.base import Store

__all__ = ["LetGo", "Operation", "Post", "load"]


class Post(NamedTuple):
    """Post what a call cost."""

    posting: Posting

    @property
    def hold_id(self) -> str:
        """The id that it is about."""
        return self.posting.hold_id

    def perform(self, store: Store) -> Settlement:
        """Post it, under an id of its own where its hold was let go before: what was paid counts (R5).

        That is so after a release by hand, and where a call inside had taken the hold over in this store
        before another store refused it. The id is always the same one, so that a retry does not post twice.
        """
        try:
            return store.settle(self.posting)
        except HoldConflictError:
            return store.settle(self.posting._replace(hold_id=f"{self.posting.hold_id}-paid"))

    def dump(self) -> dict[str, Any]:
        """As JSON has it; `load` reads it."""
        from allowance.wire.records import dump_posting

        return {"op": "settle", "posting": dump_posting(self.posting)}

    def __str__(self) -> str:
        return f"${to_usd(self.posting.amount):f} of the call {self.posting.hold_id}"


class LetGo(NamedTuple):
    """Let a hold go: its call was not sent, or cost nothing."""

    hold_id: str
    reason: str = ""

    def perform(self, store: Store) -> Hold | None:
        """Release it."""
        return store.release(self.hold_id, reason=self.reason)

    def dump(self) -> dict[str, Any]:
        """As JSON has it; `load` reads it."""
        return {"op": "release", "hold_id": self.hold_id, "reason": self.reason}

    def __str__(self) -> str:
        return f"the release of the hold {self.hold_id}"


Operation: TypeAlias = Post | LetGo


def load(record: dict[str, Any]) -> Operation:
    """The operation of a record.

    Raises:
        ConfigurationError: it is none that this version knows.
    """
    from allowance.wire.fields import obj, text
    from allowance.wire.records import load_posting

    if record.get("op") == "settle":
        return Post(load_posting(obj(record.get("posting"), "posting")))
    if record.get("op") == "release":
        return LetGo(text(record, "hold_id"), text(record, "reason", ""))
    raise ConfigurationError(f"This version of allowance knows no operation {record.get('op')!r:.40}.")

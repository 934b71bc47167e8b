"""Changes by hand, and the line that each leaves in the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from allowance.errors import UnknownUserError
from allowance.server.views import seen_error
from allowance.wire.budgets import dump_account

if TYPE_CHECKING:
    from collections.abc import Callable

    from allowance.ledger.records import Account, AccountKey
    from allowance.server.key import Key
    from allowance.server.state import State
    from allowance.stores.base import Store

__all__ = ["audited"]

T = TypeVar("T")


def audited(state: State, by: Key, action: str, key: AccountKey, store: Store, work: Callable[[], T]) -> T:
    """Do it, and write down who did what to which budget, with its terms and figures before and after.

    Raises:
        UnknownUserError: there is no such budget; of other projects that know the user it names those alone
            that the key sees.
    """
    before = store.account(key)
    try:
        done = work()
    except UnknownUserError as error:
        raise seen_error(by, error) from None
    after = store.account(key)
    target = f"{key.kind} {key.name}" + (f" {key.label}" if key.label else "")
    state.audit(by.key_id, f"budget.{action}", target, _shown(before), _shown(after), project=key.project)
    return done


def _shown(account: Account | None) -> dict[str, Any] | None:
    if account is None:
        return None
    data = dump_account(account)
    return {name: data[name] for name in ("terms", "spent", "held", "extras") if name in data}

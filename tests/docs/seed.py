"""The store of the README's terminal sessions: a few users, what they have spent, and one open call."""

from __future__ import annotations

import json
import time
from pathlib import Path

from allowance import BudgetManager, cost_of
from allowance.ledger.records import AccountKey, Ask, Posting, Scope
from allowance.money import to_nanos

MINUTE = 60_000_000


def main() -> None:
    manager = BudgetManager("default")
    manager.create_budget(5, "alice", "monthly")
    manager.create_budget(2, "alice", "daily", label="day")
    manager.create_budget(20, "bob", "weekly")
    manager.create_budget(100, "red", "monthly", kind="team")
    spend(manager, "alice", "gpt-4o", 400_000, 30_000, "search")
    spend(manager, "alice", "gpt-4o-mini", 1_200_000, 200_000, "search")
    spend(manager, "bob", "claude-sonnet-4-5", 400_000, 60_000, "nightly")
    spend(manager, "bob", "gpt-4o", 3_000_000, 600_000, "nightly")
    hold(manager, "alice", 75_000_000)
    took_from_litellm()
    Path("prompt.txt").write_text("Write a poem about a ledger that always balances.\n")


def spend(manager: BudgetManager, user: str, model: str, into: int, out: int, tag: str) -> None:
    usage = {"prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out}
    amount = to_nanos(cost_of({"model": model, "choices": [], "usage": usage}))
    scopes = (Scope(AccountKey("default", "user", user)),)
    manager.store.settle(Posting(f"{user}-{model}", amount, scopes, model, into, out, tags=(tag,)))


def hold(manager: BudgetManager, user: str, amount: int) -> None:
    scopes = (Scope(AccountKey("default", "user", user)),)
    ask = Ask("3f9a61c2", scopes, amount, amount, amount, amount // 2, True, 15 * MINUTE, model="gpt-4o")
    manager.store.reserve(ask._replace(owner="worker-2:4711"))


def took_from_litellm() -> None:
    hour_ago = time.time() - 3600
    one = {
        "total_budget": 10,
        "duration": 1,
        "created_at": hour_ago,
        "last_updated_at": hour_ago,
        "current_cost": 0.0615,
        "model_cost": {"gpt-4": 0.06, "gpt-3.5-turbo": 0.0015},
    }
    Path("user_cost.json").write_text(json.dumps({"1234": one, "5678": {"total_budget": 10}}, indent=4))


main()

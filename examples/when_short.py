"""What can happen where a budget does not cover a call: it is refused, changed, or somebody grants more.

Run it with ``python examples/when_short.py``.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import allowance
from allowance import BudgetExceededError, BudgetManager, ask, clamp, downgrade
from endpoint import endpoint, post

Messages = list[dict[str, str]]
Reply = dict[str, Any]

QUESTION = [{"role": "user", "content": "Say in one sentence what a budget is good for."}]
SHORT = "0.0008"  # US dollars: less than the call below may cost

manager = BudgetManager("when-short", store="memory://")  # leaves nothing behind


def complete(messages: Messages, model: str = "gpt-4o", max_tokens: int = 100) -> Reply:
    return post({"model": model, "messages": messages, "max_tokens": max_tokens})


def boss(error: BudgetExceededError) -> Decimal:
    """Whoever may grant more: a person in a chat, a rule, a table. Here a rule: no more than a cent."""
    print(f"   {error.user} asks for {usd(error.projected - error.remaining)} more")
    return Decimal("0.002") if error.limit < Decimal("0.01") else Decimal(0)


def give_up(error: BudgetExceededError) -> None:
    """What is handed back in place of a reply: here None, and a line that says so."""
    print(f"   nothing fits any more: {error.user} has {usd(error.remaining)} left")


def main() -> None:
    print(f"Calls go to {endpoint().description}.")
    projected = allowance.quote(model="gpt-4o", messages=QUESTION, max_tokens=100).projected
    print(f"A call may cost {usd(projected)}. Each of these budgets has ${SHORT}.")

    print("\n1. By default the call is refused, and not sent.")
    refused = manager.budgeted("alice", limit=SHORT)(complete)
    try:
        refused(QUESTION)
    except BudgetExceededError as error:
        print(f"   {error}")

    print("\n2. downgrade: a cheaper model answers, and its price is charged.")
    cheaper = manager.budgeted("bob", limit=SHORT, on_exceeded=downgrade("gpt-4o-mini"))(complete)
    tell(cheaper(QUESTION))

    print("\n3. clamp: the model stays, and the reply ends where the money does.")
    shorter = manager.budgeted("carol", limit="0.0004", on_exceeded=clamp())(complete)
    tell(shorter(QUESTION))

    print("\n4. ask: somebody grants more, and the call goes on. The ledger keeps who and why.")
    granted = manager.budgeted("dora", limit=SHORT, on_exceeded=ask(boss, reason="the boss agreed"))(complete)
    tell(granted(QUESTION))
    for entry in manager.entries("dora"):
        print(f"   ledger: {entry.reason or f'{entry.model}, {usd(Decimal(entry.amount).scaleb(-9))}'}")

    print("\n5. In order: the cheaper model, then a shorter reply; a function has the last word.")
    ladder = [downgrade("gpt-4o-mini"), clamp(10), give_up]
    in_order = manager.budgeted("erin", limit="0.00009", on_exceeded=ladder)(complete)
    while (reply := in_order(QUESTION)) is not None:
        tell(reply)


def tell(reply: Reply) -> None:
    """Print which model answered, how much it said, why it ended, and what that cost."""
    tokens, ended = reply["usage"]["completion_tokens"], reply["choices"][0]["finish_reason"]
    cost = usd(allowance.cost_of(reply))
    print(f"   {reply['model']:11} said {tokens:2} tokens, finish_reason={ended!r:8} charged {cost}")


def usd(amount: Decimal) -> str:
    return f"${amount:.6f}"


if __name__ == "__main__":
    main()

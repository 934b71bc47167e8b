"""Cap a completion function in three ways: by a decorator, by a block, and for the whole process.

Run it with ``python examples/quickstart.py``.

It runs at once, with no key, no network and no SDK. With OPENAI_API_KEY set it makes real calls, to
OPENAI_BASE_URL where that is set too; they cost about a cent.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import allowance
from allowance import BudgetExceededError, budget, budgeted
from endpoint import endpoint, post

Messages = list[dict[str, str]]
Reply = dict[str, Any]

QUESTION = [{"role": "user", "content": "Say in one sentence what a budget is good for."}]


# A completion function like the one that you have already.
def complete(messages: Messages, model: str = "gpt-4o", max_tokens: int = 100) -> Reply:
    return post({"model": model, "messages": messages, "max_tokens": max_tokens})


# 1. A decorator with a user: this user's budget pays for each call. Amounts are US dollars.
ask_as_alice = budgeted(user="alice", limit="0.0025", duration="monthly")(complete)

# 2 and 3. A decorator without a user: whatever budget is in force around the call pays for it.
ask = budgeted()(complete)


def main() -> None:
    # Kept in memory, so that this example leaves nothing behind. Without this line budgets are kept in
    # a file in your state directory, which all processes of yours share and which outlives them.
    allowance.configure(store="memory://")
    print(f"Calls go to {endpoint().description}.")

    print("\n1. The decorator. Alice may spend $0.0025 a month.")
    call_until_refused(ask_as_alice)

    print("\n2. The block. Bob may spend $0.002 in all.")
    with budget("bob", limit="0.002") as bob:
        call_until_refused(ask)
    print(f"   bob     spent {usd(bob.spent)}      left {usd(bob.remaining)}")

    print("\n3. The process. It may spend $0.005 from its start to its end.")
    allowance.max_budget = "0.005"
    call_until_refused(ask)
    print(f"   process spent {usd(allowance.current_cost)}")


def call_until_refused(call: Callable[..., Reply]) -> None:
    """Make calls until one does not fit, and print what each was projected to cost, and did cost."""
    projected = allowance.quote(model="gpt-4o", messages=QUESTION, max_tokens=100).projected
    for number in range(1, 31):
        try:
            reply = call(QUESTION)
        except BudgetExceededError as error:
            print(f"   call {number:2} projected {usd(projected)}  refused, and not sent:")
            print(textwrap.indent(textwrap.fill(str(error), 90), "           "))
            return
        print(f"   call {number:2} projected {usd(projected)}  charged {usd(allowance.cost_of(reply))}")


def usd(amount: Decimal | None) -> str:
    return "no limit" if amount is None else f"${amount:.6f}"


if __name__ == "__main__":
    main()

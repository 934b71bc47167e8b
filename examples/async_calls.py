"""Ten calls at once on one budget: only as many are sent as fit, however they race.

Run it with ``python examples/async_calls.py``.

Each call holds its projected cost before it is sent, so calls in flight count too. What a call did not
use is free again once it has settled.
"""

from __future__ import annotations

import asyncio
from typing import Any

import allowance
from allowance import BudgetExceededError, budget, budgeted
from endpoint import endpoint, post

QUESTION = [{"role": "user", "content": "Say in one sentence what a budget is good for."}]


@budgeted()  # whatever budget is in force around the call pays for it
async def complete(
    messages: list[dict[str, str]], model: str = "gpt-4o", max_tokens: int = 100
) -> dict[str, Any]:
    body = {"model": model, "messages": messages, "max_tokens": max_tokens}
    return await asyncio.to_thread(post, body)


async def ask_ten_times() -> None:
    outcomes = await asyncio.gather(*[complete(QUESTION) for _ in range(10)], return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, BudgetExceededError)]
    broken = [outcome for outcome in outcomes if isinstance(outcome, Exception) and outcome not in refused]
    if broken:
        raise broken[0]
    print(f"   sent {len(outcomes) - len(refused)}, refused {len(refused)}")
    if refused:
        waiting = "yes" if refused[0].temporary else "no"
        print(f"   could a refused call fit once the open ones have settled? {waiting}")


async def main() -> None:
    allowance.configure(store="memory://")  # leaves nothing behind; the default is a file that lasts
    print(f"Calls go to {endpoint().description}.")

    async with budget("alice", limit="0.0049") as alice:
        for number in (1, 2, 3):
            print(f"\nRound {number}: ten calls at once, ${alice.remaining:.6f} left.")
            await ask_ten_times()
            print(f"   spent ${alice.spent:.6f} of ${alice.limit:.6f}, and ${alice.held:.6f} is held")


if __name__ == "__main__":
    asyncio.run(main())

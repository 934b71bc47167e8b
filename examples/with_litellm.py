"""Cap LiteLLM's completion, without a change to the code that calls it.

Install LiteLLM with ``pip install litellm``. Run it with ``python examples/with_litellm.py``.
"""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else LiteLLM fetches its prices at import

import allowance
from allowance import BudgetExceededError, budget, budgeted
from endpoint import endpoint

MESSAGES = [{"role": "user", "content": "Hey, how's it going"}]


def main() -> None:
    try:
        import litellm
    except ImportError:
        print("This example needs LiteLLM: pip install litellm")
        return
    allowance.configure(store="memory://")  # leaves nothing behind; the default is a file that lasts
    print(f"Calls go to {endpoint().description}.")
    where = {"api_base": endpoint().url, "api_key": endpoint().key}
    call: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES, "max_tokens": 100, **where}

    print("\n1. The function, decorated.")
    completion = budgeted(user="1234", limit=1)(litellm.completion)
    response = completion(**call)
    print(f"   cost ${allowance.cost_of(response):.6f}")

    print("\n2. Every call in a block, streaming too.")
    with budget("alice", limit=1) as alice:
        for _ in litellm.completion(**call, stream=True):
            pass
    print(f"   cost ${alice.cost:.6f}")

    print("\n3. The whole process.")
    allowance.max_budget = "0.003"
    try:
        for number in range(1, 31):
            litellm.completion(**call)
            print(f"   call {number}: the process has spent ${allowance.current_cost:.6f}")
    except BudgetExceededError as error:
        print(f"   {error}")


if __name__ == "__main__":
    main()

"""A streamed reply is charged once, when it ends: read to the end, or left in the middle.

Run it with ``python examples/streaming.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import allowance
from allowance import BudgetExceededError, Event, budget, budgeted
from endpoint import endpoint, stream

QUESTION = [{"role": "user", "content": "Say in one sentence what a budget is good for."}]


def on_event(event: Event) -> None:
    """Tell what happens to the budget: a hook for logs and metrics."""
    print(f"   {event.kind:9} ${event.amount:.6f}")


@budgeted(on_event=on_event)
def tell(
    messages: list[dict[str, str]], model: str = "gpt-4o", max_tokens: int = 100
) -> Iterator[dict[str, Any]]:
    yield from stream({"model": model, "messages": messages, "max_tokens": max_tokens})


def text_of(chunk: dict[str, Any]) -> str:
    """The piece of text in a chunk; the last ones have none."""
    text: str = chunk["choices"][0]["delta"].get("content", "") if chunk["choices"] else ""
    return text


def main() -> None:
    allowance.configure(store="memory://")  # leaves nothing behind; the default is a file that lasts
    print(f"Calls go to {endpoint().description}.")

    with budget("alice", limit="0.0017") as alice:
        print("\nRead to its end, it costs what its usage says.")
        words = "".join(text_of(chunk) for chunk in tell(QUESTION)).split()
        print(f"   {len(words)} words, spent ${alice.spent:.6f}")

        print("\nLeft in the middle, it costs its input and the output seen so far.")
        before = alice.spent
        chunks = tell(QUESTION)
        words = "".join(text_of(next(chunks)) for _ in range(10)).split()
        del chunks
        print(f"   {len(words)} words, spent ${alice.spent - before:.6f}")

        print("\nWhat does not fit is refused at its first chunk, and not sent.")
        try:
            while True:
                for _ in tell(QUESTION):
                    pass
        except BudgetExceededError as error:
            print(f"   {error}")


if __name__ == "__main__":
    main()

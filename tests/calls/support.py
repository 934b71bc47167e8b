"""What the tests of calls share: messages, figures, stores that fail or tell the time they are told."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import allowance
from allowance.errors import BudgetExceededError, StoreUnavailableError
from allowance.ledger.records import AccountKey, Entry
from allowance.stores.base import Store
from allowance.stores.memory import MemoryStore

ROOT = Path(__file__).parents[2]
PROJECT = "tests"

MESSAGES = [{"role": "user", "content": "hello there"}]
CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES, "max_tokens": 50}
CLAUDE: dict[str, Any] = {"model": "claude-sonnet-4-5", "messages": MESSAGES, "max_tokens": 50}
GEMINI: dict[str, Any] = {
    "model": "gemini-2.5-pro",
    "contents": "hello there",
    "config": {"max_output_tokens": 50},
}

GPT_4O_IN, GPT_4O_OUT = 2_500, 10_000
"""Nano-dollars a token, as OpenAI published them."""
SONNET_IN, SONNET_OUT = 3_000, 15_000
GEMINI_PRO_IN, GEMINI_PRO_OUT = 1_250, 10_000

CALL = 10 * GPT_4O_IN + 5 * GPT_4O_OUT
"""What one call costs when the provider answers by default: 10 tokens in, 5 out."""
SONNET_CALL = 10 * SONNET_IN + 5 * SONNET_OUT
GEMINI_CALL = 10 * GEMINI_PRO_IN + 5 * GEMINI_PRO_OUT

HELD = 9 * GPT_4O_IN + 50 * GPT_4O_OUT
"""What CHAT holds: "hello there" is 2 tokens and the chat format's 7, and 50 may come back."""


def usd(nanos: int) -> Decimal:
    """Nano-dollars as the dollars that users see."""
    return Decimal(nanos) / 1_000_000_000


def reply(into: int = 10, out: int = 5, *, model: str = "gpt-4o") -> dict[str, Any]:
    """A reply as a plain dict, of the default call's cost."""
    usage = {"prompt_tokens": into, "completion_tokens": out}
    message = {"role": "assistant", "content": "hi"}
    return {"model": model, "choices": [{"index": 0, "message": message}], "usage": usage}


def thousand_tokens() -> dict[str, Any]:
    """The arguments of a call of exactly 1,000 tokens in and 1,000 out: 0.0125 US dollars of gpt-4o."""
    messages = [{"role": "user", "content": "hello" + " hello" * 992}]
    arguments = {"model": "gpt-4o", "messages": messages, "max_tokens": 1000}
    quote = allowance.quote(**arguments)
    assert (quote.input_tokens, quote.output_tokens, quote.amount) == (1000, 1000, 12_500_000)
    assert quote.bound
    return arguments


def key(user: str, kind: str = "user") -> AccountKey:
    return AccountKey(PROJECT, kind, user)


def books(store: Store, user: str) -> tuple[int, int]:
    """What is spent and held on a user's budget, and the proof that it adds up (R2)."""
    assert store.audit() == []
    account = store.account(key(user))
    assert account is not None
    assert account.spent == sum(entry.amount for entry in store.entries(account.key))
    return account.spent, account.held


def lines(store: Store, user: str) -> list[Entry]:
    return list(store.entries(key(user)))


class Clock:
    """A store's clock that tells what it is told."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000_000

    def __call__(self) -> int:
        return self.now

    def forward(self, *, minutes: float = 0, days: float = 0) -> None:
        self.now += round((minutes + days * 24 * 60) * 60_000_000)


class Flaky(MemoryStore):
    """A memory store that can be taken down, in whole or by the verb; it is asked like a file."""

    rank = 1

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.down: set[str] = set()
        self.asked: list[str] = []

    def _reach(self, verb: str) -> None:
        self.asked.append(verb)
        if verb in self.down or "all" in self.down:
            raise StoreUnavailableError(f"The store was taken down for {verb}.", retry_after=1)

    def reserve(self, ask: Any) -> Any:
        self._reach("reserve")
        return super().reserve(ask)

    def settle(self, posting: Any) -> Any:
        self._reach("settle")
        return super().settle(posting)

    def release(self, hold_id: str, *, reason: str = "") -> Any:
        self._reach("release")
        return super().release(hold_id, reason=reason)

    def renew(self, hold_ids: Any, ttl: int) -> None:
        self._reach("renew")
        super().renew(hold_ids, ttl)

    def define(self, key: AccountKey, terms: Any, *, declared: bool = False) -> Any:
        self._reach("define")
        return super().define(key, terms, declared=declared)

    def account(self, key: AccountKey) -> Any:
        self._reach("account")
        return super().account(key)


def race(call: Callable[[], Any], callers: int = 50) -> Counter[str]:
    """Run it in so many plain threads that start at once; how many calls were sent, and how many refused."""
    outcomes: list[str] = []
    barrier = threading.Barrier(callers)

    def run() -> None:
        barrier.wait()
        outcomes.append(outcome(call))

    threads = [threading.Thread(target=run) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(outcomes)


def outcome(call: Callable[[], Any]) -> str:
    """Make a call: it is sent or refused."""
    try:
        call()
    except BudgetExceededError:
        return "refused"
    return "sent"


def python(code: str, **environment: str) -> str:
    """Run a script in a process of its own; its output, or an AssertionError with its errors."""
    home = environment.pop("HOME", os.environ["HOME"])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, "HOME": home, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout

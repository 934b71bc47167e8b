"""What the processes of `test_postgres_processes` and of the proof do.

    python -m tests.stores.postgres_worker URL THREADS PAIRS SEED BUDGETS

Threads reserve and settle on budgets taken in random order, and write what they were told.
"""

from __future__ import annotations

import random
import sys
import threading
import uuid
from typing import TYPE_CHECKING

from allowance.errors import StoreUnavailableError
from allowance.ledger.records import AccountKey, Ask, Declaration, Denial, Posting, Scope
from allowance.stores.postgres import PostgresStore

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 2_000
KEYS = [AccountKey("p", "user", f"u{number:02}") for number in range(20)]
TERMS = Declaration(limit=LIMIT, creates=True)


def work(store: PostgresStore, say: Callable[[str], None], pairs: int, seed: str, budgets: int) -> None:
    """Call after call: ``G id amount`` when a hold was granted, ``S id amount`` when it was settled."""
    dice = random.Random(seed)
    for _ in range(pairs):
        keys = dice.sample(KEYS[:budgets], dice.randint(1, min(8, budgets)))
        hold_id, amount = str(uuid.uuid4()), dice.randint(1, 30)
        scopes = tuple([Scope(key, TERMS) for key in keys])
        ask = Ask(hold_id, scopes, amount, amount, amount, amount, True, 900_000_000, None, "m")
        try:
            outcome = store.reserve(ask)
            if isinstance(outcome, Denial):
                say(f"D {hold_id} {amount}")
                continue
            say(f"G {hold_id} {amount}")
            cost = dice.randint(0, amount)
            store.settle(Posting(hold_id, cost, model="m"))
            say(f"S {hold_id} {cost}")
        except StoreUnavailableError as error:
            say(f"E {type(error.__cause__).__name__}")


def main(url: str, threads: int, pairs: int, seed: str, budgets: int) -> None:
    """Run the threads to their end."""
    store = PostgresStore(url, pool_size=threads)
    lock = threading.Lock()

    def say(line: str) -> None:
        with lock:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    running = [
        threading.Thread(target=work, args=(store, say, pairs, f"{seed}-{number}", budgets))
        for number in range(threads)
    ]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))

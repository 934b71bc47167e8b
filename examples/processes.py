"""One budget for all the workers of a pool: processes that share a file never overspend together.

Run it with ``python examples/processes.py``.

No budget is handed on to another process: a forked worker inherits whatever block happened to be open when
it was made, and a spawned one nothing. So the block is opened in the job, by the user's name, and workers are
made outside every block. What they share is the file: each call is reserved there before it is sent.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import allowance
from allowance import BudgetExceededError, Price, budget
from endpoint import endpoint, post

WORKERS = 8
JOBS = 24
QUESTION = [{"role": "user", "content": "Say in one sentence what a budget is good for."}]

# A price of our own, so that an answer of 40 tokens costs a cent and a quarter, and eight of them a dime.
PRICES = {"gpt-4o": Price(input=0, output="312.5")}


@allowance.budgeted()  # whatever budget is in force around the call pays for it
def complete(messages: list[dict[str, str]], model: str = "gpt-4o", max_tokens: int = 40) -> dict[str, Any]:
    return post({"model": model, "messages": messages, "max_tokens": max_tokens})


def set_up(file: str) -> None:
    """What each process does once. (With ALLOWANCE_STORE in the environment there is nothing to do.)"""
    allowance.configure(store=f"sqlite:///{file}", prices=PRICES)


def job(user: str) -> str:
    """What a worker does. The block is opened here, in the process that makes the call."""
    with budget(user, limit="0.10"):
        try:
            complete(QUESTION)
        except BudgetExceededError:
            return "refused"
        return "sent"


def work(file: str, user: str, outcomes: Any) -> None:
    set_up(file)
    for _ in range(JOBS // WORKERS):
        outcomes.put(job(user))


def in_a_pool(file: str, user: str) -> Counter[str]:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, mp_context=spawn, initializer=set_up, initargs=(file,)) as pool:
        return Counter(pool.map(job, [user] * JOBS))


def in_processes(file: str, user: str) -> Counter[str]:
    fork = multiprocessing.get_context("fork")
    outcomes = fork.SimpleQueue()
    workers = [fork.Process(target=work, args=(file, user, outcomes)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    told = Counter(outcomes.get() for _ in range(JOBS))
    for worker in workers:
        worker.join()
    return told


def main() -> None:
    print(f"Calls go to {endpoint().description}.")
    os.environ.update(OPENAI_BASE_URL=endpoint().url, OPENAI_API_KEY=endpoint().key)  # the workers' too
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "budgets.db")
        set_up(file)
        tell("A pool of spawned workers", in_a_pool(file, "alice"), "alice")
        if "fork" in multiprocessing.get_all_start_methods():  # Windows does not
            tell("Forked processes", in_processes(file, "ben"), "ben")


def tell(how: str, outcomes: Counter[str], user: str) -> None:
    print(f"\n{how}: {WORKERS} of them, {JOBS} jobs, and a dime for all.")
    print(f"   sent {outcomes['sent']}, refused {outcomes['refused']}")
    with budget(user) as spent:
        print(f"   {user} spent ${spent.spent:.4f} of ${spent.limit:.4f}")


if __name__ == "__main__":
    main()

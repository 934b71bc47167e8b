"""Many machines, one budget: a server keeps it, and what calls cost reaches it though it is away meanwhile.

Run it with ``python examples/hosted.py``; it needs ``pip install 'allowance[server]'``.

Here the server runs on this machine, and processes stand for the others. Each knows its URL and a key, from
``ALLOWANCE_STORE`` and ``ALLOWANCE_API_KEY``; nothing in their code says that the budget lies elsewhere.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import allowance
from allowance import BudgetExceededError, Price, StoreUnavailableError, budget
from endpoint import endpoint, post

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MACHINES = 3
CALLS = 12
QUESTION = [{"role": "user", "content": "Say in one sentence what a budget is good for."}]

# A price of our own, so that an answer of 40 tokens costs a cent and a quarter, and eight of them a dime.
PRICES = {"gpt-4o": Price(input=0, output="312.5")}


@allowance.budgeted()  # whatever budget is in force around the call pays for it
def complete(messages: list[dict[str, str]], model: str = "gpt-4o", max_tokens: int = 40) -> dict[str, Any]:
    return post({"model": model, "messages": messages, "max_tokens": max_tokens})


def set_up() -> None:
    """What each machine does once. The store and the key come from the environment."""
    allowance.configure(prices=PRICES)


def job(user: str) -> str:
    """What a machine does."""
    with budget(user, limit="0.10"):
        try:
            complete(QUESTION)
        except BudgetExceededError:
            return "refused"
        return "sent"


@contextmanager
def server(folder: str, port: int = 0) -> Iterator[dict[str, Any]]:
    """``allowance serve``, and what it says when it has started: its URL, and the first time an admin key."""
    command = [sys.executable, "-m", "allowance", "serve", "--json", "--port", str(port)]
    command += ["--store", f"sqlite:///{folder}/budgets.db"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            told = ""
            while not told.rstrip().endswith("}"):
                assert process.stdout is not None
                told += process.stdout.readline() or sys.exit("The server did not start.")
            yield json.loads(told)
        finally:
            process.kill()  # as hard as it gets


@allowance.budgeted()
def complete_while(
    messages: list[dict[str, str]],
    meanwhile: Callable[[], object],
    model: str = "gpt-4o",
    max_tokens: int = 40,
) -> dict[str, Any]:
    reply = post({"model": model, "messages": messages, "max_tokens": max_tokens})
    meanwhile()
    return reply


def main(folder: str) -> None:
    print(f"Calls go to {endpoint().description}.")
    with ExitStack() as serving:
        started = serving.enter_context(server(folder))
        os.environ["ALLOWANCE_STORE"] = started["url"]
        os.environ["ALLOWANCE_API_KEY"] = started["admin_key"]  # a program's own: allowance keys add
        with ProcessPoolExecutor(
            MACHINES, mp_context=multiprocessing.get_context("spawn"), initializer=set_up
        ) as machines:
            outcomes = Counter(machines.map(job, ["alice"] * CALLS))
        print(f"\n1. {MACHINES} machines make {CALLS} calls on one budget of a dime:")
        print(f"   sent {outcomes['sent']}, refused {outcomes['refused']}")

        set_up()
        with budget("bob", limit=1) as bob:
            complete_while(QUESTION, serving.close)
        print("\n2. The server goes away in the midst of a call:")
        print(f"   the answer came; ${bob.spent:.4f} is counted, and what it cost waits on disk")

    with server(folder, urlsplit(started["url"]).port or 0):
        while not bob.spent:
            time.sleep(0.1)
            with suppress(StoreUnavailableError):  # it is not asked again at once
                bob.refresh()
        print(f"   the server is back: ${bob.spent:.4f}")


if __name__ == "__main__":
    logging.getLogger("allowance").setLevel(logging.ERROR)  # it would tell of the server's absence
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["XDG_STATE_HOME"] = scratch  # leaves nothing behind; the default is the user's own
        main(scratch)

"""Proof: processes of many threads spend one hosted budget, cold, over a network that fails: each call once.

::

    python -m tests.proofs.hosted_faults [--whole] [--postgres] [calls = 25] [processes = 4] [threads = 64]

Two rounds on a real ``allowance serve`` with a file store, or on PostgreSQL: over a network that works, and
over one that does something to 30 % of all requests (see `tests.faults`), delays beyond the client's deadline
among them. The threads ask the store themselves, and ask again what was not answered; with ``--whole`` they
make decorated calls and calls in blocks instead, and the library's journal does the rest. After each round:
nothing overspent, every call that was made is in the ledger once with its true amount, nothing else is, no
hold is left, and the books balance.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from allowance import BudgetManager
from allowance.calls import journal
from allowance.errors import BudgetExceededError, StoreUnavailableError
from allowance.ledger.records import AccountKey, Ask, Declaration, Denial, Posting, Scope
from allowance.stores.base import Store
from allowance.stores.hosted import HostedStore
from tests.faults import faulty
from tests.postgres import fresh_database
from tests.server.running import running

__all__ = ["Storm", "check", "storm"]

ALICE: Final = AccountKey("proof", "user", "alice")
MOST: Final = 1000
"""Nano-dollars that a call holds at most; it costs half of what it holds, on average."""

INPUT, OUTPUT, CAP = 2_500, 10_000, 50
"""Nano-dollars a token of gpt-4o, and the most tokens of a reply, in calls through the whole library."""

PATIENCE: Final = 300


@dataclass
class Storm:
    """What the clients say happened. ``unsure`` are reserves to which no answer came; they were released.

    Calls through the whole library (``whole``) are known by their tags, others by the ids of their holds.
    """

    limit: int
    whole: bool = False
    settled: dict[str, int] = field(default_factory=dict)
    denied: int = 0
    unsure: int = 0
    again: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


def storm(
    url: str, key: str, *, processes: int, threads: int, calls: int, seed: int = 1, whole: bool = False
) -> Storm:
    """Let them loose on one budget that nobody has made yet, and that has room for half of the calls."""
    with tempfile.TemporaryDirectory() as home:
        most = 10 * INPUT + CAP * OUTPUT if whole else MOST // 2
        limit = processes * threads * calls * most // 4
        command = [sys.executable, "-m", "tests.proofs.hosted_faults", "--worker", url, str(int(whole))]
        workers = [
            subprocess.Popen(
                [*command, *map(str, (threads, calls, limit, seed * 100 + number))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "XDG_STATE_HOME": home},
                text=True,
            )
            for number in range(processes)
        ]
        found = _gathered(workers, key, Storm(limit, whole))
        assert list(Path(home).rglob("*.journal")) == []
        return found


def _gathered(workers: list[subprocess.Popen[str]], key: str, found: Storm) -> Storm:
    pipes = [(worker.stdin, worker.stdout) for worker in workers]
    try:
        for stdin, stdout in pipes:
            assert stdin is not None
            assert stdout is not None
            stdin.write(f"{key}\n")
            stdin.flush()
            assert stdout.readline() == "ready\n"
        began = time.monotonic()
        for stdin, _ in pipes:
            assert stdin is not None
            stdin.write("go\n")
            stdin.flush()
        for _, stdout in pipes:
            assert stdout is not None
            part = json.loads(stdout.readline())
            assert not found.settled.keys() & part["settled"].keys()
            found.settled |= part["settled"]
            found.denied += part["denied"]
            found.unsure += part["unsure"]
            found.again += part["again"]
            for reason, times in part["reasons"].items():
                found.reasons[reason] = found.reasons.get(reason, 0) + times
        found.seconds = time.monotonic() - began
        return found
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def check(store: Store, found: Storm) -> None:
    """Whether the ledger says the same."""
    entries = list(store.entries())
    names = ["".join(entry.tags) if found.whole else entry.hold_id for entry in entries]
    times = Counter(names)
    assert max(times.values()) == 1, times.most_common(3)
    assert {name: entry.amount for name, entry in zip(names, entries, strict=True)} == found.settled
    assert list(store.holds()) == []
    account = store.account(ALICE)
    assert account is not None
    assert (account.spent, account.held) == (sum(found.settled.values()), 0)
    assert account.spent <= found.limit
    assert store.audit() == []


# -- one client process ------------------------------------------------------------------------------


class _Client:
    def __init__(self, store: Store, calls: int, limit: int, seed: int) -> None:
        self._store = store
        self._calls = calls
        self._seed = seed
        self._scope = Scope(ALICE, Declaration(limit=limit, creates=True))
        self.found = Storm(limit)
        self._lock = threading.Lock()

    def work(self, number: int, together: threading.Barrier) -> None:
        """One thread's calls."""
        dice = random.Random(self._seed * 1000 + number)
        unsure: list[str] = []
        together.wait()
        for turn in range(self._calls):
            hold_id, amount = f"{self._seed}-{number}-{turn}", dice.randint(1, MOST)
            ask = Ask(hold_id, (self._scope,), *(amount,) * 4, bounded=True, ttl=3600 * 10**6)
            try:
                outcome = self._store.reserve(ask)
            except StoreUnavailableError as error:
                unsure.append(hold_id)  # the call is not made; whether anything is held for it is not known
                self._note(error)
                continue
            if isinstance(outcome, Denial):
                with self._lock:
                    self.found.denied += 1
                continue
            posting = Posting(hold_id, dice.randint(0, amount), model="m")
            self._insist(lambda posting=posting: self._store.settle(posting))  # type: ignore[misc]  # bound now
            with self._lock:
                self.found.settled[hold_id] = posting.amount
        for hold_id in unsure:
            self._insist(lambda hold_id=hold_id: self._store.release(hold_id))  # type: ignore[misc]  # bound now
        with self._lock:
            self.found.unsure += len(unsure)

    def finish(self) -> None:
        """Nothing is left to be done."""
        self._store.close()

    def _note(self, error: StoreUnavailableError) -> None:
        reason = str(error).partition(" ")[2][:60]
        with self._lock:
            self.found.reasons[reason] = self.found.reasons.get(reason, 0) + 1

    def _insist(self, verb: Callable[[], object]) -> None:
        """What the journal does: with the same id, until the store has answered."""
        ends = time.monotonic() + PATIENCE
        while True:
            try:
                verb()
                return
            except StoreUnavailableError:
                if time.monotonic() > ends:
                    raise
                with self._lock:
                    self.found.again += 1
                time.sleep(0.05)


class _Caller:
    """Makes its calls as a program does, with decorators and blocks; what goes astray is not its matter."""

    def __init__(self, manager: BudgetManager, calls: int, limit: int, seed: int) -> None:
        self._manager = manager
        self._calls = calls
        self._limit = limit
        self._seed = seed
        self.found = Storm(limit, whole=True)
        self._lock = threading.Lock()

    def work(self, number: int, together: threading.Barrier) -> None:
        """One thread's calls; every second one is decorated, the others are in a block."""
        dice = random.Random(self._seed * 1000 + number)
        together.wait()
        for turn in range(self._calls):
            tag, tokens = f"{self._seed}-{number}-{turn}", dice.randint(0, CAP)

            def call(messages: Any, model: str, max_tokens: int, tag: str = tag, tokens: int = tokens) -> Any:
                with self._lock:
                    self.found.settled[tag] = 10 * INPUT + tokens * OUTPUT
                usage = {"prompt_tokens": 10, "completion_tokens": tokens}
                return {"model": "gpt-4o", "choices": [], "usage": usage}

            terms: dict[str, Any] = {"limit": f"{self._limit / 10**9:.9f}", "tags": [tag]}
            try:
                if turn % 2:
                    self._manager.budgeted(user=ALICE.name, **terms)(call)(_MESSAGES, "gpt-4o", CAP)
                else:
                    with self._manager.budget(ALICE.name, **terms):
                        self._manager.budgeted()(call)(_MESSAGES, "gpt-4o", CAP)
            except BudgetExceededError:
                with self._lock:
                    self.found.denied += 1
            except StoreUnavailableError:
                with self._lock:
                    self.found.unsure += 1

    def finish(self) -> None:
        """Wait until the journal is empty."""
        known = journal.journal_of(self._manager.store)
        ends = time.monotonic() + PATIENCE
        self.found.again = known.waiting()
        while known.size:
            assert time.monotonic() < ends, f"{known.waiting()} wait in the journal"
            time.sleep(0.01)
        self._manager.close()


_MESSAGES: Final = [{"role": "user", "content": "hello there"}]


def _work(url: str, whole: int, threads: int, calls: int, limit: int, seed: int) -> None:
    key = sys.stdin.readline().strip()
    client: _Client | _Caller
    if whole:
        logging.getLogger("allowance").setLevel(logging.CRITICAL)  # it tells of each request that failed
        manager = BudgetManager(ALICE.project, client_type="hosted", api_base=url, api_key=key)
        client = _Caller(manager, calls, limit, seed)
    else:
        client = _Client(HostedStore(url, api_key=key), calls, limit, seed)
    together = threading.Barrier(threads)
    running = [threading.Thread(target=client.work, args=(number, together)) for number in range(threads)]
    print("ready", flush=True)
    assert sys.stdin.readline() == "go\n"
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    client.finish()
    print(json.dumps(vars(client.found)), flush=True)


# -- the long proof ----------------------------------------------------------------------------------


def main(words: list[str]) -> None:
    """Both rounds."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.hosted_faults")
    parser.add_argument(
        "--whole", action="store_true", help="make calls, through the library and its journal"
    )
    parser.add_argument("--postgres", action="store_true", help="a server on PostgreSQL, not on a file")
    parser.add_argument("calls", type=int, nargs="?", default=25, help="of each thread")
    parser.add_argument("processes", type=int, nargs="?", default=4)
    parser.add_argument("threads", type=int, nargs="?", default=64)
    asked = parser.parse_args(words)
    sizes = {"processes": asked.processes, "threads": asked.threads, "calls": asked.calls}
    for rate in (0.0, 0.3):
        with ExitStack() as stack:
            if asked.postgres:
                store_url = stack.enter_context(fresh_database())
            else:
                store_url = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/budgets.db"
            server = stack.enter_context(running(store_url))
            proxy = stack.enter_context(faulty(server.url, rate=rate, delays=(0.01, 3.0)))
            url = proxy.url if rate else server.url
            found = storm(url, server.admin_key, whole=asked.whole, **sizes)
            time.sleep(3.5 if rate else 0)  # what was delayed arrives, after its release
            store = HostedStore(server.url, api_key=server.admin_key, timeout=60)
            check(store, found)
            store.close()
            _report(rate, sizes, found, proxy.counts)


def _report(rate: float, sizes: dict[str, int], found: Storm, counts: Any) -> None:
    spent = sum(found.settled.values())
    again = "waited in the journals at the end" if found.whole else "settles and releases asked again"
    print(
        f"faults {rate:.0%}: {sizes['processes']} processes x {sizes['threads']} threads x {sizes['calls']} "
        f"calls in {found.seconds:.1f} s: {len(found.settled)} settled once each, {found.denied} denied, "
        f"{found.unsure} reserves without an answer (released), {found.again} {again}; spent {spent} of "
        f"{found.limit}, overspent 0, held 0. {dict(counts) or ''}",
        flush=True,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        _work(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        main(sys.argv[1:])

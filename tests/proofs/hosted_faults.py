"""Proof: processes of many threads spend one hosted budget, cold, over a network that fails: each call once.

::

    python -m tests.proofs.hosted_faults [calls a thread = 25] [processes = 4] [threads = 64]

Two rounds on a real ``allowance serve`` with a file store: over a network that works, and over one that
does something to 30 % of all requests (see `tests.faults`), delays beyond the client's deadline among them.
After each: nothing overspent, every call that was settled is in the ledger once with its true amount,
nothing else is, no hold is left, and the books balance.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from allowance.errors import StoreUnavailableError
from allowance.ledger.records import AccountKey, Ask, Declaration, Denial, Posting, Scope
from allowance.stores.base import Store
from allowance.stores.hosted import HostedStore

__all__ = ["Storm", "check", "storm"]

ALICE: Final = AccountKey("proof", "user", "alice")
MOST: Final = 1000
"""Nano-dollars that a call holds at most; it costs half of what it holds, on average."""

PATIENCE: Final = 300


@dataclass
class Storm:
    """What the clients say happened. ``unsure`` are reserves to which no answer came; they were released."""

    limit: int
    settled: dict[str, int] = field(default_factory=dict)
    denied: int = 0
    unsure: int = 0
    again: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


def storm(url: str, key: str, *, processes: int, threads: int, calls: int, seed: int = 1) -> Storm:
    """Let them loose on one budget that nobody has made yet, and that has room for half of the calls."""
    limit = processes * threads * calls * MOST // 8
    command = [sys.executable, "-m", "tests.proofs.hosted_faults", "--worker", url]
    workers = [
        subprocess.Popen(
            [*command, *map(str, (threads, calls, limit, seed * 100 + number))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
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
        found = Storm(limit)
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
    times = Counter(entry.hold_id for entry in entries)
    assert max(times.values()) == 1, times.most_common(3)
    assert {entry.hold_id: entry.amount for entry in entries} == found.settled
    account = store.account(ALICE)
    assert account is not None
    assert (account.spent, account.held) == (sum(found.settled.values()), 0)
    assert account.spent <= found.limit
    assert list(store.holds()) == []
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


def _work(url: str, threads: int, calls: int, limit: int, seed: int) -> None:
    store = HostedStore(url, api_key=sys.stdin.readline().strip())
    client = _Client(store, calls, limit, seed)
    together = threading.Barrier(threads)
    running = [threading.Thread(target=client.work, args=(number, together)) for number in range(threads)]
    print("ready", flush=True)
    assert sys.stdin.readline() == "go\n"
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    print(json.dumps(vars(client.found)), flush=True)
    store.close()


# -- the long proof ----------------------------------------------------------------------------------


def main(calls: int = 25, processes: int = 4, threads: int = 64) -> None:
    """Both rounds."""
    from tests.faults import faulty
    from tests.server.running import running

    for rate in (0.0, 0.3):
        with (
            tempfile.TemporaryDirectory() as directory,
            running(f"sqlite:///{directory}/budgets.db") as server,
            faulty(server.url, rate=rate, delays=(0.01, 3.0)) as proxy,
        ):
            url = proxy.url if rate else server.url
            found = storm(url, server.admin_key, processes=processes, threads=threads, calls=calls)
            time.sleep(3.5 if rate else 0)  # what was delayed arrives, after its release
            store = HostedStore(server.url, api_key=server.admin_key, timeout=60)
            check(store, found)
            store.close()
            _report(rate, processes, threads, calls, found, proxy.counts)


def _report(rate: float, processes: int, threads: int, calls: int, found: Storm, counts: Any) -> None:
    spent = sum(found.settled.values())
    print(
        f"faults {rate:.0%}: {processes} processes x {threads} threads x {calls} calls in "
        f"{found.seconds:.1f} s: "
        f"{len(found.settled)} settled once each, {found.denied} denied, {found.unsure} reserves without an "
        f"answer (released), {found.again} settles and releases asked again; spent {spent} of {found.limit}, "
        f"overspent 0, held 0. {dict(counts) or ''}"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        _work(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        main(*map(int, sys.argv[1:]))

"""A server that is away for a minute under load: every call that was made is counted afterwards, once.

Run it with ``python -m tests.proofs.server_away [seconds=60]``. Threads make calls on one hosted store, some
of them with ``on_store_error="open"``, while the server is killed (``kill -9``) in the midst of their settles
and stays away for so long. What the ledger then holds is compared, id by id, with what the callers were paid
for. `tests/calls/test_journal_away.py` does the same for a moment.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from allowance import BudgetManager, StoreUnavailableError
from allowance.calls import journal
from allowance.ledger.records import EntryKind
from tests.server.running import Running, running

PROJECT = "proof"
MESSAGES = [{"role": "user", "content": "hello there"}]
COST = 10 * 2_500 + 5 * 10_000
"""Nano-dollars: 10 tokens of gpt-4o in, 5 out."""


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        paid: calls that were made, and so must be counted.
        refused: calls that failed closed while the server was away.
        counted: how many of them stand in the ledger.
        waited: how many were in the journal when the server came back.
        arrived_in: seconds from then on until all were in the ledger.
        slowest: seconds that the slowest call took.
        differences: whatever is wrong, in words.
    """

    paid: int = 0
    refused: int = 0
    counted: int = 0
    waited: int = 0
    arrived_in: float = 0.0
    slowest: float = 0.0
    differences: list[str] = field(default_factory=list)


class Callers:
    """Threads that make calls until they are stopped, each call with a tag of its own."""

    def __init__(self, manager: BudgetManager, users: list[str], pause: float) -> None:
        self.paid: list[str] = []
        self.refused = 0
        self.slowest = 0.0
        self._stop = threading.Event()
        self._pause = pause
        self._threads = [
            threading.Thread(target=self._run, args=(manager, user, number))
            for number, user in enumerate(users)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, manager: BudgetManager, user: str, number: int) -> None:
        count = 0
        while not self._stop.is_set():
            count += 1
            tag = f"{number}-{count}"

            def call(messages: Any, model: str, max_tokens: int, tag: str = tag) -> Any:
                time.sleep(0.002)
                self.paid.append(tag)
                usage = {"prompt_tokens": 10, "completion_tokens": 5}
                return {"model": "gpt-4o", "choices": [], "usage": usage}

            began = time.monotonic()
            try:
                with manager.budget(user, tags=[tag]):
                    manager.budgeted()(call)(MESSAGES, "gpt-4o", 50)
            except StoreUnavailableError:
                self.refused += 1
            self.slowest = max(self.slowest, time.monotonic() - began)
            self._stop.wait(self._pause)


def prove(seconds: float, *, threads: int = 16, pause: float = 0.02, store_url: str | None = None) -> Outcome:
    """Load, take the server away for so long, bring it back, and compare."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running(store_url or f"sqlite:///{folder}/server.db") as server,
    ):
        return _with(server, seconds, threads, pause)


def _with(server: Running, seconds: float, threads: int, pause: float) -> Outcome:
    closed, opened = (
        BudgetManager(
            PROJECT,
            client_type="hosted",
            api_base=server.url,
            api_key=server.admin_key,
            on_store_error=policy,
        )
        for policy in ("closed", "open")
    )
    with closed, opened:
        for user in ("closed", "open"):
            closed.create_budget(1_000_000, user)
        load = [
            Callers(manager, [user] * (threads // 2), pause)
            for manager, user in ((closed, "closed"), (opened, "open"))
        ]
        _until(lambda: all(len(callers.paid) > threads for callers in load))
        server.kill()
        time.sleep(seconds)
        known = journal.journal_of(closed.store)
        waited = known.waiting()
        server.start()
        back = time.monotonic()
        made = [len(callers.paid) for callers in load]
        _until(
            lambda: all(
                len(callers.paid) > before + threads for callers, before in zip(load, made, strict=True)
            )
        )
        for callers in load:
            callers.stop()
        _until(lambda: not known.size)
        outcome = Outcome(waited=waited, arrived_in=time.monotonic() - back)
        for callers, user in zip(load, ("closed", "open"), strict=True):
            _compare(outcome, closed, user, callers)
        outcome.differences += closed.audit()
    return outcome


def _compare(outcome: Outcome, manager: BudgetManager, user: str, callers: Callers) -> None:
    outcome.paid += len(callers.paid)
    outcome.refused += callers.refused
    outcome.slowest = max(outcome.slowest, callers.slowest)
    entries = [entry for entry in manager.entries(user) if entry.kind is EntryKind.CALL]
    counted = [tag for entry in entries for tag in entry.tags]
    outcome.counted += len(counted)
    if len(set(counted)) != len(counted):
        outcome.differences.append(f"{user}: {len(counted) - len(set(counted))} calls stand there twice")
    if lost := set(callers.paid) - set(counted):
        outcome.differences.append(f"{user}: {len(lost)} calls are lost, such as {min(lost)}")
    if invented := set(counted) - set(callers.paid):
        outcome.differences.append(f"{user}: {len(invented)} calls were never made")
    if wrong := [entry for entry in entries if entry.amount != COST]:
        outcome.differences.append(f"{user}: {len(wrong)} calls have another cost, such as {wrong[0]}")
    (status,) = manager.status(user)
    if status.held:
        outcome.differences.append(f"{user}: ${status.held} is still held")


def _until(true: Callable[[], object], patience: float = 120) -> None:
    deadline = time.monotonic() + patience
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError("it does not come")
        time.sleep(0.01)


def main() -> int:
    """Prove it, and tell."""
    seconds = float((sys.argv[1:] or ["60"])[0].removeprefix("seconds="))
    logging.getLogger("allowance").setLevel(logging.CRITICAL)  # it tells of each call that goes on
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_STATE_HOME"] = home
        outcome = prove(seconds)
        left = list(Path(home).rglob("*.journal"))
    print(f"The server was away for {seconds:g} seconds.")
    print(f"  calls made            {outcome.paid:,}")
    print(f"  refused meanwhile     {outcome.refused:,} (on_store_error='closed')")
    print(f"  counted               {outcome.counted:,}")
    print(f"  in the journal        {outcome.waited:,} when it came back")
    print(f"  all arrived within    {outcome.arrived_in:.2f} s, the server's start not among them")
    print(f"  slowest call          {outcome.slowest:.2f} s")
    for difference in [*outcome.differences, *[f"{path} is left" for path in left]]:
        print(f"  WRONG: {difference}")
    return 1 if outcome.differences or left else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The lead of a batch: who commits, who is woken, and what an interruption leaves behind."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from allowance.errors import StoreUnavailableError
from allowance.ledger import verbs
from allowance.ledger.records import AccountKey, Declaration, Posting, Scope
from allowance.stores.sqlite import SQLiteStore
from allowance.stores.sqlite.batches import Batches, Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

KEY = AccountKey("p", "user", "n")
SCOPE = Scope(KEY, Declaration(limit=10**12, creates=True))


class Desk:
    """A resource whose every commit waits until it is let go."""

    def __init__(self) -> None:
        self.batches = Batches(self.commit)
        self.sizes: list[int] = []
        self.gate = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)
        self.fails: list[BaseException] = []

    def commit(self, batch: Sequence[Operation]) -> None:
        self.sizes.append(len(batch))
        self.entered.release()
        assert self.gate.acquire(timeout=10)
        if self.fails:
            raise self.fails.pop()
        for operation in batch:
            operation.result = operation.action()

    def start(self, action: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
        outcomes: list[Any] = []

        def work() -> None:
            try:
                outcomes.append(self.batches.run(Operation(action)))
            except BaseException as error:
                outcomes.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread, outcomes

    def wait_for_queue(self, length: int) -> None:
        deadline = time.monotonic() + 10
        while len(self.batches._queue) != length:
            assert time.monotonic() < deadline
            time.sleep(0.001)


def test_a_handler_that_interrupts_the_committing_thread_is_refused_and_does_not_wait_for_ever() -> None:
    desk = Desk()
    inner: list[BaseException] = []

    def interrupted() -> int:
        try:  # as a signal's handler does, or a finalizer, which makes a call just then
            desk.batches.run(Operation(lambda: 0))
        except StoreUnavailableError as error:
            inner.append(error)
        return 1

    desk.gate.release(2)
    thread, outcomes = desk.start(interrupted)
    thread.join(10)
    assert outcomes == [1]
    assert "signal's handler" in str(inner[0])
    assert desk.batches.run(Operation(lambda: 2)) == 2
    assert not desk.batches._inside


def test_whoever_comes_meanwhile_shares_the_next_commit() -> None:
    desk = Desk()
    workers = [desk.start(lambda: 0)]
    desk.entered.acquire()
    workers += [desk.start(lambda number=number: number) for number in range(1, 6)]
    desk.wait_for_queue(5)
    desk.gate.release(2)
    for thread, _ in workers:
        thread.join(10)
    assert [outcomes for _, outcomes in workers] == [[number] for number in range(6)]
    assert desk.sizes == [1, 5]
    assert not desk.batches._busy


def test_an_interrupted_leader_leaves_nobody_waiting() -> None:
    desk = Desk()
    desk.fails = [KeyboardInterrupt()]
    first = desk.start(lambda: 0)
    desk.entered.acquire()
    others = [desk.start(lambda: 1) for _ in range(3)]
    desk.wait_for_queue(3)
    desk.gate.release(1)
    first[0].join(10)
    assert isinstance(first[1][0], KeyboardInterrupt)
    desk.entered.acquire()
    late = desk.start(lambda: 2)
    desk.wait_for_queue(1)
    desk.fails = [KeyboardInterrupt()]
    desk.gate.release(1)
    for thread, _ in others:
        thread.join(10)
    kinds = sorted(type(outcomes[0]).__name__ for _, outcomes in others)
    assert kinds == ["KeyboardInterrupt", "StoreUnavailableError", "StoreUnavailableError"]
    assert any("safe" in str(outcomes[0]) for _, outcomes in others)
    desk.gate.release(1)
    late[0].join(10)
    assert late[1] == [2]
    assert not desk.batches._busy


def _interrupt_waiting(desk: Desk, *, promote: bool) -> None:
    first = desk.start(lambda: 0)
    desk.entered.acquire()
    operation = Operation(lambda: 1)
    wake = operation.wake

    class Interrupting:
        def acquire(self) -> None:
            if promote:
                wake.acquire()
            raise KeyboardInterrupt

        def release(self) -> None:
            wake.release()

    operation.wake = Interrupting()  # type: ignore[assignment]  # a lock as far as it is used
    if promote:
        threading.Timer(0.05, desk.gate.release).start()
    with pytest.raises(KeyboardInterrupt):
        desk.batches.run(operation)
    if not promote:
        desk.gate.release()
    first[0].join(10)
    assert first[1] == [0]


@pytest.mark.parametrize("promote", [False, True])
def test_a_waiting_thread_that_is_interrupted_takes_no_lead_along(promote: bool) -> None:
    desk = Desk()
    _interrupt_waiting(desk, promote=promote)
    assert not desk.batches._busy
    assert not desk.batches._queue
    desk.gate.release()
    later = desk.start(lambda: 2)
    later[0].join(10)
    assert later[1] == [2]


def test_what_one_thread_does_wrong_undoes_nothing_of_the_others(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "a.db")
    store.settle(Posting("first", 1, (SCOPE,)))
    engine, before = store._engine, store.account(KEY)
    assert before is not None

    def half(tables: Any) -> None:
        tables.keep(before._replace(spent=999))
        raise ValueError("on purpose")

    def whole(number: int, tables: Any) -> Any:
        return verbs.settle(tables, Posting(f"h{number}", 10, (SCOPE,)), engine._latest)

    good = [Operation(partial(whole, number)) for number in range(3)]
    bad = Operation(half)
    engine._commit([good[0], bad, good[1], good[2]])
    assert [operation.outcome().posted for operation in good] == [10, 10, 10]
    with pytest.raises(ValueError, match="on purpose"):
        bad.outcome()
    account = store.account(KEY)
    assert account is not None
    assert account.spent == 31
    assert store.audit() == []
    store.close()


def test_an_interruption_in_the_midst_leaves_nothing_half_done(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "a.db")
    store.settle(Posting("first", 1, (SCOPE,)))
    before = store.account(KEY)
    assert before is not None

    def interrupted(tables: Any) -> None:
        tables.keep(before._replace(spent=999))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store._engine._batches.run(Operation(interrupted))
    assert store.account(KEY) == before
    assert store.audit() == []
    store.close()


def test_a_batch_that_fails_as_a_whole_fails_each_with_an_error_of_its_own(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "a.db")
    (tmp_path / "a.db").rename(tmp_path / "b.db")
    operations = [Operation(lambda tables: None) for _ in range(3)]
    store._engine._commit(operations)
    errors = {id(operation.error) for operation in operations}
    assert len(errors) == 3
    (tmp_path / "b.db").rename(tmp_path / "a.db")
    store.close()


def test_many_threads_get_their_own_answers(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "a.db")
    answers: dict[int, list[int]] = {}

    def work(number: int) -> None:
        answers[number] = [
            store.settle(Posting(f"h{number}-{part}", 100 * number + part, (SCOPE,))).amount
            for part in range(10)
        ]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: [100 * number + part for part in range(10)] for number in range(32)}
    assert store.audit() == []
    store.close()

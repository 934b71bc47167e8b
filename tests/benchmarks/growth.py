"""What one update of one user costs, with few users in the file and with many: ours beside LiteLLM's.

    python -m tests.benchmarks.growth [FEW MANY]

Rows of DESIGN §9 (growth) and of the last line of "done when" for `BudgetManager`. An update is
`update_cost` with the same reply on both sides, for a user taken at random. *Returns* is when the caller
goes on; *on disk* is when the update would survive a loss of power: ours when the call returns (each commit
waits for the disk), LiteLLM's when the thread that it starts has written its file and that has been synced.
*Written* are the bytes that the process hands to the system. A whole metered call of the store, reserve and
settle, is timed beside it. Few and many are timed in turn, round by round; medians are printed.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import threading
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

MODEL = "gpt-4o-mini"
ROUNDS = 7
THREADS = 64


class Sample(NamedTuple):
    """One update: seconds until it returned, until it was on disk, and the bytes written."""

    returned: float
    kept: float
    written: int


def main(sizes: list[int]) -> None:
    """Print the table."""
    few, many = sizes
    os.chdir(tempfile.mkdtemp())
    reply = _reply()
    print(f"Python {sys.version.split()[0]}, medians of {ROUNDS} rounds taken in turn\n")
    print(f"{'':<28}{f'{few:,} users':>18}{f'{many:,} users':>18}{'ratio':>9}")
    stores = {size: _our_file(size) for size in sizes}
    ours = in_turn({size: _our_update(stores[size], size, reply) for size in sizes}, each=100)
    _print("allowance: on disk", ours, sizes, lambda sample: sample.kept)
    _print("allowance: bytes written", ours, sizes, lambda sample: sample.written)
    calls = in_turn({size: _our_call(stores[size], size) for size in sizes}, each=100)
    _print("allowance: reserve, settle", calls, sizes, lambda sample: sample.kept)
    theirs = in_turn({size: _their_update(size, reply) for size in sizes}, each=1)
    _print("LiteLLM: returns", theirs, sizes, lambda sample: sample.returned)
    _print("LiteLLM: on disk", theirs, sizes, lambda sample: sample.kept)
    _print("LiteLLM: bytes written", theirs, sizes, lambda sample: sample.written)


def in_turn(functions: dict[int, Callable[[], Sample]], *, each: int) -> dict[int, list[Sample]]:
    """Samples of each function, ``each`` at a time and after one round that does not count."""
    taken: dict[int, list[Sample]] = {size: [] for size in functions}
    for number in range(ROUNDS + 1):
        for size, function in functions.items():
            samples = [function() for _ in range(each)]
            if number:
                taken[size] += samples
    return taken


def _our_file(users: int) -> Any:
    """A manager on a file with so many users; threads share commits, so it does not take long to fill."""
    from allowance import BudgetManager

    manager = BudgetManager("benchmark", store=f"sqlite:///{users}.db")
    numbers = iter(range(users))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            manager.create_budget(total_budget=1_000_000, user=f"user-{number}", duration="monthly")

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return manager


def _our_update(manager: Any, users: int, reply: Any) -> Callable[[], Sample]:
    def update() -> Sample:
        user = f"user-{random.randrange(users)}"
        before, begun = _written(), time.perf_counter()
        manager.update_cost(user=user, completion_obj=reply)
        taken = time.perf_counter() - begun
        return Sample(taken, taken, _written() - before)

    return update


def _our_call(manager: Any, users: int) -> Callable[[], Sample]:
    from allowance.ledger.records import AccountKey, Ask, Posting, Scope

    numbers = count()

    def call() -> Sample:
        scope = Scope(AccountKey("benchmark", "user", f"user-{random.randrange(users)}"))
        hold_id = f"call-{next(numbers)}"
        before, begun = _written(), time.perf_counter()
        manager.store.reserve(
            Ask(hold_id, (scope,), 500, 500, 500, 300, bounded=True, ttl=900_000_000, model=MODEL)
        )
        manager.store.settle(Posting(hold_id, 300, model=MODEL, input_tokens=14, output_tokens=3))
        taken = time.perf_counter() - begun
        return Sample(taken, taken, _written() - before)

    return call


def _their_update(users: int, reply: Any) -> Callable[[], Sample]:
    import litellm

    home = Path(tempfile.mkdtemp())
    os.chdir(home)  # it reads and writes ./user_cost.json
    manager = litellm.BudgetManager(project_name="benchmark")
    manager._save_data_thread = lambda: None
    for number in range(users):
        manager.create_budget(total_budget=1_000_000, user=f"user-{number}", duration="monthly")
    del manager._save_data_thread

    def update() -> Sample:
        os.chdir(home)
        others = set(threading.enumerate())
        before, begun = _written(), time.perf_counter()
        manager.update_cost(user=f"user-{random.randrange(users)}", completion_obj=reply)
        returned = time.perf_counter() - begun
        for thread in set(threading.enumerate()) - others:
            thread.join()
        with open("user_cost.json", "rb") as file:
            os.fsync(file.fileno())
        return Sample(returned, time.perf_counter() - begun, _written() - before)

    return update


def _reply() -> Any:
    import litellm

    messages = [{"role": "user", "content": "Hey, how's it going?"}]
    return litellm.completion(model=MODEL, messages=messages, mock_response="Fine.")


def _written() -> int:
    """Bytes that this process has handed to the system, where the system tells (Linux); else 0."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))


def _print(
    name: str, taken: dict[int, list[Sample]], sizes: list[int], figure: Callable[[Sample], float]
) -> None:
    few, many = (statistics.median([figure(sample) for sample in taken[size]]) for size in sizes)
    if name.endswith("written"):
        shown = [f"{figure:,.0f} B" for figure in (few, many)]
    else:
        shown = [f"{figure * 1000:,.2f} ms" for figure in (few, many)]
    ratio = f"{many / few:,.2f}x" if few else "-"
    print(f"{name:<28}{shown[0]:>18}{shown[1]:>18}{ratio:>9}")


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:3]] or [10, 100_000])

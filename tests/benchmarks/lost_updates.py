"""How many updates of one user are lost when processes write at once: ours beside LiteLLM's.

    python -m tests.benchmarks.lost_updates [PROCESSES UPDATES]

Each process calls `update_cost` with the same reply; by default 8 of them, 2,500 times each. Ours is asked
for the exact sum afterwards, LiteLLM's for what its file holds. LiteLLM starts a thread for each update,
which a machine does not take by the thousand: it makes a tenth as many.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

from allowance import BudgetManager
from tests.calls.support import CALL, usd
from tests.manager.test_many_at_once import LITELLMS, UPDATES, processes


def main(workers: int, updates: int) -> None:
    """Print both."""
    folder = Path(tempfile.mkdtemp())
    total = workers * updates
    print(f"{workers} processes, {updates:,} updates each: {total:,} of {usd(CALL)} US dollars")
    _ours(folder, workers, updates)
    _litellms(folder, workers, max(1, updates // 10))


def _ours(folder: Path, workers: int, updates: int) -> None:
    url = f"sqlite:///{folder}/budgets.db"
    with BudgetManager("shop", store=url) as manager:
        manager.create_budget(1_000_000, "alice")
        started = time.perf_counter()
        processes(UPDATES.format(url=url, count=updates), workers)
        seconds = time.perf_counter() - started
        kept = round(manager.status("alice")[0].spent / usd(CALL))
        sound = "audit finds nothing" if not manager.audit() else "AUDIT FINDS DIFFERENCES"
    print(f"allowance: {workers * updates - kept:,} lost; {seconds:.1f} s with the imports; {sound}")


def _litellms(folder: Path, workers: int, updates: int) -> None:
    import litellm

    total = workers * updates
    os.chdir(folder)
    theirs = litellm.BudgetManager("shop")
    theirs.create_budget(1_000_000, "alice")
    theirs.save_data()
    script = LITELLMS.format(folder=str(folder)).replace("range(50)", f"range({updates})")
    started = time.perf_counter()
    processes(script, workers)
    seconds = time.perf_counter() - started
    try:
        kept = round(litellm.BudgetManager("shop").get_current_cost("alice") / float(usd(CALL)))
    except ValueError:
        print(f"LiteLLM: all of {total:,} lost: its file cannot be read any more; {seconds:.1f} s")
    else:
        print(f"LiteLLM: {total - kept:,} of {total:,} lost; {seconds:.1f} s with the imports")


if __name__ == "__main__":
    main(*(int(number) for number in sys.argv[1:3] or (8, 2_500)))

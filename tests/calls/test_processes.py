"""Several processes on one file: they never overspend together, and one that is killed leaves it sound."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

from allowance.stores.memory import system_clock
from allowance.stores.sqlite import SQLiteStore
from tests.calls.support import ROOT, books, key
from tests.provider import Provider

DIME = 100_000_000
ANSWER = {"input_tokens": 1_000, "usage": "cap"}

WORKER = """
    import sys
    import allowance
    from allowance import BudgetExceededError, budgeted
    from tests.calls.support import thousand_tokens
    from tests.provider import clients
    import openai

    path, url = {path!r}, {url!r}
    allowance.configure(store=f"sqlite:///{{path}}", project="tests")
    arguments = thousand_tokens()
    client = openai.OpenAI(api_key="k", base_url=url, max_retries=0,
                           http_client=openai.DefaultHttpxClient(trust_env=False))

    @budgeted(user="alice", limit="0.10")
    def ask(**arguments):
        return client.chat.completions.create(**arguments)

    print("ready", flush=True)
    sys.stdin.readline()
    sent = refused = 0
    for _ in range({calls}):
        try:
            ask(**arguments)
            sent += 1
        except BudgetExceededError:
            refused += 1
    print(sent, refused, flush=True)
    client.close()
"""


def test_eight_processes_on_one_file(provider: Provider, tmp_path: Path) -> None:
    provider.reply(**ANSWER)
    path = tmp_path / "budgets.db"
    code = textwrap.dedent(WORKER.format(path=str(path), url=f"{provider.url}/v1", calls=7))
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        )
        for _ in range(8)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    totals = [[int(part) for part in worker.communicate(timeout=60)[0].split()] for worker in workers]
    assert [sum(column) for column in zip(*totals, strict=True)] == [8, 48]
    assert all(worker.returncode == 0 for worker in workers)
    assert provider.billed == [("gpt-4o", 1_000, 1_000)] * 8
    file = SQLiteStore(str(path))
    assert books(file, "alice") == (DIME, 0)
    file.close()


def test_a_process_killed_in_mid_call_leaves_the_file_sound(provider: Provider, tmp_path: Path) -> None:
    gate = threading.Event()
    provider.then(**ANSWER)
    provider.then(**ANSWER, gate=gate)
    path = tmp_path / "budgets.db"
    code = textwrap.dedent(WORKER.format(path=str(path), url=f"{provider.url}/v1", calls=2))
    worker = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
    )
    assert worker.stdin is not None
    worker.stdin.write("go\n")
    worker.stdin.flush()
    provider.wait_for_calls(2, timeout=60)
    worker.kill()
    worker.communicate()
    gate.set()
    now = system_clock()
    file = SQLiteStore(str(path), clock=lambda: now)
    assert books(file, "alice") == (12_500_000, 12_500_000)
    now += 15 * 60_000_000
    account = file.account(key("alice"))  # its term is over: charged at what it held, which was a bound
    assert account is not None
    assert books(file, "alice") == (25_000_000, 0)
    assert [entry.unconfirmed for entry in file.entries(key("alice"))] == [False, True]
    file.close()

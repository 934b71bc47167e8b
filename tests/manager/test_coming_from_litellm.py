"""The README's table "Coming from LiteLLM", row by row: what shows each, beside the real one.

When one of these fails on LiteLLM's side it has mended something, and the README must say so.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import litellm
import pytest

import allowance
from allowance import BudgetExceededError, BudgetManager, ConfigurationError, UnknownUserError
from allowance.stores.memory import MemoryStore
from tests.calls.support import CALL, GPT_4O_IN, HELD, MESSAGES, ROOT, Clock, usd
from tests.manager.support import saves_done
from tests.manager.test_beside_litellm import IMPROVEMENTS, reply
from tests.provider import Provider

# LiteLLM and pydantic warn of one another.
pytestmark = pytest.mark.filterwarnings("ignore")

DAY = 86_400
HELLO = [{"role": "user", "content": "Hey, how's it going?"}]

SHOWN_BY: dict[str, tuple[str, ...]] = {
    "`max_budget`": ("test_max_budget_never_fires",),
    "two threads, two processes": (
        "test_fifty_checks_at_once_are_all_let_through",
        "test_litellm_loses_half_of_them",
        "test_fifty_threads_check_call_and_update_on_a_wrapped_function",
        "test_eight_processes_on_the_documented_pattern",
        "test_eight_processes_update_and_none_is_lost",
    ),
    "`create_budget` for a user who is there": ("create again", "cost after creating again"),
    "without a duration; `reset_cost`": ("test_what_is_not_saved",),
    "a save that is interrupted": ("test_a_save_that_is_interrupted",),
    "an update among 100,000 users": ("test_an_update_writes_no_more_among_many_users",),
    "`project_name`": ("another project's users",),
    "resets": ("test_resets_come_by_themselves", "reset on duration without one"),
    "`monthly`, `yearly`": ("test_months_are_28_days",),
    "durations": ("every twelve hours", "made with no such duration"),
    "`created_at` left out": ("created now",),
    "a window that is over": ("a window that is over", "test_resets_come_by_themselves"),
    "`projected_cost`": (
        *("projection", "projection with an output cap", "projection of parts"),
        *("projection of a tool's message", "test_projections_count_tools"),
        "test_projections_are_of_what_is_sent_and_of_a_capped_output",
    ),
    "`update_cost` with texts": ("texts", "an empty text"),
    "... with texts and a reply": ("texts beside a reply",),
    "... for a model without a price": ("update by a new model's reply",),
    "... with a piece of a stream": ("update by a chunk", "test_a_list_of_chunks_is_one_reply"),
    "`get_model_cost` before any call": ("cost by model at first",),
    "a record after a reset": ("user_dict after the reset",),
    "budgets that are negative or no number": (
        *("a negative budget", "a budget that is no number", "a budget as text"),
    ),
    "users": ("an int for a user", "users in order", "test_what_a_user_may_be"),
    "an unknown `client_type`": ("no such client", "the documented type="),
    "`api_base`, `headers`": ("api_base", "headers", "test_hosted_and_self_hosted"),
}
"""By the first word of each row: operations of the script that is run on both, and tests."""


def test_every_row_of_the_readme_is_shown_and_every_improvement_has_a_row() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.partition("\n| | LiteLLM | here |\n")[2].partition("\n\n")[0]
    assert [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()[1:]] == [*SHOWN_BY]
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    tests = set(re.findall(r"^def (test_\w+)", sources, re.MULTILINE))
    shown = {name for names in SHOWN_BY.values() for name in names}
    assert shown <= tests | IMPROVEMENTS.keys()
    assert shown >= IMPROVEMENTS.keys()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for LiteLLM's file, which is always the current one's."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def theirs() -> Any:
    return litellm.BudgetManager("shop")


def test_max_budget_never_fires(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, store: MemoryStore
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{provider.url}/v1")
    provider.reply(input_tokens=1000, output_tokens=1000)
    monkeypatch.setattr(litellm, "max_budget", 0.001)
    for _ in range(3):
        litellm.completion(model="gpt-4", messages=HELLO)
    assert (provider.count, litellm._current_cost) == (3, 0.0)

    monkeypatch.setattr(litellm, "max_budget", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(allowance, "max_budget", 0.001)
        with pytest.raises(BudgetExceededError):
            litellm.completion(model="gpt-4", messages=HELLO, max_tokens=1000)
    assert provider.count == 3


def test_fifty_checks_at_once_are_all_let_through(here: Path) -> None:
    manager = theirs()
    manager.create_budget(0.01, "alice")
    checked = threading.Barrier(50)
    sent: list[None] = []

    def documented() -> None:
        if manager.get_current_cost("alice") <= manager.get_total_budget("alice"):
            checked.wait(60)  # where the call is made
            sent.append(None)
            manager.update_cost("alice", reply("gpt-4o", 100, 125))

    threads = [threading.Thread(target=documented) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    saves_done()
    assert len(sent) == 50
    assert manager.get_current_cost("alice") > 7 * manager.get_total_budget("alice")


def test_what_is_not_saved(here: Path) -> None:
    manager = theirs()
    manager.create_budget(10, "for good")
    saves_done()
    assert not theirs().is_valid_user("for good")
    manager.update_cost("for good", reply())
    saves_done()
    manager.reset_cost("for good")
    saves_done()
    assert theirs().get_current_cost("for good") > 0

    with BudgetManager("shop", store="sqlite:///ours.db") as ours:
        ours.create_budget(10, "for good")
        ours.update_cost("for good", reply())
    with BudgetManager("shop", store="sqlite:///ours.db") as ours:
        assert ours.get_current_cost("for good") > 0
        ours.reset_cost("for good")
    with BudgetManager("shop", store="sqlite:///ours.db") as ours:
        assert ours.get_current_cost("for good") == 0


@pytest.mark.skipif(sys.platform == "win32", reason="a limit on the size of files is POSIX's")
def test_a_save_that_is_interrupted(here: Path) -> None:
    """What they write ends in the middle, as on a full disk: no file may grow past a size."""
    code = """
        import os, resource, sys, threading
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
        os.chdir(sys.argv[1])
        if sys.argv[2] == "litellm":
            from litellm import BudgetManager
        else:
            from allowance import BudgetManager
        manager = BudgetManager("shop")
        size = max(path.stat().st_size for path in os.scandir("."))
        manager.create_budget(10, "another", "daily")
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, size + 10))
        usage = {"prompt_tokens": 1000, "completion_tokens": 500}
        for number in range(20):
            try:
                manager.update_cost("alice", {"model": "gpt-4o", "choices": [], "usage": usage})
                manager.save_data()
            except OSError:
                pass
        os._exit(0)  # and the process is gone
    """
    environment = os.environ | {"ALLOWANCE_STORE": "sqlite:///ours.db"}

    def interrupted(whose: str) -> None:
        words = [sys.executable, "-c", textwrap.dedent(code), str(here), whose]
        subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, check=True, timeout=240)

    manager = theirs()
    manager.create_budget(10, "alice", "daily")
    manager.update_cost("alice", reply())
    saves_done()
    interrupted("litellm")
    with pytest.raises(ValueError, match=r"delimiter|Unterminated|Expecting"):
        theirs()
    Path("user_cost.json").unlink()

    with BudgetManager("shop", store="sqlite:///ours.db") as ours:
        ours.create_budget(10, "alice", "daily")
        ours.update_cost("alice", reply())
        spent = ours.get_current_cost("alice")
    interrupted("ours")
    with BudgetManager("shop", store="sqlite:///ours.db") as ours:
        assert ours.get_current_cost("alice") >= spent
        assert ours.audit() == []


def test_an_update_writes_no_more_among_many_users(here: Path) -> None:
    """`python -m tests.benchmarks.growth` tells times and bytes, with 100,000."""
    manager, sizes = theirs(), []
    for users in (10, 1000):
        manager.user_dict = {
            f"user {number}": {"total_budget": 1, "current_cost": 0.5} for number in range(users)
        }
        manager.update_cost("user 1", reply())
        saves_done()
        sizes.append(Path("user_cost.json").stat().st_size)
    assert sizes[1] > 90 * sizes[0]

    sizes = []
    for users in (10, 1000):
        with BudgetManager("shop", store=f"sqlite:///{users}.db") as ours:
            _fill(ours, users)
            log = Path(f"{users}.db-wal")
            ours.update_cost("user 1", reply())
            before = log.stat().st_size
            for _ in range(5):
                ours.update_cost("user 1", reply())
            sizes.append(log.stat().st_size - before)
    assert 0 < sizes[1] <= 1.5 * sizes[0]


def _fill(manager: BudgetManager, users: int) -> None:
    threads = [
        threading.Thread(
            target=lambda part=part: [
                manager.create_budget(1, f"user {number}") for number in range(part, users, 16)
            ]
        )
        for part in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_resets_come_by_themselves(here: Path) -> None:
    manager = theirs()
    manager.create_budget(10, "alice", "daily", created_at=time.time() - 1.5 * DAY)
    manager.update_cost("alice", reply())
    saves_done()
    manager.save_data()
    assert manager.get_current_cost("alice") > 0
    with BudgetManager("shop", client_type="memory") as ours:
        ours.import_user_cost("user_cost.json")
        assert ours.get_current_cost("alice") == 0
        assert ours.history("alice")[0].spent > 0
    manager.reset_on_duration("alice")
    saves_done()
    assert manager.get_current_cost("alice") == 0


def test_months_are_28_days(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    clock.now = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
    monkeypatch.setattr(time, "time", lambda: clock.now / 1_000_000)
    manager, ours = theirs(), BudgetManager("shop", store=MemoryStore(clock=clock))
    for one in (manager, ours):
        record = one.create_budget(10, "alice", "monthly", created_at=time.time())
        assert record["duration"] == 28
        one.update_cost("alice", reply())
    for days, left_of_theirs, left_of_ours in ((27.5, True, True), (1, False, True), (3, False, False)):
        clock.forward(days=days)
        manager.update_budget_all_users()
        saves_done()
        assert (manager.get_current_cost("alice") > 0) is left_of_theirs
        assert (ours.get_current_cost("alice") > 0) is left_of_ours


def test_projections_are_of_what_is_sent_and_of_a_capped_output(manager: BudgetManager) -> None:
    manager.create_budget(10, "alice")
    manager.update_cost("alice", reply("gpt-4o", 10, 5))
    for more, projected in (({}, 9 * GPT_4O_IN), ({"max_tokens": 50}, HELD)):
        total = manager.projected_cost("gpt-4o", MESSAGES, "alice", **more)
        assert total == float(usd(CALL + projected))
    assert manager.get_current_cost("alice") == float(usd(CALL))


def test_projections_count_tools(manager: BudgetManager) -> None:
    function = {"name": "weather", "description": "Tells the weather " * 50, "parameters": {"type": "object"}}
    tools = [{"type": "function", "function": function}]
    manager.create_budget(10, "alice")
    plain = manager.projected_cost("gpt-4o", HELLO, "alice")
    assert manager.projected_cost("gpt-4o", HELLO, "alice", tools=tools) > plain + float(usd(100 * 2_500))


@pytest.mark.parametrize("user", [None, 1.5, (1, 2)], ids=repr)
def test_what_a_user_may_be(user: Any, here: Path, manager: BudgetManager) -> None:
    anybody = theirs()
    anybody.create_budget(10, user)
    assert anybody.is_valid_user(user)
    with pytest.raises(ConfigurationError, match="str or an int"):
        manager.create_budget(10, user)
    with pytest.raises((ConfigurationError, UnknownUserError)):
        manager.get_current_cost(user)

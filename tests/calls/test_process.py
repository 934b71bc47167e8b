"""`allowance.max_budget` and `allowance.current_cost`: the whole process's budget."""

# ruff: noqa: SIM117  # blocks, and what is raised inside them, are what this is about

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import openai
import pytest

import allowance
from allowance import BudgetExceededError, budget, budgeted
from allowance.errors import ConfigurationError
from tests.calls.support import CALL, CHAT, HELD, MESSAGES, python, reply, usd
from tests.provider import Provider, clients


def ask(messages: Any = MESSAGES, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
    return reply()


def test_the_cap_refuses_what_does_not_fit() -> None:
    allowance.max_budget = usd(HELD + CALL)
    capped = budgeted()(ask)
    capped()
    capped()
    with pytest.raises(BudgetExceededError) as refused:
        capped()
    assert allowance.current_cost == usd(2 * CALL)
    assert refused.value.kind == "process"
    assert "allowance.max_budget" in str(refused.value)
    assert (refused.value.current_cost, refused.value.max_budget) == (usd(2 * CALL), usd(HELD + CALL))


@pytest.mark.parametrize("amount", [1, 0.001, "0.5", Decimal("0.25"), 0])
def test_it_reads_as_it_was_set(amount: Any) -> None:
    allowance.max_budget = amount
    assert allowance.max_budget == amount


def test_zero_refuses_what_costs_and_none_is_no_cap() -> None:
    allowance.max_budget = 0
    with pytest.raises(BudgetExceededError):
        budgeted()(ask)()
    allowance.max_budget = None
    with pytest.raises(ConfigurationError, match="no budget"):
        budgeted()(ask)()
    with budget("alice", limit=1):
        budgeted()(ask)()


def test_what_was_spent_before_the_cap_counts() -> None:
    with budget("alice", limit=1):
        budgeted()(ask)()
    assert allowance.current_cost == usd(CALL)
    allowance.max_budget = usd(HELD + CALL - 1)
    with pytest.raises(BudgetExceededError) as refused:
        budgeted()(ask)()
    assert refused.value.spent == usd(CALL)


def test_lifting_the_cap_and_setting_it_again_keeps_the_spend() -> None:
    allowance.max_budget = 1
    budgeted()(ask)()
    allowance.max_budget = None
    with budget("alice", limit=1):
        budgeted()(ask)()
    allowance.max_budget = 1
    budgeted()(ask)()
    assert allowance.current_cost == usd(3 * CALL)


@pytest.mark.parametrize(
    "amount",
    [-1, float("nan"), float("inf"), "-0.5", "much", True, False, [], Decimal("NaN"), 10**10, b"1", 1j],
    ids=str,
)
def test_what_is_no_amount_is_refused_and_changes_nothing(amount: Any) -> None:
    allowance.max_budget = 1
    with pytest.raises(ConfigurationError, match="max_budget"):
        allowance.max_budget = amount
    assert allowance.max_budget == 1
    with pytest.raises(ConfigurationError):
        allowance.max_budget = "x"
    budgeted()(ask)()


def test_mock_patch_sets_and_restores_it() -> None:
    with mock.patch("allowance.max_budget", 0):
        with pytest.raises(BudgetExceededError):
            budgeted()(ask)()
    assert allowance.max_budget is None
    with mock.patch.object(allowance, "max_budget", 1):
        budgeted()(ask)()
    with pytest.raises(ConfigurationError, match="no budget"):
        budgeted()(ask)()


def test_monkeypatch_sets_and_restores_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(allowance, "max_budget", 1)
        budgeted()(ask)()
    assert allowance.max_budget is None


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="max_budget"):
        allowance.max_buget = 5  # type: ignore[attr-defined]  # that is the test
    with pytest.raises(AttributeError):
        allowance.max_buget  # type: ignore[attr-defined]  # noqa: B018


def test_the_cost_is_counted_not_set() -> None:
    for name in ("current_cost", "_current_cost"):
        with pytest.raises(ConfigurationError, match="counted"):
            setattr(allowance, name, 0)
    assert allowance.current_cost == allowance._current_cost == 0  # type: ignore[attr-defined]
    assert isinstance(allowance.current_cost, Decimal)


def test_an_undecorated_client_is_capped(provider: Provider) -> None:
    with clients.openai_sync(provider) as client:
        client.chat.completions.create(**CHAT)
        assert allowance.current_cost == 0  # no budget: none of our business
        allowance.max_budget = usd(HELD)
        client.chat.completions.create(**CHAT)
        assert allowance.current_cost == usd(CALL)
        with pytest.raises(BudgetExceededError):
            client.chat.completions.create(**CHAT)
    assert provider.count == 2


def test_every_sort_of_budget_counts_towards_the_process(provider: Provider) -> None:
    with clients.openai_sync(provider) as client:
        with budget("alice", limit=1), budget(limit=1):
            client.chat.completions.create(**CHAT)
        budgeted(user="bob", limit=1)(ask)()
        budgeted(limit=None)(ask)()
    assert allowance.current_cost == usd(3 * CALL)


def test_the_process_cap_around_litellm_that_was_imported_first() -> None:
    out = python(
        """
        import os
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
        import warnings
        warnings.simplefilter("ignore")
        from litellm import completion
        import allowance

        allowance.max_budget = 0.001
        messages = [{"role": "user", "content": "Hey, how's it going"}]
        reply = completion(model="gpt-4", messages=messages, mock_response="Well, thank you.")
        usage = reply.usage
        cost = usage.prompt_tokens * 30_000 + usage.completion_tokens * 60_000
        print(cost)
        print(allowance.current_cost)
        try:
            for number in range(1, 100):
                completion(model="gpt-4", messages=messages, mock_response="Well, thank you.")
        except allowance.BudgetExceededError as error:
            print(number, error.current_cost == allowance.current_cost, error.status_code)
        """
    ).split()
    assert Decimal(out[1]) == usd(int(out[0])) > 0
    assert 1 <= int(out[2]) < 99
    assert out[3:] == ["True", "422"]


def test_the_environment_sets_the_cap() -> None:
    code = """
        import allowance
        print(allowance.max_budget)
        try:
            allowance.budgeted()(lambda messages, model, max_tokens: None)(
                [{"role": "user", "content": "x"}], "gpt-4o", 5000)
        except allowance.BudgetExceededError as error:
            print(error.limit)
    """
    assert python(code, ALLOWANCE_MAX_BUDGET="0.01").split() == ["0.01", "0.01"]


def test_a_bad_cap_in_the_environment_is_an_error_at_import() -> None:
    code = """
        try:
            import allowance
        except Exception as error:
            print(type(error).__name__, error)
    """
    said = python(code, ALLOWANCE_MAX_BUDGET="plenty")
    assert said.startswith("ConfigurationError")
    assert "plenty" in said


def test_a_forked_child_starts_at_zero_and_with_the_same_cap() -> None:
    out = python(
        """
        import os
        import allowance
        from tests.calls.support import reply, MESSAGES

        allowance.max_budget = 1
        ask = allowance.budgeted()(lambda messages, model, max_tokens: reply())
        ask(MESSAGES, "gpt-4o", 50)
        pid = os.fork()
        if not pid:
            print("child", allowance.current_cost, allowance.max_budget, flush=True)
            ask(MESSAGES, "gpt-4o", 50)
            ask(MESSAGES, "gpt-4o", 50)
            print("child", allowance.current_cost, flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        print("parent", allowance.current_cost)
        """
    ).splitlines()
    assert out == ["child 0 1", "child 0.00015", "parent 0.000075"]


def test_two_instances_of_the_real_client_share_the_cap(provider: Provider) -> None:
    allowance.max_budget = usd(HELD)
    with clients.openai_sync(provider) as first, clients.openai_sync(provider) as second:
        first.chat.completions.create(**CHAT)
        with pytest.raises(BudgetExceededError):
            second.chat.completions.create(**CHAT)
        assert isinstance(second, openai.OpenAI)


@pytest.mark.parametrize("words", [("-m", "other"), ("-c", "import other"), ("other/__main__.py",)])
def test_the_variable_caps_every_program_but_the_command_line(words: tuple[str, ...], tmp_path: Path) -> None:
    package = tmp_path / "other"
    package.mkdir()
    (package / "__init__.py").write_text("import allowance\nprint(allowance.max_budget)\n")
    (package / "__main__.py").write_text("import other\n")
    environment = os.environ | {"ALLOWANCE_MAX_BUDGET": "0.25", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, *words], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["0.25"]

"""Every sample of LiteLLM's budget manager page, with only the import changed."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

import allowance
from allowance import BudgetExceededError
from tests.calls.support import usd
from tests.provider import Provider
from tests.server.running import inside

# LiteLLM and pydantic warn of one another.
pytestmark = pytest.mark.filterwarnings("ignore")

GPT_4_IN, GPT_4_OUT = 30_000, 60_000
TURBO_IN, TURBO_OUT = 500, 1_500
"""Nano-dollars a token."""


@pytest.fixture(autouse=True)
def _openai_is_the_provider(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    for name in ("OPENAI_API_BASE", "OPENAI_BASE_URL"):
        monkeypatch.setenv(name, f"{provider.url}/v1")


def run(sample: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(textwrap.dedent(sample), names)  # that is the test
    return names


def test_a_maximum_for_the_process(provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    provider.reply(input_tokens=13, output_tokens=20)
    sample = """
        import allowance as litellm  # import litellm
        from litellm import completion

        litellm.max_budget = 0.001
        messages = [{"role": "user", "content": "Hey, how's it going"}]
        completion(model="gpt-4", messages=messages)
        print(litellm._current_cost)
        completion(model="gpt-4", messages=messages)
    """
    with pytest.raises(BudgetExceededError) as refused:
        run(sample)
    cost = usd(13 * GPT_4_IN + 20 * GPT_4_OUT)
    assert capsys.readouterr().out.split() == [str(cost)]
    assert refused.value.current_cost == cost
    assert provider.count == 1


USER_BASED = """
    from allowance import BudgetManager  # from litellm import BudgetManager
    from litellm import completion

    budget_manager = BudgetManager(project_name="test_project")
    user = "1234"
    if not budget_manager.is_valid_user(user):
        budget_manager.create_budget(total_budget=10, user=user)
    if budget_manager.get_current_cost(user=user) <= budget_manager.get_total_budget(user):
        response = completion(
            model="gpt-3.5-turbo", messages=[{"role": "user", "content": "Hey, how's it going?"}]
        )
        budget_manager.update_cost(completion_obj=response, user=user)
    else:
        response = "Sorry - no budget!"
"""


def test_user_based_limits(provider: Provider) -> None:
    provider.reply(input_tokens=13, output_tokens=9)
    for number in (1, 2, 3):  # the user exists from the second time on
        names = run(USER_BASED)
        cost = usd(number * (13 * TURBO_IN + 9 * TURBO_OUT))
        assert names["budget_manager"].get_current_cost("1234") == float(cost)
        assert names["budget_manager"].status("1234")[0].spent == cost
        assert names["response"].usage.prompt_tokens == 13


def test_user_based_limits_once_the_budget_is_spent(provider: Provider) -> None:
    provider.reply(input_tokens=13, output_tokens=9)
    run(USER_BASED)["budget_manager"].set_budget("1234", 0.00001)
    assert run(USER_BASED)["response"] == "Sorry - no budget!"
    assert provider.count == 1


def test_text_in_text_out(capsys: pytest.CaptureFixture[str]) -> None:
    sample = """
        from allowance import BudgetManager  # from litellm import BudgetManager

        budget_manager = BudgetManager(project_name="test_project")
        budget_manager.create_budget(total_budget=10, user="12345", duration="daily")
        budget_manager.update_cost(
            user="12345", model="gpt-3.5-turbo", input_text="hello world",
            output_text="it's a sunny day in san francisco",
        )
        print(budget_manager.get_current_cost("12345"))
    """
    names = run(sample)
    cost = float(capsys.readouterr().out)
    # "hello world" is 2 tokens and the chat format's 7, the answer 9: gpt-3.5-turbo's own vocabulary.
    assert cost == float(usd(9 * TURBO_IN + 9 * TURBO_OUT)) > 0
    assert names["budget_manager"].get_model_cost("12345") == {"gpt-3.5-turbo": cost}


HOSTED = USER_BASED.replace('"test_project"', '"<my-unique-project>", client_type="hosted"').replace(
    "total_budget=10, user=user", 'total_budget=10, user=user, duration="monthly"'
)


def test_hosted_and_self_hosted(provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    provider.reply(input_tokens=13, output_tokens=9)
    cost = 13 * TURBO_IN + 9 * TURBO_OUT
    with inside(f"sqlite:///{tmp_path}/server.db") as server:
        monkeypatch.setenv("ALLOWANCE_STORE", server.url)
        monkeypatch.setenv("ALLOWANCE_API_KEY", server.mint("my-app", ["spend"]))
        for number, api_base in enumerate(["", f', api_base="{server.url}"'], start=1):
            names = run(HOSTED.replace('"hosted"', f'"hosted"{api_base}'))
            names["budget_manager"].close()
            assert names["response"].usage.prompt_tokens == 13
            (account,) = server.store.accounts("<my-unique-project>")
            assert (account.key.name, account.spent) == ("1234", number * cost)
            assert (account.limit, account.terms.duration) == (10_000_000_000, "monthly")
        assert server.store.audit() == []


def test_the_wrapped_sample_needs_no_check_and_no_update(provider: Provider) -> None:
    provider.reply(input_tokens=13, output_tokens=9)
    sample = """
        from allowance import BudgetManager
        from litellm import completion

        budget_manager = BudgetManager(project_name="test_project")
        budget_manager.create_budget(total_budget=10, user="1234")
        completion = budget_manager.budgeted(user="1234")(completion)
        response = completion(
            model="gpt-3.5-turbo", messages=[{"role": "user", "content": "Hey, how's it going?"}]
        )
        budget_manager.update_cost(completion_obj=response, user="1234")  # left over: charged once (R3)
    """
    names = run(sample)
    cost = usd(13 * TURBO_IN + 9 * TURBO_OUT)
    assert names["budget_manager"].status("1234")[0].spent == cost
    assert names["budget_manager"].audit() == []
    assert allowance.current_cost == cost

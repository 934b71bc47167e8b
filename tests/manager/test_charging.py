"""`update_cost`: what a call cost that was made elsewhere, once, whatever it is told by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import litellm
import openai
import pytest

import allowance
from allowance import BudgetManager, ConfigurationError, UnknownModelError, UnknownUserError
from allowance.calls import lifeline
from allowance.errors import StoreUnavailableError
from tests.calls.support import CALL, CHAT, GPT_4O_IN, GPT_4O_OUT, MESSAGES, Flaky, reply, usd
from tests.provider import Provider, clients

# LiteLLM and pydantic warn of one another.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def manager(manager: BudgetManager) -> BudgetManager:
    manager.create_budget(10, "alice")
    return manager


def spent(manager: BudgetManager, user: str = "alice") -> Decimal:
    assert manager.audit() == []
    return manager.status(user)[0].spent


def chunks(usage: bool = True) -> list[dict[str, Any]]:
    """A stream of OpenAI's, as its SDK would give it with ``model_dump()``."""
    common = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "model": "gpt-4o", "usage": None}
    pieces: list[dict[str, Any]] = [
        {**common, "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]}
        for word in ("hello ", "there")
    ]
    pieces.append({**common, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if usage:
        pieces.append({**common, "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}})
    return pieces


# -- replies -------------------------------------------------------------------------------------------


def test_a_reply_is_charged_to_its_model_with_its_tokens(manager: BudgetManager) -> None:
    record = manager.update_cost("alice", reply())["user"]
    assert record["current_cost"] == float(usd(CALL))
    assert record["model_cost"] == {"gpt-4o": float(usd(CALL))}
    [entry] = manager.entries("alice")
    assert (entry.model, entry.input_tokens, entry.output_tokens, entry.amount) == ("gpt-4o", 10, 5, CALL)
    assert spent(manager) == usd(CALL)


def test_the_same_text_by_two_replies_is_two_calls(manager: BudgetManager) -> None:
    for _ in range(2):
        manager.update_cost("alice", reply())
    assert spent(manager) == usd(2 * CALL)


def test_model_serves_where_the_reply_names_none(manager: BudgetManager) -> None:
    manager.update_cost("alice", {"usage": {"prompt_tokens": 10, "completion_tokens": 5}}, model="gpt-4o")
    assert manager.get_model_cost("alice") == {"gpt-4o": float(usd(CALL))}


def test_a_reply_is_the_truth_beside_texts(manager: BudgetManager) -> None:
    manager.update_cost("alice", reply(), model="gpt-4", input_text="x " * 1000, output_text="y " * 1000)
    assert spent(manager) == usd(CALL)


def test_texts_serve_where_the_reply_carries_no_usage(manager: BudgetManager) -> None:
    manager.update_cost("alice", {"id": "x"}, model="gpt-4o", input_text="hello there", output_text="hi")
    assert spent(manager) == usd(9 * GPT_4O_IN + GPT_4O_OUT)


def test_several_replies_are_charged_together(manager: BudgetManager) -> None:
    manager.update_cost("alice", [reply(), reply(20, 10)])
    assert spent(manager) == usd(3 * CALL)
    [entry] = manager.entries("alice")
    assert (entry.input_tokens, entry.output_tokens) == (30, 15)


def test_a_list_of_chunks_is_one_reply(manager: BudgetManager) -> None:
    manager.update_cost("alice", chunks())
    assert spent(manager) == usd(CALL)
    assert manager.get_model_cost("alice") == {"gpt-4o": float(usd(CALL))}


def test_chunks_with_a_usage_each_are_one_reply_by_their_id(manager: BudgetManager) -> None:
    # Gemini's: each carries what was used so far.
    pieces = [
        {
            "response_id": "one",
            "model_version": "gemini-2.5-pro",
            "candidates": [{"content": {"parts": [{"text": "hi"}]}, "finish_reason": ended}],
            "usage_metadata": {"prompt_token_count": 10, "candidates_token_count": out},
        }
        for ended, out in ((None, 2), ("STOP", 5))
    ]
    manager.update_cost("alice", pieces)
    assert spent(manager) == usd(10 * 1_250 + 5 * 10_000)


def test_replies_with_ids_of_their_own_are_several_though_one_was_cut(manager: BudgetManager) -> None:
    replies = [
        {
            "response_id": name,
            "model_version": "gemini-2.5-pro",
            "candidates": [{"content": {"parts": [{"text": "hi"}]}, "finish_reason": ended}],
            "usage_metadata": {"prompt_token_count": 10, "candidates_token_count": 5},
        }
        for name, ended in (("one", None), ("two", "STOP"))
    ]
    manager.update_cost("alice", replies)
    assert spent(manager) == usd(2 * (10 * 1_250 + 5 * 10_000))


def test_a_real_stream_of_chunks(manager: BudgetManager, provider: Provider) -> None:
    with clients.openai_sync(provider) as client:
        options = {"stream": True, "stream_options": {"include_usage": True}}
        manager.update_cost("alice", list(client.chat.completions.create(**CHAT, **options)))
    assert spent(manager) == usd(CALL)


def test_litellms_reply_from_its_cache_costs_nothing(manager: BudgetManager) -> None:
    usage = litellm.Usage(prompt_tokens=10, completion_tokens=5, total_tokens=15)
    cached = litellm.ModelResponse(model="gpt-4o", usage=usage)
    cached._hidden_params = {"cache_hit": True}
    record = manager.update_cost("alice", cached)["user"]
    assert (record["current_cost"], record["model_cost"]) == (0.0, {"gpt-4o": 0.0})
    assert spent(manager) == 0


def test_of_a_cached_reply_and_a_paid_one_the_paid_one_is_charged(manager: BudgetManager) -> None:
    usage = litellm.Usage(prompt_tokens=10, completion_tokens=5, total_tokens=15)
    cached = litellm.ModelResponse(model="gpt-4o", usage=usage)
    cached._hidden_params = {"cache_hit": True}
    manager.update_cost("alice", [cached, reply()])
    [entry] = manager.entries("alice")
    assert (entry.amount, entry.reason) == (CALL, "")
    manager.update_cost("alice", cached)
    assert [entry.reason for entry in manager.entries("alice")] == ["", "answered from a cache"]


# -- texts ---------------------------------------------------------------------------------------------


def test_texts_count_as_a_message_and_as_text(manager: BudgetManager) -> None:
    manager.update_cost("alice", model="gpt-4o", input_text="hello there", output_text="hi")
    assert spent(manager) == usd(9 * GPT_4O_IN + 1 * GPT_4O_OUT)
    [entry] = manager.entries("alice")
    assert (entry.input_tokens, entry.output_tokens, entry.counted) == (9, 1, True)


def test_texts_may_be_empty(manager: BudgetManager) -> None:
    manager.update_cost("alice", model="gpt-4o", input_text="hello there", output_text="")
    assert spent(manager) == usd(9 * GPT_4O_IN)


# -- what tells nothing ----------------------------------------------------------------------------------


def _stream() -> Iterator[dict[str, Any]]:
    yield from chunks()


async def _coming() -> Any: ...


NOTHING: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "needs the reply"),
    "a model alone": ({"model": "gpt-4o"}, "needs the reply"),
    "no output": ({"model": "gpt-4o", "input_text": "hi"}, "needs the reply"),
    "no model": ({"input_text": "hi", "output_text": "hi"}, "together"),
    "texts that are none": ({"model": "gpt-4o", "input_text": ["hi"], "output_text": 5}, "each a str"),
    "a chunk": ({"completion_obj": chunks()[0]}, "include_usage"),
    "chunks without usage": ({"completion_obj": chunks(usage=False)}, "include_usage"),
    "no replies at all": ({"completion_obj": []}, "no usage"),
    "a text": ({"completion_obj": "hello"}, "no usage"),
    "something else": ({"completion_obj": object()}, "no usage"),
    "a stream that nobody has read": ({"completion_obj": _stream()}, "read it"),
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_tells_nothing_is_refused_with_the_remedy(name: str, manager: BudgetManager) -> None:
    arguments, says = NOTHING[name]
    with pytest.raises(ConfigurationError, match=says) as refused:
        manager.update_cost("alice", **arguments)
    assert isinstance(refused.value, ValueError)
    assert list(manager.entries()) == []


def test_a_reply_that_was_not_awaited_is_refused(manager: BudgetManager) -> None:
    coming = _coming()
    with pytest.raises(ConfigurationError, match="await"):
        manager.update_cost("alice", coming)
    coming.close()


@pytest.mark.parametrize("model", ["nobody/knows-this", "claude-opus-9", "gpt-9"])
def test_an_unknown_model_is_not_free_and_nothing_is_recorded(model: str, manager: BudgetManager) -> None:
    for arguments in (
        {"completion_obj": reply(model=model)},
        {"model": model, "input_text": "a", "output_text": "b"},
    ):
        with pytest.raises(UnknownModelError, match="configure"):
            manager.update_cost("alice", **arguments)
    assert list(manager.entries()) == []


def test_an_unknown_model_at_a_price_of_the_users_own() -> None:
    price = allowance.Price(input=1, output=2)
    for settings in ({"prices": {"ours": price}}, {"on_unknown_model": price}):
        with BudgetManager("shop", client_type="memory", **settings) as manager:
            manager.create_budget(10, "alice")
            manager.update_cost("alice", reply(model="ours"))
            assert spent(manager) == usd(10 * 1_000 + 5 * 2_000)


def test_an_unknown_model_that_may_be_free() -> None:
    with BudgetManager("shop", client_type="memory", on_unknown_model="free") as manager:
        manager.create_budget(10, "alice")
        assert manager.update_cost("alice", reply(model="ours"))["user"]["model_cost"] == {"ours": 0.0}


# -- who -------------------------------------------------------------------------------------------------


def test_a_stranger_is_an_error_that_names_where_he_is_known(manager: BudgetManager) -> None:
    manager.store.define(manager._key("bob")._replace(project="other"), manager_terms())
    with pytest.raises(UnknownUserError, match="'other'"):
        manager.update_cost("bob", reply())
    with pytest.raises(KeyError):
        manager.update_cost("bob", reply())


def manager_terms() -> Any:
    from allowance.ledger.records import Declaration

    return Declaration(limit=5, creates=True)


def test_r11_a_stranger_gets_a_budget_where_there_are_default_terms() -> None:
    with BudgetManager("shop", client_type="memory", default_limit=2, default_duration="daily") as manager:
        record = manager.update_cost("new", reply())["user"]
        assert (record["total_budget"], record["duration"]) == (2.0, 1)
        assert record["current_cost"] == float(usd(CALL))


def test_it_counts_on_all_of_the_users_budgets_that_apply(manager: BudgetManager) -> None:
    manager.set_budget("alice", 1, label="month", duration="monthly")
    manager.set_budget("alice", 1, models="claude*")
    manager.update_cost("alice", reply())
    by_label = {budget.label: budget.spent for budget in manager.status("alice")}
    assert by_label == {"": usd(CALL), "month": usd(CALL), "claude*": 0}


# -- once ------------------------------------------------------------------------------------------------


def test_r3_a_reply_that_was_charged_in_a_block_is_not_charged_again(
    manager: BudgetManager, provider: Provider
) -> None:
    with clients.openai_sync(provider) as client:
        with manager.budget("alice"):
            first = client.chat.completions.create(**CHAT)
        second = client.chat.completions.create(**CHAT)
    for answer in (first, first.model_dump()):
        assert manager.update_cost("alice", answer)["user"]["current_cost"] == float(usd(CALL))
    manager.update_cost("alice", [first])
    assert spent(manager) == usd(CALL)
    manager.update_cost("alice", second)  # was made outside
    assert spent(manager) == usd(2 * CALL)


def test_r3_of_several_replies_only_the_others_are_charged(
    manager: BudgetManager, provider: Provider
) -> None:
    with clients.openai_sync(provider) as client:
        with manager.budget("alice"):
            inside = client.chat.completions.create(**CHAT)
        outside = client.chat.completions.create(**CHAT)
    manager.update_cost("alice", [inside, outside])
    assert spent(manager) == usd(2 * CALL)


def test_r3_the_chunks_of_a_stream_that_was_followed(manager: BudgetManager, provider: Provider) -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    with clients.openai_sync(provider) as client, manager.budget("alice"):
        pieces = list(client.chat.completions.create(**CHAT, **options))
    assert spent(manager) == usd(CALL)
    manager.update_cost("alice", pieces)
    assert spent(manager) == usd(CALL)


def test_r3_a_decorated_function_and_its_reply(manager: BudgetManager) -> None:
    @manager.budgeted(user="alice")
    def ask(messages: Any, model: str = "gpt-4o", max_tokens: int = 50) -> Any:
        return litellm.ModelResponse(
            model=model, usage=litellm.Usage(prompt_tokens=10, completion_tokens=5, total_tokens=15)
        )

    answer = ask(MESSAGES)
    manager.update_cost("alice", answer)
    assert spent(manager) == usd(CALL)


def test_r3_another_user_is_charged_all_the_same(manager: BudgetManager, provider: Provider) -> None:
    manager.create_budget(10, "bob")
    with clients.openai_sync(provider) as client, manager.budget("alice"):
        answer: openai.types.chat.ChatCompletion = client.chat.completions.create(**CHAT)
    manager.update_cost("bob", answer)
    assert (spent(manager), spent(manager, "bob")) == (usd(CALL), usd(CALL))


# -- the store -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [StoreUnavailableError("Down."), UnknownUserError(user="alice")])
def test_r3_a_cost_that_was_posted_raises_nothing_or_it_would_be_charged_again(
    manager: BudgetManager, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def gone(_: Any) -> Any:
        raise error

    monkeypatch.setattr(manager.store, "model_costs", gone)
    assert manager.update_cost("alice", reply()) == {"user": {}}
    assert spent(manager) == usd(CALL)


def test_r14_a_cost_that_the_store_did_not_take_is_posted_later() -> None:
    store = Flaky()
    manager = BudgetManager("shop", store=store)
    manager.create_budget(10, "alice")
    store.down.add("settle")
    assert manager.update_cost("alice", reply()) == {"user": {}}
    assert spent(manager) == 0
    store.down.clear()
    lifeline.drain()
    lifeline.drain()
    assert spent(manager) == usd(CALL)


def test_r5_what_exceeds_the_budget_is_posted_in_full(manager: BudgetManager) -> None:
    manager.set_budget("alice", "0.00001")
    manager.update_cost("alice", reply())
    assert manager.remaining("alice") == usd(10_000 - CALL)


def test_no_text_of_a_prompt_is_kept(manager: BudgetManager) -> None:
    manager.update_cost("alice", model="gpt-4o", input_text="a secret", output_text="another")
    kept = json.dumps([list(map(str, entry)) for entry in manager.entries()])
    assert "secret" not in kept
    assert "another" not in kept

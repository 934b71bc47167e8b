"""Each method of both managers, on the same script of operations: every return value is compared.

Where ours differs it is meant to, and listed with the reason; a difference that has gone fails too.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import litellm
import pytest

from allowance import BudgetManager
from tests.manager.support import saves_done

HOUR_AGO = time.time() - 3600
DAYS_AGO = time.time() - 3.5 * 86_400
HELLO = [{"role": "user", "content": "Hey, how's it going?"}]


def reply(model: str = "gpt-4o", into: int = 1000, out: int = 500) -> litellm.ModelResponse:
    usage = litellm.Usage(prompt_tokens=into, completion_tokens=out, total_tokens=into + out)
    return litellm.ModelResponse(model=model, usage=usage)


def plain_reply() -> dict[str, Any]:
    usage = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
    return {"id": "chatcmpl-1", "model": "gpt-4", "choices": [], "usage": usage}


def chunk() -> litellm.ModelResponseStream:
    return litellm.ModelResponseStream(
        model="gpt-4o", choices=[{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}]
    )


def made_after(manager: Any) -> bool:
    """Whether a budget that is made now was made now, and not when the module was imported."""
    before = time.time() - 0.001
    return manager.create_budget(1, "late", "daily")["created_at"] >= before


Operation = Callable[[Any], Any]

SCRIPT: dict[str, Operation] = {
    # making budgets
    "create for good": lambda m: m.create_budget(total_budget=10, user="a"),
    "create daily": lambda m: m.create_budget(10, "b", "daily", HOUR_AGO),
    "create weekly": lambda m: m.create_budget(
        total_budget=10, user="c", duration="weekly", created_at=HOUR_AGO
    ),
    "create monthly": lambda m: m.create_budget(0.5, "d", duration="monthly", created_at=HOUR_AGO),
    "create yearly": lambda m: m.create_budget(1e-05, "e", duration="yearly", created_at=HOUR_AGO),
    "valid": lambda m: m.is_valid_user("a"),
    "not valid": lambda m: m.is_valid_user("nobody"),
    "nobody at all is valid": lambda m: m.is_valid_user(None),
    "users": lambda m: m.get_users(),
    "total": lambda m: m.get_total_budget("d"),
    "total of nobody": lambda m: m.get_total_budget("nobody"),
    # before anything was spent
    "cost at first": lambda m: m.get_current_cost("a"),
    "cost by model at first": lambda m: m.get_model_cost("a"),
    "cost of nobody": lambda m: m.get_current_cost("nobody"),
    "cost by model of nobody": lambda m: m.get_model_cost("nobody"),
    "user_dict at first": lambda m: m.user_dict,
    # charging replies
    "update by a reply": lambda m: m.update_cost(completion_obj=reply(), user="a"),
    "update by another": lambda m: m.update_cost("a", reply("gpt-3.5-turbo", 2000, 10)),
    "update once more": lambda m: m.update_cost("a", reply()),
    "update by a dict": lambda m: m.update_cost("b", plain_reply()),
    "update of nobody": lambda m: m.update_cost("nobody", reply()),
    "update by nothing": lambda m: m.update_cost("a"),
    "update by a model alone": lambda m: m.update_cost("a", model="gpt-4o"),
    "update by the input alone": lambda m: m.update_cost("a", model="gpt-4o", input_text="hello"),
    "update without a known price": lambda m: m.update_cost("a", reply("nobody/knows-this")),
    "update that costs nothing": lambda m: m.update_cost("c", reply(into=0, out=0)),
    "cost after updates": lambda m: m.get_current_cost("a"),
    "cost by model after updates": lambda m: m.get_model_cost("a"),
    "user_dict after updates": lambda m: {name: m.user_dict[name] for name in "abde"},
    "update by a new model's reply": lambda m: m.update_cost("e", reply("claude-opus-9")),
    "update by a chunk": lambda m: m.update_cost("e", chunk()),
    # charging texts
    "texts": lambda m: m.update_cost(
        user="d", model="gpt-4", input_text="hello world", output_text="it's sunny"
    ),
    "an empty text": lambda m: m.update_cost(user="d", model="gpt-4", input_text="hello", output_text=""),
    "texts beside a reply": lambda m: m.update_cost("e", reply(), "gpt-4o", "hello", "hi")["user"][
        "current_cost"
    ],
    # projections
    "projection": lambda m: m.projected_cost("gpt-4o", HELLO, "a"),
    "projection with an output cap": lambda m: m.projected_cost("gpt-4o", HELLO, "a", max_tokens=100),
    "projection of parts": lambda m: m.projected_cost(
        "gpt-4o", [{"role": "user", "content": [{"type": "text", "text": "hi"}]}], "a"
    ),
    "projection of a tool's message": lambda m: m.projected_cost(
        "gpt-4o", [{"role": "assistant", "content": None}], "a"
    ),
    "projection of nobody": lambda m: m.projected_cost("gpt-4o", HELLO, "nobody"),
    "projection without a known price": lambda m: m.projected_cost("nobody/knows-this", HELLO, "a"),
    # resets
    "reset": lambda m: m.reset_cost("a"),
    "cost after the reset": lambda m: m.get_current_cost("a"),
    "cost by model after the reset": lambda m: m.get_model_cost("a"),
    "user_dict after the reset": lambda m: m.user_dict["a"],
    "update after the reset": lambda m: m.update_cost("a", reply()),
    "reset of nobody": lambda m: m.reset_cost("nobody"),
    "reset on duration": lambda m: m.reset_on_duration("b"),
    "reset on duration of nobody": lambda m: m.reset_on_duration("nobody"),
    "reset on duration without one": lambda m: m.reset_on_duration("a"),
    "update all": lambda m: m.update_budget_all_users(),
    "cost after the daily job": lambda m: m.get_current_cost("b"),
    # the rest
    "save": lambda m: m.save_data(),
    "load": lambda m: m.load_data(),
    "verbose": lambda m: m.print_verbose("hello"),
    "cost after loading": lambda m: m.get_current_cost("b"),
    # what goes wrong in LiteLLM
    "a window that is over": lambda m: m.create_budget(1, "f", "daily", DAYS_AGO)["last_updated_at"],
    "created now": made_after,
    "create again": lambda m: m.create_budget(20, "a"),
    "cost after creating again": lambda m: m.get_current_cost("a"),
    "no such duration": lambda m: m.create_budget(1, "g", "10dogs"),
    "made with no such duration": lambda m: m.is_valid_user("g"),
    "every twelve hours": lambda m: m.create_budget(1, "h", "12h", HOUR_AGO)["duration"],
    "a negative budget": lambda m: m.create_budget(-1, "i"),
    "a budget that is no number": lambda m: m.create_budget(math.nan, "i"),
    "a budget as text": lambda m: m.create_budget("10", "i"),
    "an int for a user": lambda m: (m.create_budget(1, 7), 7 in m.get_users())[1],
    "the int's cost": lambda m: m.get_current_cost(7),
    "users in order": lambda m: (m.create_budget(1, "Z"), m.get_users()[0])[1],
    "another project's users": lambda m: type(m)("another").is_valid_user("a"),
    "no such client": lambda m: type(m)("x", client_type="s3").client_type,
    "the documented type=": lambda m: type(m)(project_name="x", type="client"),
    "api_base": lambda m: m.api_base,
    "headers": lambda m: m.headers,
    "project_name": lambda m: m.project_name,
    "client_type": lambda m: m.client_type,
}

IMPROVEMENTS = {
    "cost by model at first": "always a dict; LiteLLM: the number 0",
    "update by a new model's reply": "unknown is not free: an error; LiteLLM charges $0",
    "update by a chunk": "a chunk without usage is an error; LiteLLM charges $0",
    "texts": "the output counts as text; LiteLLM adds a chat message's overhead to it",
    "an empty text": "may be empty; LiteLLM refuses it",
    "texts beside a reply": "the reply is the truth; LiteLLM charges the texts",
    "projection": "counts the chat format's tokens too",
    "projection with an output cap": "can count the output",
    "projection of parts": "takes content in parts; LiteLLM: TypeError",
    "projection of a tool's message": "takes messages without content; LiteLLM: TypeError",
    "user_dict after the reset": "what is zero is left out of a record, as before anything was spent",
    "reset on duration without one": "nothing to do; LiteLLM: KeyError",
    "a window that is over": "the window of now; LiteLLM's windows begin when it is asked to reset them",
    "created now": "the time of the call; LiteLLM: of its import",
    "create again": "what was spent stays spent; LiteLLM forgets it",
    "cost after creating again": "what was spent stays spent; LiteLLM forgets it",
    "made with no such duration": "nothing is made of what is refused",
    "every twelve hours": "more durations",
    "a negative budget": "refused",
    "a budget that is no number": "refused",
    "a budget as text": "read as a number; LiteLLM keeps the text, and fails when it is compared",
    "an int for a user": "becomes its digits, as LiteLLM's own file makes of it",
    "users in order": "of their names; LiteLLM: as they were made",
    "another project's users": "projects never see each other's users; LiteLLM keeps all in one file",
    "no such client": "refused at once; LiteLLM fails at the first use",
    "the documented type=": "the error says what there is; LiteLLM: TypeError",
    "api_base": "none where there is no server; LiteLLM names its own",
    "headers": "none where there is no server",
}


def outcome(operation: Operation, manager: Any) -> Any:
    """What an operation gave, or the kind of error that callers would catch."""
    try:
        return copy.deepcopy(operation(manager))  # LiteLLM hands out its own records, which change later
    except Exception as error:
        kinds = [kind for kind in (KeyError, ValueError, TypeError) if isinstance(error, kind)]
        return ("raises", kinds[0] if kinds else Exception)
    finally:
        saves_done()


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (int, float)) and isinstance(other, (int, float)) and not isinstance(one, bool):
        return one == pytest.approx(other, rel=1e-9, abs=1e-12)
    return type(one) is type(other) and one == other


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("litellm"))
        patch.setenv("ALLOWANCE_STORE", "sqlite:///allowance.db")
        theirs, ours = litellm.BudgetManager("shop"), BudgetManager("shop")
        found = {}
        for name, operation in SCRIPT.items():
            found[name] = outcome(operation, theirs), outcome(operation, ours)
        ours.store.close()
        return found


@pytest.mark.parametrize("name", SCRIPT)
def test_both_managers_return_the_same_but_for_improvements(name: str, outcomes: dict[str, Any]) -> None:
    theirs, ours = outcomes[name]
    if name in IMPROVEMENTS:
        assert not same(theirs, ours), f"both give {ours!r}: no longer a difference"
    else:
        assert same(theirs, ours), f"LiteLLM gives {theirs!r}, we give {ours!r}"


def test_the_script_calls_every_method_of_litellms_manager() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    public = [name for name in vars(litellm.BudgetManager) if not name.startswith("_")]
    assert len(public) >= 14
    for name in public:
        assert f"m.{name}(" in source, name
        assert callable(getattr(BudgetManager, name))


def test_every_improvement_is_one_of_the_script() -> None:
    assert IMPROVEMENTS.keys() <= SCRIPT.keys()

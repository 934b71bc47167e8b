"""What one call costs beside the call itself, ours beside LiteLLM's, in one run.

    python -m tests.benchmarks.overhead

Rows of DESIGN §9: the import; the whole overhead of a short call with the memory store; a prompt of 10 kB
with a budget far from its end; a price lookup. Ours is a whole decorated call: who, request, quote,
reserve, call, measure, price, settle, less the bare call. LiteLLM's is what its documentation tells users
to write around a call, `projected_cost` before it and `update_cost` after it: as it is, with the thread that
each update starts to save its file, and without it. The two are timed in turn, round by round; medians and
ratios are printed.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

ROUNDS = 15
MODEL = "gpt-4o-mini"
SHORT = [{"role": "user", "content": "Hey, how's it going?"}]
LONG = [{"role": "user", "content": "The quick brown fox jumps over the lazy dog. " * 223}]  # 10 kB


def main() -> None:
    """Print the table."""
    print(f"Python {sys.version.split()[0]}, medians of {ROUNDS} rounds taken in turn\n")
    print_imports()
    print_calls()


def print_imports() -> None:
    """Wall time of fresh interpreters, less that of an empty one; all is compiled beforehand."""
    statements = {
        "nothing": "pass",
        "wrapt, pydantic": "import wrapt, pydantic",
        "allowance": "import wrapt, pydantic, allowance",
        "its names": "import wrapt, pydantic; from allowance import budget, budgeted",
        "litellm": "import litellm",
    }
    taken: dict[str, list[float]] = {name: [] for name in statements}
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": tempfile.mkdtemp()}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    for number in range(8):
        for name, statement in statements.items():
            begun = time.perf_counter()
            subprocess.run(
                [sys.executable, "-c", statement], check=True, capture_output=True, env=environment
            )
            if number:  # the first one compiles
                taken[name].append((time.perf_counter() - begun) * 1000)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    base = medians["wrapt, pydantic"]
    print(
        f"import wrapt, pydantic             {base - medians['nothing']:>8.1f} ms over an empty interpreter"
    )
    print(f"import litellm                     {medians['litellm'] - medians['nothing']:>8.1f} ms over it")
    ours = medians["allowance"] - base
    print(f"import allowance                   {ours:>8.1f} ms over wrapt, pydantic   at most 30 ms")
    print(f"from allowance import budget, ...  {medians['its names'] - base:>8.1f} ms over wrapt, pydantic\n")


def print_calls() -> None:
    """Microseconds per call, ours and LiteLLM's."""
    ours, theirs = our_calls(), their_calls()
    print(f"{'':<34}{'allowance':>12}{'LiteLLM':>12}{'ratio':>9}   target")
    for name, row, target in (
        ("short", "short prompt", "at most 25 µs and 1/25"),
        ("short", "short, saving", "at most 25 µs and 1/25"),
        ("10 kB", "10 kB prompt", "at most 40 µs"),
    ):
        mine, others = in_turn(ours[name], theirs[row])
        bare, _ = in_turn(ours["bare"], ours["bare"])
        mine -= bare
        print(
            f"overhead of a call, {row:<14}{mine:>9.1f} µs{others:>9.1f} µs{others / mine:>8.1f}x   {target}"
        )
    lookup, genai = in_turn(ours["lookup"], genai_lookup())
    print(
        f"price of a known model            {lookup:>9.1f} µs{genai:>9.1f} µs{genai / lookup:>8.1f}x   "
        "at most 10 µs (beside genai-prices)"
    )


def our_calls() -> dict[str, Callable[[], Any]]:
    """Whole decorated calls, and the bare function."""
    from openai.types.chat import ChatCompletion

    import allowance
    from allowance.calls.books import default_books
    from allowance.stores.memory import MemoryStore

    allowance.configure(store=MemoryStore(), project="benchmark")
    reply = ChatCompletion.model_validate(
        {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": MODEL,
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Fine."}}
            ],
            "usage": {"prompt_tokens": 14, "completion_tokens": 3, "total_tokens": 17},
        }
    )

    def ask(messages: list[dict[str, str]], model: str = MODEL, max_tokens: int = 100) -> ChatCompletion:
        return reply

    budgeted = allowance.budgeted(user="alice", limit=1_000_000)(ask)
    catalogue = default_books().catalogue
    return {
        "short": lambda: budgeted(SHORT),
        "10 kB": lambda: budgeted(LONG),
        "bare": lambda: ask(SHORT),
        "lookup": lambda: catalogue.find(MODEL),
    }


def their_calls() -> dict[str, Callable[[], Any]]:
    """`projected_cost` and `update_cost` of LiteLLM's manager, without and with its saving."""
    import litellm

    os.chdir(tempfile.mkdtemp())  # it reads and writes ./user_cost.json
    saving = litellm.BudgetManager(project_name="benchmark")
    saving.create_budget(total_budget=1_000_000, user="alice")
    quiet = litellm.BudgetManager(project_name="benchmark")
    quiet.create_budget(total_budget=1_000_000, user="alice")
    quiet._save_data_thread = lambda: None
    reply = litellm.completion(model=MODEL, messages=SHORT, mock_response="Fine.")

    def around(messages: list[dict[str, str]], manager: Any = quiet) -> None:
        manager.projected_cost(model=MODEL, messages=messages, user="alice")
        manager.update_cost(user="alice", completion_obj=reply)

    return {
        "short prompt": lambda: around(SHORT),
        "short, saving": lambda: around(SHORT, saving),
        "10 kB prompt": lambda: around(LONG),
    }


def genai_lookup() -> Callable[[], Any]:
    """genai-prices' price of the same model, where it is installed."""
    try:
        import genai_prices
    except ImportError:
        return lambda: time.sleep(0)
    usage = genai_prices.Usage(input_tokens=14, output_tokens=3)
    return lambda: genai_prices.calc_price(usage, MODEL, provider_id="openai")


def in_turn(one: Callable[[], Any], other: Callable[[], Any]) -> tuple[float, float]:
    """Median microseconds per call of two functions, their rounds interleaved."""
    repeats = [_repeats(one), _repeats(other)]
    taken: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for which, function in enumerate((one, other)):
            begun = time.perf_counter()
            for _ in range(repeats[which]):
                function()
            taken[which].append((time.perf_counter() - begun) / repeats[which] * 1e6)
    return statistics.median(taken[0]), statistics.median(taken[1])


def _repeats(function: Callable[[], Any]) -> int:
    """How many calls take about 30 ms."""
    for _ in range(50):
        function()
    begun = time.perf_counter()
    for _ in range(20):
        function()
    return max(20, int(0.03 / ((time.perf_counter() - begun) / 20)))


if __name__ == "__main__":
    main()

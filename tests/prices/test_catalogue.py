"""`Catalogue`: lookups, overrides, and what a reply is billed."""

from __future__ import annotations

import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import allowance
from allowance.errors import ConfigurationError, UnknownModelError
from allowance.prices import Catalogue, Price
from allowance.prices.data import PriceData, read_data
from allowance.replies.usage import Usage


def small(**entries: Any) -> Catalogue:
    return Catalogue(lambda: PriceData(as_of="2026-11-22", sources=("test",), entries=entries))


def test_the_shipped_catalogue_says_what_it_is() -> None:
    data = Catalogue().data
    assert len(data.entries) >= 5000
    assert data.as_of == "2026-11-22"
    assert [source.split()[0] for source in data.sources] == ["LiteLLM", "genai-prices"]
    price = Catalogue().find("gpt-4o")
    assert price.as_of == "2026-11-22"
    assert price.source is not None
    assert "LiteLLM" in price.source
    assert (price.provider, price.mode) == ("openai", "chat")
    assert (price.max_input_tokens, price.max_output_tokens) == (128_000, 16_384)


def test_every_shipped_entry_is_a_price() -> None:
    catalogue = Catalogue()
    for name, entry in catalogue.data.entries.items():
        if isinstance(entry, str):
            assert isinstance(catalogue.data.entries[entry], dict), name
        assert catalogue.find(name).rule == "exact"


def test_importing_reads_no_catalogue_and_nothing_heavy() -> None:
    source = Path(allowance.__file__).parent
    code = (
        "import sys, types\n"
        "package = types.ModuleType('allowance')\n"  # the parts alone, without what the package imports
        f"package.__path__ = [{str(source)!r}]\n"
        "sys.modules['allowance'] = package\n"
        "import allowance.prices\n"
        "heavy = {'tiktoken', 'pydantic', 'sqlite3', 'ssl', 'http.client', 'difflib', 'zoneinfo'}\n"
        "print(sorted(heavy & set(sys.modules)), allowance.prices.Catalogue()._data)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[] None\n"


def test_a_lookup_is_remembered_also_a_miss() -> None:
    catalogue = small(m={"input": "1"})
    assert catalogue.find("m") is catalogue.find("m")
    for _ in range(3):
        with pytest.raises(UnknownModelError):
            catalogue.find("none")
    assert catalogue._resolve.cache_info().misses == 2


def test_it_is_loaded_once_by_many_threads() -> None:
    loads = []

    def load() -> PriceData:
        loads.append(1)
        return PriceData(as_of="", sources=(), entries={"m": {"input": "1"}})

    catalogue = Catalogue(load)
    threads = [threading.Thread(target=catalogue.find, args=("m",)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == [1]


def test_what_interrupts_the_load_may_ask_for_a_price_itself() -> None:
    """A signal's handler or a finalizer that makes a call stands above the load, in the same thread."""
    prices: list[Price] = []

    def load() -> PriceData:
        if not interrupted:
            interrupted.append(True)
            prices.append(catalogue.find("m"))
        return PriceData(as_of="", sources=(), entries={"m": {"input": "1"}})

    interrupted: list[bool] = []
    catalogue = Catalogue(load)
    thread = threading.Thread(target=lambda: prices.append(catalogue.find("m")), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert [price.input for price in prices] == [Price(input="1").input] * 2


def test_r10_what_an_unknown_model_costs_is_the_users_choice() -> None:
    catalogue = small(m={"input": "1"})
    with pytest.raises(UnknownModelError):
        catalogue.find("new")
    assert catalogue.find("new", unknown="free").free
    assumed = catalogue.find("new", unknown=Price("7"))
    assert (assumed.model, assumed.input, assumed.rule) == ("new", Decimal(7), "assumed")
    assert catalogue.find("m", unknown=Price("7")).input == 1


def test_the_users_prices_come_first_exact_then_patterns_in_their_order() -> None:
    catalogue = Catalogue().with_overrides(
        {
            "azure/my-*": Price("1", "2"),
            "AZURE/my-special": {"input": "3"},
            "azure/*": {"input": 4},
            "gpt-4o": Price("5"),
        }
    )
    assert catalogue.find("azure/my-special").input == 3
    assert catalogue.find("azure/my-chat").rule == "override pattern"
    assert catalogue.find("Azure/My-Chat").input == 1
    assert catalogue.find("azure/gpt-4o").input == 4
    assert catalogue.find("openai/gpt-4o").input == 5
    assert catalogue.find("gpt-4o-mini").input == Decimal("0.15")
    more = catalogue.with_overrides({"gpt-4o": Price("6")})
    assert (more.find("gpt-4o").input, more.find("azure/my-chat").input) == (6, 1)
    assert catalogue.find("gpt-4o").input == 5


def test_a_file_of_prices_in_our_words_or_in_litellms(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_text(
        '{"a": {"input": "2.50", "output": 0.1, "variants": [{"above": 100, "input": "5"}]},'
        ' "b": {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 0.00001}}'
    )
    catalogue = Catalogue().with_overrides(file)
    assert catalogue.find("a").cost(Usage(input_tokens=101, output_tokens=10)) == 506_000
    assert catalogue.find("b").cost(Usage(input_tokens=1000, output_tokens=1000)) == 12_500_000
    assert catalogue.with_overrides(str(file)).find("a").rule == "override"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "not JSON"),
        ("[]", "must hold an object"),
        ('{"m": {"inptu": "1"}}', "'m'.*inptu"),
        ('{"m": {"input": true}}', "'m'.*input"),
        ('{"m": {"input": -1}}', "'m'.*input"),
        ('{"m": {"input": "NaN"}}', "'m'.*input"),
        ('{"m": {"input": "1", "variants": [{"above": "x", "input": 1}]}}', r"'m'.*variants\.0\.above"),
        ('{"m": {"input": "1", "max_input_tokens": 1.5}}', "max_input_tokens"),
        ('{"m": 5}', "'m'"),
        ('{"m": {}}', "'m'.*no rate"),
        ('{" ": {"input": 1}}', "name"),
        ('{"m": {"input_cost_per_token": -1}}', "'m'.*not a price"),
        ('{"m": {"strange_cost_per_thing": 1}}', "'m'.*no rate"),
    ],
)
def test_a_wrong_file_of_prices_is_refused_with_the_place(tmp_path: Path, text: str, match: str) -> None:
    file = tmp_path / "prices.json"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=match) as caught:
        Catalogue().with_overrides(file)
    assert "prices.json" in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Catalogue().with_overrides(tmp_path / "none.json")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 2, "prices": {}}', '{"version": 1, "prices": []}']
)
def test_a_text_that_is_no_catalogue_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="this file"):
        read_data(text, "this file")


def test_what_the_provider_says_it_charged_is_taken_where_it_is_something() -> None:
    catalogue = small(m={"input": "1"})
    usage = {"model": "m", "input_tokens": 10}
    assert catalogue.cost(Usage(**usage, reported_cost=Decimal("0.0000000011"))) == 2
    assert catalogue.cost(Usage(**usage, reported_cost=Decimal(0))) == 10_000
    assert catalogue.cost(Usage(**usage, reported_cost=Decimal(-1))) == 10_000
    assert catalogue.cost(Usage(**usage)) == 10_000


def test_a_reply_is_billed_as_the_model_it_names_else_as_the_one_asked_for() -> None:
    catalogue = small(asked={"input": "1"}, served={"input": "2"})

    def cost(named: str | None, asked: str | None) -> int:
        return catalogue.cost(Usage(model=named, input_tokens=1), model=asked)

    assert cost("served", "asked") == 2000
    assert cost("mystery", "asked") == 1000
    assert cost(None, "asked") == 1000
    assert cost("served", "mystery") == 2000
    assert cost("served", None) == 2000
    for named, asked in (("mystery", "riddle"), (None, None), ("mystery", None)):
        with pytest.raises(UnknownModelError):
            cost(named, asked)
    assert catalogue.cost(Usage(model="mystery", input_tokens=1), model="riddle", unknown=Price("9")) == 9000


def test_a_price_of_the_users_own_for_either_name_comes_first() -> None:
    catalogue = small(asked={"input": "1"}, served={"input": "2"})
    usage = Usage(model="served", input_tokens=1)
    assert catalogue.with_overrides({"asked": Price("5")}).cost(usage, model="asked") == 5000
    both = catalogue.with_overrides({"asked": Price("5"), "served": Price("6")})
    assert both.cost(usage, model="asked") == 6000


def test_the_place_that_was_asked_is_kept_with_the_name_that_answered() -> None:
    catalogue = Catalogue()
    usage = Usage(model="gpt-4o-2024-08-06", input_tokens=1000)
    assert catalogue.cost(usage, model="azure/eu/gpt-4o") == 2_750_000
    assert catalogue.cost(usage, model="my-deployment", provider="azure") == 2_500_000
    oss = Usage(model="openai/gpt-oss-120b", input_tokens=1000)
    groq = catalogue.find("groq/openai/gpt-oss-120b").cost(oss)
    assert catalogue.cost(oss, model="groq/openai/gpt-oss-120b") == groq
    assert catalogue.cost(oss, provider="groq") == groq


def test_a_free_variant_stays_free_when_the_reply_names_the_model_alone() -> None:
    usage = Usage(model="deepseek/deepseek-r1", input_tokens=1000)
    assert Catalogue().cost(usage, model="openrouter/deepseek/deepseek-r1:free") == 0
    assert Catalogue().cost(usage, model="openrouter/deepseek/deepseek-r1") > 0


def test_parts_are_billed_each_at_its_own_model() -> None:
    catalogue = small(asked={"input": "1"}, adviser={"input": "100"})
    parts = (Usage(model="adviser", input_tokens=1), Usage(input_tokens=1))
    assert catalogue.cost(Usage(model="asked", input_tokens=1, parts=parts), model="asked") == 102_000


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="must be a str"):
        Catalogue().find(5)  # type: ignore[arg-type]  # the point of the test

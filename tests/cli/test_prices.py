"""``allowance prices`` and ``allowance prices refresh``."""

from __future__ import annotations

import importlib.util
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from allowance.cli import main
from allowance.cli.price_sheet import as_dict, figure, lines, rule_in_words
from allowance.prices import Catalogue, Price
from allowance.prices.data import load_data, shipped_data
from allowance.prices.rates import RATES
from tests.cli.terminal import columns_of, in_terminal


@pytest.fixture(autouse=True)
def _nobodys_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("ALLOWANCE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def told(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command that succeeds prints, its blanks as one each."""
    assert main(list(words)) == 0
    return " ".join(capsys.readouterr().out.split())


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The message of a command that is refused: one to three lines, nothing on standard output."""
    assert main(list(words)) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert 1 <= len(shown.err.splitlines()) <= 3
    return shown.err


# -- one model -----------------------------------------------------------------------------------------


def test_a_price_is_shown_with_units_rule_source_and_date(capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(capsys, "prices", "openai/gpt-4o-2031-01-01")
    assert "gpt-4o: a date or version was taken off" in shown
    assert "input $2.50 per million tokens" in shown
    assert "tier priority input $4.25 per million tokens" in shown
    assert "LiteLLM 1.106.2" in shown
    assert f"as of {shipped_data().as_of}" in shown
    assert "128,000 tokens in, 16,384 tokens out" in shown


def test_context_tiers_and_searches_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(capsys, "prices", "gemini/gemini-2.5-pro")
    assert "above 200,000 input tokens (for the whole request) input $2.50 per million tokens" in shown
    assert "per web search" in shown
    assert "tier priority, above 200,000 input tokens" in shown


def test_several_models_are_shown_in_the_order_asked(capsys: pytest.CaptureFixture[str]) -> None:
    main(["prices", "gpt-4o", "claude-sonnet-4-5"])
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "gpt-4o"
    assert shown.index("gpt-4o") < shown.index("claude-sonnet-4-5")


def test_every_rate_of_every_shipped_price_is_shown() -> None:
    catalogue = Catalogue()
    for name in list(catalogue.data.entries)[::7]:
        price = catalogue.find(name)
        shown = list(lines(price))
        assert len(shown) == len(price.rates) + sum(len(one.rates) for one in price.variants)
        kept = as_dict(name, price)
        assert {rate: Decimal(one["usd"]) for rate, one in kept["rates"].items()} == price.rates
        assert all(one["when"] and one["rates"] for one in kept["variants"])
        json.dumps(kept)


def test_all_units_and_situations_have_words() -> None:
    every = dict.fromkeys(RATES, "1")
    price = Price(
        **every,
        variants=[
            {"tier": "flex", "above": 1000, "input": 1},
            {"size": "1024x1024", "quality": "high", "image": 1},
            {"hours": ["mon-fri 16:30-24:00", "sat 00:00-24:00"], "input": 1},
            {"hours": ["00:00-00:30"], "valid_from": "2026-01-01", "valid_until": "2026-02-01", "input": 1},
        ],
    )  # fmt: skip
    shown = list(lines(price))
    assert len({line.rate for line in shown if line.ordinary}) == len(RATES)
    assert {line.when for line in shown if not line.ordinary} == {
        "tier flex, above 1,000 input tokens (for the whole request)",
        "high, 1024x1024",
        "mon-fri 16:30-24:00, sat 00:00-24:00 UTC",
        "00:00-00:30 UTC, from 2026-01-01, until 2026-02-01",
    }


@pytest.mark.parametrize(
    ("rate", "shown"),
    [
        ("2.5", "2.50"), ("0", "0.00"), ("1234", "1,234.00"), ("0.00000003", "0.00000003"),
        ("0.167000000167936", "0.167"), ("0.249999999369216", "0.25"), ("10000", "10,000.00"),
        ("1E+2", "100.00"),
    ],
)  # fmt: skip
def test_figures_are_plain_and_short(rate: str, shown: str) -> None:
    assert figure(Decimal(rate)) == shown


def test_rules_of_names_have_words() -> None:
    names = ("gpt-4o", "openai/gpt-4o", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "gpt-4o-2031-01-01")
    words = [rule_in_words(Catalogue().find(name).rule) for name in names]
    assert all(" " in each for each in words), words
    assert rule_in_words("override, version") == "a price of your own (a date or version was taken off)"


def test_prices_of_ones_own_come_first_and_are_shown_as_such(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"gpt-4o": {"input": "1", "output": "2"}, "mine/*": {"input": 0, "output": 0}}
    (tmp_path / "own.json").write_text(json.dumps(own))
    monkeypatch.setenv("ALLOWANCE_PRICES", "own.json")
    shown = told(capsys, "prices", "gpt-4o", "mine/a")
    assert "gpt-4o: a price of your own" in shown
    assert "source your own prices" in shown
    assert "input $1.00 per million tokens" in shown
    assert "a pattern among your own prices" in shown
    assert "your own 2, in own.json" in told(capsys, "prices")
    assert "mine/*" in told(capsys, "prices", "--search", "mine")


def test_the_json_has_exact_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prices", "gpt-4o", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["asked"], one["model"], one["rule"], one["own"]) == ("gpt-4o", "gpt-4o", "exact", False)
    assert one["rates"]["input"] == {"usd": "2.5", "per": "million tokens"}
    assert {"when": {"tier": "batch"}, "rates": {
        "input": {"usd": "1.25", "per": "million tokens"}, "output": {"usd": "5", "per": "million tokens"},
    }} in one["variants"]  # fmt: skip


def test_an_unknown_model_is_met_with_near_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert "gpt-4o" in refused(capsys, "prices", "gpt-4o", "gpt-4oo")


# -- all of them ---------------------------------------------------------------------------------------


def test_without_a_model_it_tells_what_there_is_and_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(capsys, "prices")
    assert f"{len(shipped_data().entries):,} names" in shown
    assert "shipped with allowance" in shown
    assert all(source in shown for source in shipped_data().sources)
    assert "allowance prices refresh --help" in shown
    assert main(["prices", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["as_of"] == shipped_data().as_of


def test_names_are_searched_by_words_in_any_case(capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(capsys, "prices", "--search", "SONNET 4-5")
    assert "claude-sonnet-4-5" in shown
    assert "gpt-4o" not in shown
    assert main(["prices", "--search", "Sonnet 4-5", "--json"]) == 0
    names = [one["asked"].lower() for one in json.loads(capsys.readouterr().out)]
    assert len(names) > 10
    assert all("sonnet" in name and "4-5" in name for name in names)


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["prices", "--search", "no-such-thing"], "allowance prices"),
        (["prices", "--search", "gpt-4oo"], "gpt-4o"),
        (["prices", "--search", " "], "--search haiku"),
        (["prices", "gpt-4o", "--search", "x"], "one or the other"),
        (["prices", "--find", "x"], "--help"),
        (["prices", ""], "No price is known"),
        (["prices", "\x1b[31m"], "\\x1b[31m"),
        (["prices", "x" * 1000], "No price is known"),
    ],
)
def test_what_cannot_be_shown(words: list[str], remedy: str, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, *words)
    assert remedy in message
    assert "\x1b" not in message


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("ALLOWANCE_PRICES", "[]"), ("ALLOWANCE_PRICES", '{"m": {"input": -1}}'), ("ALLOWANCE_PRICES", "{"),
        ("ALLOWANCE_CATALOGUE", "{}"), ("ALLOWANCE_CATALOGUE", None),
    ],
)  # fmt: skip
def test_files_of_prices_that_cannot_be_read(
    variable: str, text: str | None,
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if text is not None:
        (tmp_path / "file.json").write_text(text)
    monkeypatch.setenv(variable, "file.json")
    assert "file.json" in refused(capsys, "prices", "gpt-4o")


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(
    "words",
    [("prices",), ("prices", "gemini/gemini-2.5-pro", "gpt-image-1"), ("prices", "--search", "gpt-4o")],
)
def test_it_fits_a_terminal(words: tuple[str, ...], columns: int, env: dict[str, str]) -> None:
    done = in_terminal(*words, env=env, columns=columns)
    assert done.code == 0
    assert max(map(columns_of, done.lines)) <= columns
    assert "\x1b[" in done.out
    plain = in_terminal(*words, env={**env, "NO_COLOR": "1"}, columns=columns)
    assert "\x1b[" not in plain.out
    assert [line.rstrip() for line in plain.lines] == [line.rstrip() for line in done.lines]


def test_names_are_whole_in_any_terminal(env: dict[str, str]) -> None:
    done = in_terminal("prices", "--search", "us-gov sonnet-4-5", env=env, columns=40)
    assert "bedrock/us-gov-east-1/anthropic.claude-sonnet-4-5-20250929-v1:0" in done.text


# -- refresh -------------------------------------------------------------------------------------------


def real_map() -> Path:
    """The price map that an installed LiteLLM carries."""
    found = importlib.util.find_spec("litellm")
    assert found is not None
    assert found.submodule_search_locations is not None
    return Path(found.submodule_search_locations[0]) / "model_prices_and_context_window_backup.json"


def changed_map(path: Path) -> Path:
    held = json.loads(real_map().read_bytes())
    held["gpt-4o"]["input_cost_per_token"] = 2e-06
    held["gpt-4o-mini"]["input_cost_per_token"] *= 100
    held["gpt-4.1"]["input_cost_per_token"] = -1
    held["brand-new"] = {
        "litellm_provider": "openai", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06,
    }  # fmt: skip
    held["no-price"] = {"litellm_provider": "openai", "mode": "chat"}
    del held["gpt-4"]
    path.write_text(json.dumps(held))
    return path


def test_litellms_own_map_is_read_whole(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["prices", "refresh", str(real_map()), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["refused"] == {}
    assert Path(report["written"]) == tmp_path / "catalogue.json"
    written = load_data(tmp_path / "catalogue.json")
    assert written.entries["gpt-4o"] == shipped_data().entries["gpt-4o"]
    assert len(written.entries) == report["names"] >= len(shipped_data().entries)


def test_what_a_newer_map_changes_is_told_with_figures(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed_map(tmp_path / "new.json")
    shown = told(capsys, "prices", "refresh", "new.json", "--output", "c.json")
    assert "gpt-4o: input 2.50 -> 2.00" in shown
    assert "gpt-4o-mini: input 0.15 -> 15" in shown
    assert "gpt-4.1: not a price: -1" in shown
    assert "brand-new: input 1.00, output 2.00" in shown
    assert f"export ALLOWANCE_CATALOGUE={tmp_path / 'c.json'}" in shown
    monkeypatch.setenv("ALLOWANCE_CATALOGUE", "c.json")
    assert main(["prices", "gpt-4o", "gpt-4o-mini", "gpt-4.1", "brand-new", "gpt-4", "--json"]) == 0
    prices = [one["rates"]["input"]["usd"] for one in json.loads(capsys.readouterr().out)]
    assert prices == ["2", "0.15", "2", "1", "30"]


def test_jumps_are_taken_where_they_are_allowed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed_map(tmp_path / "new.json")
    told(capsys, "prices", "refresh", "new.json", "--output", "c.json", "--allow-jumps")
    monkeypatch.setenv("ALLOWANCE_CATALOGUE", "c.json")
    assert "input $15.00" in told(capsys, "prices", "gpt-4o-mini")


def test_a_dry_run_writes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    changed_map(tmp_path / "new.json")
    assert "Nothing was written" in told(capsys, "prices", "refresh", "new.json", "--dry-run")
    assert [each.name for each in tmp_path.iterdir()] == ["new.json"]


def test_long_lists_are_cut_unless_all_is_asked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    held: dict[str, Any] = {
        f"new-{number:02d}": {"litellm_provider": "x", "input_cost_per_token": 1e-06} for number in range(12)
    }
    (tmp_path / "new.json").write_text(json.dumps(held))
    shown = told(capsys, "prices", "refresh", "new.json", "--dry-run")
    assert "new-09" in shown
    assert "new-10" not in shown
    assert "and 2 more: --all lists them" in shown
    assert "new-11" in told(capsys, "prices", "refresh", "new.json", "--dry-run", "--all")


def test_a_catalogue_is_written_over_and_nothing_else_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    new = changed_map(tmp_path / "new.json")
    before = new.read_bytes()
    assert "is no catalogue" in refused(capsys, "prices", "refresh", "new.json", "--output", "new.json")
    assert new.read_bytes() == before
    told(capsys, "prices", "refresh", "new.json")
    told(capsys, "prices", "refresh", "new.json")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["catalogue.json", "new.json"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("nowhere.json", None, "cannot be read"),
        ("list.json", "[1, 2]", "neither LiteLLM's price map nor"),
        ("empty.json", "", "is not JSON"),
        ("half.json", '{"gpt-4o": {"litellm_provider"', "is not JSON"),
        ("binary.json", "\0\1\2", "is not JSON"),
    ],
)
def test_price_lists_that_cannot_be_read(
    name: str, text: str | None, words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    assert words in refused(capsys, "prices", "refresh", name)
    assert not (tmp_path / "catalogue.json").exists()


def test_a_place_that_cannot_be_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    changed_map(tmp_path / "new.json")
    (tmp_path / "folder").mkdir()
    assert "is a directory" in refused(capsys, "prices", "refresh", "new.json", "--output", "folder")
    assert "cannot be written" in refused(capsys, "prices", "refresh", "new.json", "--output", "no/c.json")
    assert "Missing: FILE" in refused(capsys, "prices", "refresh")


def test_a_refresh_keeps_the_rights_and_the_link_of_what_it_replaces(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    changed_map(tmp_path / "new.json")
    told(capsys, "prices", "refresh", "new.json", "--output", "real.json")
    (tmp_path / "real.json").chmod(0o640)
    (tmp_path / "link.json").symlink_to("real.json")
    told(capsys, "prices", "refresh", "new.json", "--output", "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("columns", [80, 120])
def test_a_refresh_fits_a_terminal(columns: int, env: dict[str, str], tmp_path: Path) -> None:
    changed_map(tmp_path / "new.json")
    done = in_terminal("prices", "refresh", "new.json", "--dry-run", env=env, columns=columns)
    assert done.code == 0
    assert max(map(columns_of, done.lines)) <= columns

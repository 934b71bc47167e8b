"""``allowance quote``: texts, messages and requests; and what cannot be quoted."""

from __future__ import annotations

import json
import os
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

import allowance
from allowance.cli import main
from allowance.quotes import vocabularies
from allowance.quotes.quoting import Quoting
from tests.cli.terminal import columns_of, in_terminal, run

if TYPE_CHECKING:
    from pathlib import Path

MESSAGES = [{"role": "user", "content": "Why is the sky blue?"}]


@pytest.fixture(autouse=True)
def _nobodys_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("ALLOWANCE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def quoted(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["quote", *words, "--json"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def told(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["quote", *words]) == 0
    return " ".join(capsys.readouterr().out.split())


def test_a_text_is_one_message_of_the_users(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text(MESSAGES[0]["content"])
    answer = quoted(capsys, "--model", "gpt-4o", "--max-tokens", "500", "p.txt")
    same = allowance.quote(model="gpt-4o", messages=MESSAGES, max_tokens=500)
    assert (answer["input_tokens"], answer["output_tokens"]) == (same.input_tokens, 500)
    assert Decimal(answer["projected"]) == same.projected
    assert Decimal(answer["expected"]) == same.expected_cost
    assert (answer["bound"], answer["unbounded"]) == (True, [])
    assert answer["price"]["rule"] == "exact"


@pytest.mark.parametrize(
    "held",
    [
        MESSAGES,
        MESSAGES[0],
        {"messages": MESSAGES, "max_tokens": 500, "model": "gpt-4.1"},
        {"messages": MESSAGES, "max_completion_tokens": 7},
    ],
)
def test_json_is_messages_or_a_request_and_options_come_first(
    held: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "r.json").write_text(json.dumps(held))
    answer = quoted(capsys, "--model", "gpt-4o", "--max-tokens", "500", "r.json")
    same = allowance.quote(model="gpt-4o", messages=MESSAGES, max_tokens=500)
    assert (answer["model"], answer["bound"]) == ("gpt-4o", True)
    assert Decimal(answer["projected"]) == same.projected


def test_a_request_brings_its_own_model_cap_tools_and_number(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    request = {"model": "gpt-4o", "messages": MESSAGES, "max_tokens": 20, "n": 3, "tools": [tool]}
    (tmp_path / "r.json").write_text(json.dumps(request))
    answer = quoted(capsys, "r.json")
    same = allowance.quote(**request)
    assert (answer["replies"], answer["output_tokens"]) == (3, 60)
    assert (answer["input_tokens"], Decimal(answer["projected"])) == (same.input_tokens, same.projected)
    assert quoted(capsys, "r.json", "--n", "2")["output_tokens"] == 40


@pytest.mark.parametrize("key", ["contents", "input", "prompt"])
def test_requests_of_other_apis(key: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps({"model": "gemini-2.5-pro", key: "Why is the sky blue?"}))
    assert quoted(capsys, "r.json")["input_tokens"] > 5


def test_geminis_contents_may_stand_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps([{"role": "user", "parts": [{"text": "Why is it?"}]}]))
    assert quoted(capsys, "--model", "gemini-2.5-pro", "r.json")["input_tokens"] > 4


def test_tokens_may_be_given_as_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    answer = quoted(capsys, "--model", "gpt-4o", "--input-tokens", "1,000,000", "--max-tokens", "100_000")
    assert (answer["input_tokens"], answer["projected"], answer["bound"]) == (1_000_000, "3.5", True)
    shown = told(capsys, "--model", "gpt-4o", "--input-tokens", "0", "--max-tokens", "1")
    assert "0 tokens, as given" in shown


def test_standard_input_is_read(env: dict[str, str]) -> None:
    done = run("quote", "--model", "gpt-4o", "--max-tokens", "9", "-", env=env, stdin="Why is the sky blue?")
    assert (done.code, done.err) == (0, "")
    assert "gpt-4o: at most $0.000" in done.out


def test_a_bound_is_told_as_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("Why is the sky blue?")
    shown = told(capsys, "--model", "gpt-4o", "--max-tokens", "500", "p.txt")
    assert shown.startswith("gpt-4o: at most $0.0050325")
    assert "13 tokens, counted with o200k_base" in shown
    assert "at most $0.0050325, at the dearest rate that it could hit" in shown
    assert "no bound" not in shown


def test_what_is_no_bound_says_why_not(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("Why is the sky blue?")
    shown = told(capsys, "--model", "claude-sonnet-4-5", "p.txt")
    assert shown.startswith("claude-sonnet-4-5: about $")
    assert "no bound the tokens of claude-sonnet-4-5 are known only by a factor" in shown
    assert "no output cap: add max_tokens" in shown
    assert "before it is sent" in shown
    assert "with the longest reply that the model gives" in shown


def test_the_rule_that_found_the_price_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("Why?")
    shown = told(capsys, "--model", "openai/gpt-4o-2031-01-01", "p.txt")
    assert "gpt-4o: a date or version was taken off" in shown


def test_without_a_vocabulary_it_says_how_to_get_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocabularies, "_places", lambda name: iter(()))
    fresh = Quoting(vocabularies=vocabularies.Vocabularies(download=False))
    monkeypatch.setattr("allowance.manager.configuring._learned", lambda counter: fresh)
    (tmp_path / "p.txt").write_text("Why is the sky blue?")
    shown = told(capsys, "--model", "gpt-4o", "p.txt")
    assert "counted by their bytes" in shown
    assert "TIKTOKEN_CACHE_DIR" in shown


def test_a_vocabulary_that_is_being_fetched_is_waited_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = vocabularies.find_vocabulary("o200k_base")
    assert found is not None
    data = found.read_bytes()

    def fetch(url: str, seconds: float) -> bytes:
        time.sleep(0.3)
        return data

    monkeypatch.setattr(vocabularies, "_places", lambda name: iter(()))
    monkeypatch.setattr(vocabularies, "_keep", lambda name, data: None)
    fresh = Quoting(vocabularies=vocabularies.Vocabularies(download=True, fetch=fetch))
    monkeypatch.setattr("allowance.manager.configuring._learned", lambda counter: fresh)
    (tmp_path / "p.txt").write_text("Why is the sky blue?")
    assert "13 tokens, counted with o200k_base" in told(capsys, "--model", "gpt-4o", "p.txt")


def test_a_text_that_looks_like_json_may_be_taken_as_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "p.txt").write_text("{name}, why is the sky blue?")
    assert "--text" in refused(capsys, "--model", "gpt-4o", "p.txt")
    assert quoted(capsys, "--model", "gpt-4o", "--text", "p.txt")["input_tokens"] > 5


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["quote", *words]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert 1 <= len(shown.err.splitlines()) <= 3
    assert "Traceback" not in shown.err
    return shown.err


DEEP = "[" * 100_000

BAD = {
    "nothing": ([], "prompt.txt"),
    "no model": (["p.txt"], "--model gpt-4o"),
    "a blank model": (["p.txt", "--model", " "], "--model gpt-4o"),
    "an unknown model": (["p.txt", "--model", "gpt-4oo"], "gpt-4o"),
    "no such file": (["nowhere.txt", "--model", "gpt-4o"], "No such file"),
    "a directory": ([".", "--model", "gpt-4o"], "directory"),
    "an empty file": (["empty", "--model", "gpt-4o"], "is empty"),
    "a file of blanks": (["blank", "--model", "gpt-4o"], "is empty"),
    "binary": (["binary", "--model", "gpt-4o"], "not text in UTF-8"),
    "nulls": (["nulls", "--model", "gpt-4o"], "is no text"),
    "half of a JSON": (["half.json", "--model", "gpt-4o"], "line 1, column 16"),
    "nested JSON": (["deep.json", "--model", "gpt-4o"], "nested too deeply"),
    "a list of numbers": (["numbers.json", "--model", "gpt-4o"], "not of messages"),
    "an empty list": (["list.json", "--model", "gpt-4o"], "not of messages"),
    "an object of other things": (["object.json", "--model", "gpt-4o"], "but no request"),
    "a model that is a number": (["model.json"], "--model gpt-4o"),
    "a cap that is true": (["true.json"], "max_tokens"),
    "content without end": (["endless.json", "--model", "gpt-4o"], "nested"),
    "a cap below zero": (["p.txt", "--model", "gpt-4o", "--max-tokens", "-5"], "--max-tokens"),
    "a cap of zero": (["p.txt", "--model", "gpt-4o", "--max-tokens", "0"], "--max-tokens"),
    "a cap in words": (["p.txt", "--model", "gpt-4o", "--max-tokens", "many"], "whole number"),
    "a huge cap": (["p.txt", "--model", "gpt-4o", "--max-tokens", "9" * 30], "1,000,000,000"),
    "half a reply": (["p.txt", "--model", "gpt-4o", "--n", "1.5"], "--n"),
    "file and tokens": (["p.txt", "--model", "gpt-4o", "--input-tokens", "5"], "--input-tokens N"),
    "tokens without model": (["--input-tokens", "5"], "--model gpt-4o"),
    "an unknown option": (["p.txt", "--modle", "gpt-4o"], "--help"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_quoted_names_the_remedy(
    case: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    nested: Any = "x"
    for _ in range(400):
        nested = [{"type": "tool_result", "content": nested}]
    files: dict[str, str | bytes] = {
        "p.txt": "Why?", "empty": "", "blank": " \n\t\n", "binary": b"\xff\xfe\x00\x80", "nulls": "a\0b",
        "half.json": '{"messages": [{', "deep.json": DEEP, "numbers.json": "[1, 2]", "list.json": "[]",
        "object.json": '{"a": 1}', "model.json": '{"model": 5, "prompt": "x"}',
        "true.json": '{"model": "gpt-4o", "prompt": "x", "max_tokens": true}',
        "endless.json": json.dumps({"messages": [{"role": "user", "content": nested}]}),
    }  # fmt: skip
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (tmp_path / name).write_bytes(data)
    words, remedy = BAD[case]
    assert remedy in refused(capsys, *words)


def test_prompts_are_never_shown_again(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"messages": [{"role": "user", "content": "canary-7f3a"}, canary-7f3a')
    assert "canary" not in refused(capsys, "--model", "gpt-4o", "p.json")
    (tmp_path / "p.txt").write_text("canary-7f3a")
    assert "canary" not in told(capsys, "--model", "gpt-4o", "p.txt")


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-4-5"])
def test_it_fits_a_terminal(columns: int, model: str, env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("Why is the sky blue? 日本語\x1b[31m")
    done = in_terminal("quote", "--model", model, "p.txt", env=env, columns=columns)
    assert done.code == 0
    assert max(map(columns_of, done.lines)) <= columns

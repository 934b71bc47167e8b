"""Which API a call belongs to, calls that name no model, hostile content, and caps that are put in."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections import UserDict
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from allowance.errors import ConfigurationError
from allowance.requests import Request, read, with_cap

HELLO: list[Any] = [{"role": "user", "content": "Hi"}]


def request(api: Any = None, **arguments: Any) -> Request:
    found = read(arguments, api=api)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("arguments", "api"),
    [
        ({"model": "gpt-4o", "messages": HELLO}, "chat"),
        ({"model": "anthropic/claude-opus-5", "messages": HELLO}, "chat"),
        ({"model": "claude-opus-5", "messages": HELLO}, "messages"),
        ({"model": "x", "messages": HELLO, "system": "Be brief."}, "messages"),
        ({"model": "gemini-2.5-pro", "contents": "Hi"}, "gemini"),
        ({"model": "gpt-5", "input": "Hi"}, "responses"),
        ({"model": "openai/text-embedding-3-small", "input": "Hi"}, "embeddings"),
        ({"model": "gpt-3.5-turbo-instruct", "prompt": "Hi"}, "completions"),
        ({"model": "gpt-4o", "prompt": "Hi"}, "chat"),
        ({"model": "gpt-5", "prompt": {"id": "pmpt_1"}}, "responses"),
        ({"model": "gpt-5", "previous_response_id": "resp_1"}, "responses"),
        ({"model": "gpt-4o", "question": "Why?"}, "other"),
    ],
)
def test_the_shape_tells_the_api(arguments: dict[str, Any], api: str) -> None:
    found = read(arguments)
    assert found is not None
    assert found.api == api


def test_an_api_that_is_named_is_not_guessed() -> None:
    assert request(api="completions", model="gpt-4o", prompt="Hi").api == "completions"
    found = read({"model": "m", "messages": HELLO}, api="chat", provider="mistral")
    assert found is not None
    assert found.provider == "mistral"


class Messy:
    @property
    def text(self) -> str:
        raise RuntimeError("no property of the arguments may run")


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"messages": HELLO},
        {"model": None, "messages": HELLO},
        {"question": "Why?"},
        {"model": object(), "messages": HELLO},
        {"self": SimpleNamespace(model="gpt-4o", messages=HELLO), "question": "Why?"},
        {"settings": SimpleNamespace(model="gpt-4o", color="red")},
        {"request": SimpleNamespace(model=7, messages=HELLO)},
    ],
)
def test_arguments_without_a_model_make_no_request(arguments: dict[str, Any]) -> None:
    assert read(arguments) is None


class Body(BaseModel):
    model: str = "gpt-4o"
    messages: list[dict[str, str]] = HELLO
    max_tokens: int = 9


@dataclass(slots=True)
class Slotted:
    model: str
    messages: list[Any]
    max_tokens: int


@pytest.mark.parametrize(
    "body",
    [
        Body(),
        Slotted("gpt-4o", HELLO, 9),
        SimpleNamespace(model="gpt-4o", messages=HELLO, max_tokens=9),
        {"model": "gpt-4o", "messages": HELLO, "max_tokens": 9},
        UserDict(model="gpt-4o", messages=HELLO, max_tokens=9),
    ],
)
def test_a_body_in_one_argument_is_looked_into(body: object) -> None:
    found = read({"user": "ann", "request": body})
    assert found == read({"model": "gpt-4o", "messages": HELLO, "max_tokens": 9})
    assert found is not None
    changed = with_cap({"user": "ann", "request": body}, found, 3)
    assert read(changed).max_output == 3  # type: ignore[union-attr]
    assert read({"request": body}) == found, "the caller's own body stays as it is"


def test_a_guessed_input_says_so() -> None:
    found = request(
        model="gpt-4o", question="Why?", context={"facts": ["one", ("two",)]}, user=7, max_tokens=5
    )
    assert (found.api, found.texts, found.max_output) == ("other", ("Why?", "one", "two"), 5)
    assert "guessed" in found.unbounded[0]


def loop() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


def ring() -> dict[str, Any]:
    endless: dict[str, Any] = {"type": "tool_result"}
    endless["content"] = endless
    endless["input"] = endless
    return endless


def bush() -> list[Any]:
    branch: list[Any] = ["leaf"]
    for _ in range(50):
        branch = [branch, branch]
    return branch


@pytest.mark.parametrize(
    "arguments",
    [
        {"messages": [{"role": "user", "content": loop()}]},
        {"messages": [{"role": "user", "content": [ring()]}]},
        {"messages": [{"role": "user", "tool_calls": loop()}]},
        {"messages": [{"role": "user", "content": bush()}]},
        {"messages": [{"role": "user", "tool_calls": bush()}]},
        {"messages": [ring()]},
        {"contents": loop()},
        {"contents": {"parts": loop()}},
        {"contents": bush()},
        {"input": loop()},
        {"question": loop()},
        {"question": bush()},
        {"messages": HELLO, "tools": [SimpleNamespace(inside=loop())]},
    ],
)
def test_content_without_end_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="hold themselves"):
        read({"model": "gpt-4o", **arguments})


@pytest.mark.parametrize(
    "content",
    [
        None,
        7,
        1.5,
        True,
        b"bytes",
        object(),
        Messy(),
        [None, 7],
        [[[]]],
        {},
        {"type": None},
        {"type": []},
        int,
        set(),
    ],
)
def test_content_that_is_no_text_never_fails(content: object) -> None:
    for arguments in (
        {"messages": [{"role": "user", "content": content}]},
        {"messages": [content]},
        {"messages": content, "api": "chat"},
        {"contents": content, "config": content},
        {"input": content, "instructions": content, "text": content},
        {"prompt": content},
        {"messages": HELLO, "tools": content, "response_format": content, "system": content},
        {"messages": HELLO, "tools": [content], "web_search_options": content, "extra_body": content},
    ):
        for model in ("gpt-4o", "claude-opus-5"):
            found = read({"model": model, **arguments})
            assert found is not None
            assert all(isinstance(text, str) for text in found.texts)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["type", "text", "content", "image_url", "source", "url", "data"]) | st.text(),
        inner | st.sampled_from(["text", "image", "image_url", "document", "file", "input_audio"]),
    ),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    anything,
    st.sampled_from(["messages", "contents", "input", "prompt", "system", "tools", "config", "extra_body"]),
)
def test_no_json_makes_reading_fail(value: Any, name: str) -> None:
    arguments = {"model": "gpt-4o", "messages": HELLO, name: value}
    before = copy.deepcopy(arguments)
    found = read(arguments)
    assert repr(arguments) == repr(before), "nothing is changed"
    assert found is None or all(isinstance(text, str) for text in found.texts)


def test_an_iterator_is_not_consumed() -> None:
    messages = iter(HELLO)
    found = request(model="gpt-4o", messages=messages)
    assert "iterator" in found.unbounded[0]
    assert next(messages) == HELLO[0]


def test_base64_that_is_none_is_still_an_image() -> None:
    block = {"type": "image_url", "image_url": {"url": "data:image/png;base64,***\ud800***"}}
    assert len(request(model="gpt-4o", messages=[{"role": "user", "content": [block]}]).images) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"model": "gpt-4o", "messages": HELLO},
        {"model": "gpt-4o", "messages": HELLO, "max_tokens": 99},
        {"model": "gpt-5", "input": "Hi"},
        {"model": "claude-opus-5", "messages": HELLO, "max_tokens": 99},
        {"model": "gemini-2.5-pro", "contents": "Hi"},
        {"model": "gemini-2.5-pro", "contents": "Hi", "config": {"temperature": 1}},
        {"model": "gemini-2.5-pro", "contents": "Hi", "config": types.GenerateContentConfig(temperature=1)},
        {"model": "gemini-2.5-pro", "contents": [], "generationConfig": {"maxOutputTokens": 99}},
        {"model": "gpt-4o", "messages": HELLO, "extra_body": {"max_tokens": 99}},
    ],
)
def test_a_cap_is_put_in_and_the_callers_objects_stay(arguments: dict[str, Any]) -> None:
    before = copy.deepcopy(arguments)
    found = read(arguments)
    assert found is not None
    changed = with_cap(arguments, found, 7)
    capped = read(changed)
    assert capped is not None
    assert capped.max_output == 7
    assert arguments == before


def test_reading_imports_no_sdk() -> None:
    code = (
        "import sys, allowance.requests, allowance.quotes\n"
        "heavy = {'openai', 'anthropic', 'google.genai', 'litellm', 'tiktoken'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""OpenAI's arguments: chat, responses, completions, embeddings, in dicts and in the SDK's objects."""

from __future__ import annotations

import base64
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessage
from openai.types.responses import ResponseOutputMessage
from pydantic import BaseModel

from allowance.requests import Attachment, Image, Request, read


def request(api: Any = None, **arguments: Any) -> Request:
    found = read(arguments, api=api)
    assert found is not None
    return found


HELLO: list[Any] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "name": "ann", "content": "Hi"},
]


def test_a_chat_call_is_read_whole() -> None:
    found = request(
        model="gpt-4o", messages=HELLO, max_tokens=100, n=2, stream=True, service_tier="flex", temperature=1
    )
    assert found == Request(
        api="chat",
        model="gpt-4o",
        texts=("system", "Be brief.", "user", "ann", "Hi"),
        messages=2,
        names=1,
        max_output=100,
        cap_name="max_tokens",
        choices=2,
        stream=True,
        service_tier="flex",
    )


def test_texts_are_the_callers_own_strings() -> None:
    text = "x" * 10_000
    found = request(model="gpt-4o", messages=[{"role": "user", "content": text}])
    assert found.texts[1] is text


def test_nothing_of_the_sdks_marks_counts_as_given() -> None:
    found = request(
        model="gpt-4o",
        messages=HELLO,
        max_tokens=openai.NOT_GIVEN,
        max_completion_tokens=openai.omit,
        n=openai.omit,
        tools=openai.omit,
        functions=openai.NOT_GIVEN,
        stream=openai.omit,
        service_tier=openai.omit,
        response_format=openai.omit,
        web_search_options=openai.omit,
        prediction=openai.omit,
        extra_body=None,
    )
    assert found == request(model="gpt-4o", messages=HELLO)
    found = request(
        api="responses",
        model="gpt-5",
        input="Hi",
        instructions=openai.omit,
        text=openai.omit,
        text_format=openai.omit,
        prompt=openai.omit,
        previous_response_id=openai.omit,
        conversation=openai.omit,
        context_management=openai.omit,
        max_tool_calls=openai.omit,
    )
    assert found == request(model="gpt-5", input="Hi")


@pytest.mark.parametrize(
    ("caps", "cap", "name"),
    [
        ({}, None, "max_completion_tokens"),
        ({"max_tokens": 5}, 5, "max_tokens"),
        ({"max_tokens": None}, None, "max_tokens"),
        ({"max_completion_tokens": 7}, 7, "max_completion_tokens"),
        ({"max_completion_tokens": 7, "max_tokens": 9}, 9, "max_tokens"),
        ({"max_completion_tokens": 9, "max_tokens": 7}, 9, "max_completion_tokens"),
        ({"max_completion_tokens": None, "max_tokens": 7}, 7, "max_tokens"),
        ({"max_tokens": "12"}, None, "max_tokens"),
        ({"max_tokens": -1}, None, "max_tokens"),
        ({"max_tokens": 1.5}, None, "max_tokens"),
        ({"max_tokens": 0}, 0, "max_tokens"),
    ],
)
def test_of_several_caps_the_larger_counts(caps: dict[str, Any], cap: int | None, name: str) -> None:
    found = request(model="gpt-4o", messages=HELLO, **caps)
    assert (found.max_output, found.cap_name) == (cap, name)


def test_a_bool_is_no_cap() -> None:
    with pytest.raises(Exception, match="max_tokens must be a whole number, not True"):
        request(model="gpt-4o", messages=HELLO, max_tokens=True)


def test_extra_body_counts_as_given_and_wins() -> None:
    found = request(model="gpt-4o", messages=HELLO, max_tokens=5, extra_body={"max_tokens": 5_000, "n": 3})
    assert (found.max_output, found.choices) == (5_000, 3)


def test_objects_of_the_sdk_stand_for_dicts() -> None:
    reply = ChatCompletionMessage.model_validate(
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}}
            ],
        }
    )
    found = request(
        model="gpt-4o",
        messages=[*HELLO, reply, {"role": "tool", "tool_call_id": "call_1", "content": "seen"}],
    )
    assert found.messages == 4
    assert '"name":"look"' in "".join(found.texts)
    assert found.texts[-3:] == ("tool", "call_1", "seen")


def test_blocks_are_read_by_their_kind() -> None:
    png = base64.b64encode(b"\x89PNG" + b"\x00" * 5_000).decode()
    blocks = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{png}", "detail": "low"}},
        {"type": "image_url", "image_url": "https://example.com/cat.png"},
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,SGVsbG8=", "filename": "a.txt"}},
        {"type": "video_url", "video_url": {"url": "https://example.com/cat.mp4"}},
    ]
    found = request(model="gpt-4o", messages=[{"role": "user", "content": blocks}])
    assert found.texts == ("user", "What is this?", "Hello")
    assert found.images[0].detail == "low"
    assert found.images[0].head is not None
    assert found.images[0].head.startswith(b"\x89PNG")
    assert len(found.images[0].head) < 1_100
    assert found.images[1] == Image()
    assert found.attachments == (
        Attachment("audio", 3, b"ABC", "mp3"),
        Attachment("document", None, None, "pdf"),
        Attachment("video"),
    )


def test_an_unknown_block_counts_as_text() -> None:
    found = request(
        model="gpt-4o", messages=[{"role": "user", "content": [{"type": "new", "words": "abc", "x": [1]}]}]
    )
    assert found.texts == ("user", "abc", "[1]")


class Answer(BaseModel):
    text: str


def test_schemas_and_tools_are_kept() -> None:
    tool = {"type": "function", "function": {"name": "look"}}
    wrapped = {"name": "answer", "schema": {"type": "object"}}
    found = request(
        model="gpt-4o",
        messages=HELLO,
        tools=[tool],
        response_format={"type": "json_schema", "json_schema": wrapped},
    )
    assert found.tools == (tool,)
    assert found.schemas == (wrapped,)
    assert request(model="gpt-4o", messages=HELLO, functions=[{"name": "look"}]).tools == ({"name": "look"},)
    assert request(model="gpt-4o", messages=HELLO, response_format={"type": "json_object"}).schemas == ()
    assert request(model="gpt-4o", messages=HELLO, response_format=Answer).schemas == (
        Answer.model_json_schema(),
    )
    assert request(model="gpt-5", input="Hi", text_format=Answer).schemas == (Answer.model_json_schema(),)
    shape = {"type": "json_schema", "name": "answer", "schema": {"type": "object"}}
    assert request(model="gpt-5", input="Hi", text={"format": shape}).schemas == (shape,)


def test_responses_are_read() -> None:
    message = ResponseOutputMessage.model_validate(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
        }
    )
    found = request(
        model="gpt-5",
        instructions="Be brief.",
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
            message,
            {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "seen"},
            {"role": "user", "content": [{"type": "input_image", "image_url": "https://example.com/a"}]},
        ],
        max_output_tokens=50,
    )
    assert found.api == "responses"
    assert (found.max_output, found.cap_name, found.messages) == (50, "max_output_tokens", 6)
    assert sorted(found.texts) == sorted(
        (
            *("system", "Be brief.", "user", "Hi", "msg_1", "assistant", "Hello"),
            *("c", "look", "{}", "c", "seen", "user"),
        )
    )
    assert found.images == (Image(),)


@pytest.mark.parametrize(
    ("argument", "word"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": {"id": "conv_1"}}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "template"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"tools": [{"type": "web_search"}]}, "web_search"),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["v"]}]}, "file_search"),
        ({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, "code_interpreter"),
        ({"tools": [{"type": "mcp", "server_url": "https://example.com"}]}, "mcp"),
    ],
)
def test_what_adds_hidden_input_is_named(argument: dict[str, Any], word: str) -> None:
    found = request(api="responses", model="gpt-5", input="Hi", **argument)
    assert len(found.unbounded) == 1
    assert word in found.unbounded[0]


def test_searches_are_limited_by_the_number_of_tool_calls() -> None:
    tools = [{"type": "web_search_preview"}]
    assert request(model="gpt-5", input="Hi", tools=tools).web_searches is None
    assert request(model="gpt-5", input="Hi", tools=tools, max_tool_calls=3).web_searches == 3
    assert request(model="gpt-5", input="Hi", max_tool_calls=3).web_searches == 0
    assert request(model="gpt-4o", messages=HELLO, web_search_options={}).web_searches is None


def test_token_ids_are_counted() -> None:
    assert request(model="text-embedding-3-small", input=[1, 2, 3]).token_ids == 3
    found = request(model="text-embedding-3-small", input=[[1, 2], [3], "four"])
    assert (found.token_ids, found.texts, found.max_output) == (3, ("four",), 0)
    found = request(model="gpt-3.5-turbo-instruct", prompt=[[1, 2], [3]], n=2, best_of=3, max_tokens=5)
    assert (found.api, found.token_ids, found.choices) == ("completions", 3, 6)


def test_a_prompt_for_a_chat_model_is_one_message() -> None:
    found = request(model="gpt-4o-mini", prompt="Tell me a joke")
    assert (found.api, found.messages, found.texts) == ("chat", 1, ("user", "Tell me a joke"))


def test_pictures_and_speech() -> None:
    found = request(model="dall-e-3", prompt="a cat", n=2)
    assert (found.api, found.texts, found.choices) == ("images", ("a cat",), 2)
    found = request(model="tts-1", input="Hello", voice="alloy")
    assert (found.api, found.texts) == ("speech", ("Hello",))

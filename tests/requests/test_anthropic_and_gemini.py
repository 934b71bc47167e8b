"""Anthropic's and Gemini's arguments, in dicts, in the SDKs' objects and in REST's spelling."""

from __future__ import annotations

import base64
from typing import Any

import anthropic
import pytest
from anthropic.types import TextBlock, ToolUseBlock
from google.genai import types

from allowance.requests import Attachment, Image, Request, read


def request(api: Any = None, **arguments: Any) -> Request:
    found = read(arguments, api=api)
    assert found is not None
    return found


HELLO: list[Any] = [{"role": "user", "content": "Hi"}]


def test_anthropics_messages_are_read() -> None:
    found = request(
        model="claude-sonnet-4-5",
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        messages=[
            *HELLO,
            {
                "role": "assistant",
                "content": [
                    TextBlock(type="text", text="I look."),
                    ToolUseBlock(type="tool_use", id="tu_1", name="look", input={"at": "sky"}),
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "tu_1",
                        "content": [{"type": "text", "text": "blue", "cache_control": {"type": "ephemeral"}}],
                    }
                ],
            },
        ],
        max_tokens=1_000,
        thinking={"type": "enabled", "budget_tokens": 500},
        service_tier="auto",
        speed="fast",
        inference_geo="us",
        stream=True,
    )
    assert (found.api, found.max_output, found.cap_name, found.messages) == (
        "messages",
        1_000,
        "max_tokens",
        3,
    )
    assert (found.cache_ttl, found.speed, found.region, found.stream) == ("1h", "fast", "us", True)
    assert sorted(found.texts) == sorted(
        (
            *("Be brief.", "user", "Hi", "assistant", "I look.", "tu_1", "look", '{"at":"sky"}'),
            *("user", "tu_1", "blue"),
        )
    )
    assert found.unbounded == ()


def test_anthropics_marks_count_as_nothing() -> None:
    names = (
        *("system", "tools", "stream", "service_tier", "speed", "inference_geo", "output_config"),
        *("output_format", "mcp_servers", "context_management", "cache_control"),
    )
    absent = dict.fromkeys(names, anthropic.omit)
    found = request(api="messages", model="claude-opus-5", messages=HELLO, max_tokens=5, **absent)
    assert found == request(api="messages", model="claude-opus-5", messages=HELLO, max_tokens=5)


@pytest.mark.parametrize(
    ("where", "ttl"),
    [
        ({"cache_control": {"type": "ephemeral"}}, "5m"),
        (
            {
                "tools": [
                    {"name": "look", "input_schema": {}, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
                ]
            },
            "1h",
        ),
        ({"messages": [{"role": "user", "content": "Hi", "cache_control": {"type": "ephemeral"}}]}, "5m"),
    ],
)
def test_a_mark_to_cache_is_seen_anywhere(where: dict[str, Any], ttl: str) -> None:
    assert request(**{"model": "claude-opus-5", "messages": HELLO, "max_tokens": 5, **where}).cache_ttl == ttl


def test_anthropics_images_and_documents() -> None:
    png = base64.b64encode(b"\x89PNG" + b"\x00" * 99).decode()
    content = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "QUJD"}},
        {
            "type": "document",
            "title": "T",
            "source": {"type": "text", "media_type": "text/plain", "data": "words"},
        },
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "more"}]}},
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
    ]
    found = request(model="claude-opus-5", messages=[{"role": "user", "content": content}], max_tokens=5)
    assert found.images[0].head is not None
    assert found.images[1:] == (Image(), Image())
    assert found.attachments == (
        Attachment("document", 3, b"ABC", "pdf"),
        Attachment("document", format="pdf"),
    )
    assert found.texts == ("user", "T", "words", "more")


@pytest.mark.parametrize(
    ("tool", "searches"),
    [
        ({"type": "web_search_20250305", "name": "web_search", "max_uses": 4}, 4),
        ({"type": "web_search_20250305", "name": "web_search"}, None),
        ({"type": "code_execution_20250522", "name": "code_execution"}, 0),
    ],
)
def test_anthropics_server_tools(tool: dict[str, Any], searches: int | None) -> None:
    found = request(model="claude-opus-5", messages=HELLO, max_tokens=5, tools=[tool])
    assert found.web_searches == searches
    assert tool["type"] in found.unbounded[0]
    client = {"type": "bash_20250124", "name": "bash"}
    assert request(model="claude-opus-5", messages=HELLO, max_tokens=5, tools=[client]).unbounded == ()


def test_a_tool_of_anthropics_shape_tells_the_api() -> None:
    found = request(model="my-model", messages=HELLO, max_tokens=5, tools=[{"name": "x", "input_schema": {}}])
    assert found.api == "messages"


def config_of(**settings: Any) -> list[Any]:
    """The same settings in every place and spelling that Gemini takes."""
    camel = types.GenerateContentConfig(**settings).model_dump(by_alias=True, exclude_none=True, mode="json")
    return [
        {"config": settings},
        {"config": types.GenerateContentConfig(**settings)},
        {"config": camel},
    ]


@pytest.mark.parametrize(
    "given",
    config_of(
        max_output_tokens=50,
        candidate_count=2,
        system_instruction="Be brief.",
        response_json_schema={"type": "object"},
        tools=[{"google_search": {}}, {"function_declarations": [{"name": "look"}]}],
        cached_content="cachedContents/1",
    ),
)
def test_gemini_is_read_from_dicts_and_objects(given: dict[str, Any]) -> None:
    found = request(model="gemini-2.5-pro", contents="Hi", **given)
    assert (found.api, found.max_output, found.choices) == ("gemini", 50, 2)
    assert (found.cap_name, found.messages, found.web_searches) == ("max_output_tokens", 1, None)
    assert found.texts == ("Hi", "Be brief.")
    assert len(found.schemas) == 1
    assert len(found.tools) == 2
    assert "look" in str(found.tools[1])
    assert sorted(reason.split()[0] for reason in found.unbounded) == ["cached_content", "the"]


def test_gemini_in_rest() -> None:
    found = request(
        model="models/gemini-2.5-pro",
        contents=[
            {
                "role": "user",
                "parts": [
                    {"text": "Hi"},
                    {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
                    {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://a"}},
                    {"functionResponse": {"name": "look", "response": {"sky": "blue"}}},
                ],
            }
        ],
        systemInstruction={"parts": [{"text": "Be brief."}]},
        generationConfig={"maxOutputTokens": 70, "candidateCount": 3},
        cachedContent="cachedContents/1",
    )
    assert (found.max_output, found.cap_name, found.choices) == (70, "maxOutputTokens", 3)
    assert found.texts == ("Hi", '{"name":"look","response":{"sky":"blue"}}', "Be brief.")
    assert found.images == (Image(b"\x89PNG\r\n\x1a\n"),)
    assert found.attachments == (Attachment("video", format="mp4"),)
    assert len(found.unbounded) == 1


@pytest.mark.parametrize(
    "contents",
    [
        "Hi",
        ["Hi"],
        {"text": "Hi"},
        {"parts": [{"text": "Hi"}]},
        [{"role": "user", "parts": [{"text": "Hi"}]}],
        types.Part(text="Hi"),
        types.Content(role="user", parts=[types.Part(text="Hi")]),
        [types.UserContent(parts=[types.Part.from_text(text="Hi")])],
        [["Hi"]],
        types.Content(role="user", parts=[types.Part(text="Hi", thought_signature=b"\x00")]),
    ],
)
def test_contents_in_any_form_are_the_same_text(contents: object) -> None:
    found = request(model="gemini-2.5-pro", contents=contents)
    assert (found.texts, found.messages, found.images) == (("Hi",), 1, ())


def test_geminis_media() -> None:
    parts = [
        types.Part.from_bytes(data=b"\x89PNG\r\n\x1a\n", mime_type="image/png"),
        types.Part.from_uri(file_uri="gs://b/a.jpg", mime_type="image/jpeg"),
        types.Part.from_bytes(data=b"RIFF", mime_type="audio/wav"),
        types.Part.from_bytes(data=b"%PDF", mime_type="application/pdf"),
        types.Part.from_bytes(data=b"plain", mime_type="text/plain"),
        types.File(uri="https://example.com/f", mime_type="video/mp4"),
    ]
    found = request(model="gemini-2.5-pro", contents=parts)
    assert found.images == (Image(b"\x89PNG\r\n\x1a\n"), Image())
    assert found.attachments == (
        Attachment("audio", 4, b"RIFF", "wav"),
        Attachment("document", 4, b"%PDF", "pdf"),
        Attachment("video", format="mp4"),
    )
    assert found.texts == ("plain",)


def look(where: str) -> str:
    """Look at a place."""
    return where


def test_automatic_function_calling_is_unbounded_unless_it_is_disabled() -> None:
    found = request(model="gemini-2.5-pro", contents="Hi", config={"tools": [look]})
    assert found.unbounded[0].startswith("automatic function calling")
    assert found.tools[0]["description"] == "Look at a place."  # type: ignore[index]
    off = {"tools": [look], "automatic_function_calling": {"disable": True}}
    assert request(model="gemini-2.5-pro", contents="Hi", config=off).unbounded == ()
    declared = {"tools": [{"function_declarations": [{"name": "look"}]}]}
    assert request(model="gemini-2.5-pro", contents="Hi", config=declared).unbounded == ()


def test_embedding_has_no_output() -> None:
    assert request(model="gemini-embedding-001", contents=["a", "b"]).max_output == 0


def test_geminis_tier() -> None:
    assert (
        request(model="gemini-2.5-pro", contents="Hi", config={"service_tier": "FLEX"}).service_tier == "flex"
    )
    config = types.GenerateContentConfig(service_tier=types.ServiceTier.PRIORITY)
    assert request(model="gemini-2.5-pro", contents="Hi", config=config).service_tier == "priority"

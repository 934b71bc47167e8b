"""What is billed by its length and not by its text: sound that is heard, and text that is spoken."""

from __future__ import annotations

import io
from collections.abc import Iterator

import openai
import pytest

import allowance
from allowance import BudgetExceededError, budget
from allowance.stores.memory import MemoryStore
from tests.calls.support import books, lines
from tests.provider import Provider, clients

SECOND = 100_000
"""Nano-dollars of whisper-1."""


@pytest.fixture
def client(provider: Provider) -> Iterator[openai.OpenAI]:
    with clients.openai_sync(provider) as client:
        yield client


def sound(seconds: int) -> tuple[str, io.BytesIO]:
    """A file that is taken for so many seconds, by its size."""
    return "speech.mp3", io.BytesIO(bytes(1_000 * seconds))


def test_r12_a_reply_that_does_not_tell_its_length_costs_what_the_file_is_taken_for(
    client: openai.OpenAI, provider: Provider, store: MemoryStore
) -> None:
    provider.reply(usage=False)
    with budget("alice", limit=1):
        client.audio.transcriptions.create(model="whisper-1", file=sound(60))
    assert books(store, "alice") == (60 * SECOND, 0)
    assert [line.unconfirmed for line in lines(store, "alice")] == [True]


def test_r12_a_stream_of_text_that_is_left_costs_what_its_sound_is_taken_for(
    client: openai.OpenAI, provider: Provider, store: MemoryStore
) -> None:
    with budget("alice", limit=1):
        stream = client.audio.transcriptions.create(model="gpt-4o-transcribe", file=sound(60), stream=True)
        next(stream)
        stream.close()
    spent, held = books(store, "alice")
    assert held == 0
    assert spent > 60 * SECOND  # and the text, as long as replies are
    assert [line.unconfirmed for line in lines(store, "alice")] == [True]


def test_r9_a_limit_of_zero_refuses_what_is_billed_by_the_second(
    client: openai.OpenAI, provider: Provider
) -> None:
    with budget("alice", limit=0), pytest.raises(BudgetExceededError):
        client.audio.transcriptions.create(model="whisper-1", file=sound(1))
    assert provider.count == 0


def test_the_file_is_sent_whole(client: openai.OpenAI, provider: Provider) -> None:
    file = sound(3)
    with budget("alice", limit=1):
        client.audio.transcriptions.create(model="whisper-1", file=file)
    assert int(provider.calls[0].headers["Content-Length"]) > 3_000


def test_speech_by_the_token_is_charged_at_its_likely_length(
    client: openai.OpenAI, provider: Provider, store: MemoryStore
) -> None:
    spoken = {"model": "gpt-4o-mini-tts", "input": "hello there"}
    quote = allowance.quote(**spoken, voice="alloy")
    with budget("alice", limit=1):
        assert client.audio.speech.create(**spoken, voice="alloy").content.startswith(b"ID3")
    (line,) = lines(store, "alice")
    assert line.amount == quote.expected > 0
    assert (line.counted, line.unconfirmed) == (True, False)


def test_speech_by_the_character_is_charged_exactly(client: openai.OpenAI, store: MemoryStore) -> None:
    with budget("alice", limit=1):
        client.audio.speech.create(model="tts-1", input="hello there", voice="alloy")
    (line,) = lines(store, "alice")
    assert (line.amount, line.unconfirmed) == (len("hello there") * 15_000, False)

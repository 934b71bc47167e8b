"""What the reply may run to: caps, models' limits, and the lengths that were seen."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from allowance.quotes import Quote, Quoting, Vocabularies
from allowance.quotes.history import START, OutputHistory
from allowance.requests import read
from tests.quotes.conftest import Flat

HELLO: Any = [{"role": "user", "content": "hello"}]


def made(quoting: Quoting, price: Flat | None = None, *, cheap: bool = True, **arguments: Any) -> Quote:
    request = read(arguments)
    assert request is not None
    return quoting.quote(request, price or Flat(), cheap=cheap)


@pytest.fixture
def quoting() -> Quoting:
    return Quoting(vocabularies=Vocabularies(download=False))


def test_a_capped_call_holds_its_cap_and_no_more(quoting: Quoting) -> None:
    quote = made(quoting, model="gpt-4o", messages=HELLO, max_tokens=500)
    assert (quote.capped, quote.bound, quote.unbounded) == (True, True, ())
    assert quote.amount == quote.ceiling == quote.floor == quote.input_tokens * 2_500 + 500 * 10_000
    assert quote.max_output_tokens == quote.output_tokens == 500
    assert quote.expected == quote.amount
    assert made(quoting, cheap=False, model="gpt-4o", messages=HELLO, max_tokens=500).expected < quote.amount


def test_an_uncapped_call_says_how_to_cap_it(quoting: Quoting) -> None:
    quote = made(quoting, model="gpt-4o", messages=HELLO, n=2)
    assert not quote.capped
    assert not quote.bound
    assert quote.input_bounded
    assert quote.unbounded == ("no output cap: add max_completion_tokens",)
    assert quote.amount == quote.floor + 2 * START * 10_000
    assert quote.ceiling == quote.floor + 2 * 16_384 * 10_000


def test_likely_output_follows_what_was_seen(quoting: Quoting) -> None:
    for _ in range(200):
        quoting.observe("gpt-4o", 300)
    for _ in range(8):
        quoting.observe("gpt-4o", 2_000)
    assert made(quoting, model="gpt-4o", messages=HELLO).output_tokens == 300
    for _ in range(16):
        quoting.observe("gpt-4o", 2_000)
    assert made(quoting, model="gpt-4o", messages=HELLO).output_tokens == 2_000
    assert made(quoting, model="gpt-4o-mini", messages=HELLO).output_tokens == START


def test_likely_output_is_never_above_the_models_own_maximum(quoting: Quoting) -> None:
    price = Flat(max_output_tokens=1_000)
    assert made(quoting, price, model="gpt-4o", messages=HELLO).output_tokens == 1_000
    quoting.observe("gpt-4o", 90_000)
    quote = made(quoting, price, model="gpt-4o", messages=HELLO)
    assert (quote.output_tokens, quote.max_output_tokens) == (1_000, 1_000)


def test_a_model_without_a_known_limit_is_taken_for_the_largest(quoting: Quoting) -> None:
    quote = made(quoting, Flat(max_output_tokens=None), model="gpt-4o", messages=HELLO)
    assert (quote.output_tokens, quote.max_output_tokens) == (START, 128_000)


def test_a_reply_that_costs_nothing_needs_no_cap(quoting: Quoting) -> None:
    free = Flat(into=0, out=0)
    quote = made(quoting, free, model="gpt-4o", messages=HELLO)
    assert (quote.amount, quote.ceiling, quote.bound) == (0, 0, True)


def test_embeddings_have_no_output(quoting: Quoting) -> None:
    quote = made(quoting, model="text-embedding-3-small", input=["a", "b"])
    assert (quote.output_tokens, quote.capped, quote.bound) == (0, True, True)
    assert quote.amount == quote.floor


def test_reasons_of_the_request_come_first(quoting: Quoting) -> None:
    quote = made(quoting, model="gpt-5", input="hi", previous_response_id="resp_1")
    assert quote.unbounded[0].startswith("previous_response_id")
    assert quote.unbounded[1] == "no output cap: add max_output_tokens"
    assert not quote.input_bounded


def test_expected_is_at_most_what_is_held(quoting: Quoting) -> None:
    class Odd(Flat):
        def cost(self, usage: Any) -> int:
            return 10**15

        def worst(self, usage: Any, request: Any) -> int:
            return 10**9

    quote = made(quoting, Odd(), model="gpt-4o", messages=HELLO, max_tokens=5)
    assert quote.expected == quote.amount == 10**9


def test_pictures_and_speech_are_quoted(quoting: Quoting) -> None:
    pictures = made(quoting, model="gpt-image-1", prompt="a cat", n=2)
    assert (pictures.output_tokens, pictures.bound) == (2 * 6_240, True)
    speech = made(quoting, model="gpt-4o-mini-tts", input="Hello there", voice="alloy")
    assert (speech.output_tokens, speech.bound) == (22, False)


def test_few_replies_never_lower_the_start() -> None:
    history = OutputHistory()
    for _ in range(19):
        history.observe("m", 5)
        assert history.likely("m") == START
    history.observe("m", 5)
    assert history.likely("m") == 5


def test_a_longer_reply_is_believed_at_once() -> None:
    history = OutputHistory()
    history.observe("m", 50_000)
    assert history.likely("m") == 50_000


def test_the_history_is_bounded_in_models_and_replies() -> None:
    history = OutputHistory()
    for number in range(3_000):
        history.observe(f"m{number}", 10_000)
    assert len(history._models) == 1_024
    assert history.likely("m0") == START
    assert history.likely("m2999") == 10_000
    for number in range(5_000):
        history.observe("m2999", number)
    assert len(history._models["m2999"]._seen) == 256
    assert history.likely("m2999") > 4_900


def test_many_threads_may_observe_at_once() -> None:
    history = OutputHistory()

    def work(number: int) -> None:
        for each in range(2_000):
            history.observe(f"m{each % 7}", number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(0 <= history.likely(f"m{each}") <= 7 for each in range(7))


def test_audio_video_and_documents_are_weighed(quoting: Quoting) -> None:
    import base64
    import struct

    wav = (
        b"RIFF"
        + struct.pack("<I", 320_036)
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    )
    data = base64.b64encode(wav + b"\x00" * 320_000).decode()

    def with_block(block: dict[str, object], model: str = "gpt-4o-audio-preview") -> Quote:
        return made(quoting, model=model, messages=[{"role": "user", "content": [block]}], max_tokens=1)

    empty = with_block({"type": "text", "text": ""})
    spoken = with_block({"type": "input_audio", "input_audio": {"data": data, "format": "wav"}})
    assert spoken.input_tokens - empty.input_tokens == 11 * 10  # ten seconds and the header, ten a second
    assert spoken.bound
    packed = with_block({"type": "input_audio", "input_audio": {"data": data, "format": "mp3"}})
    assert packed.bound, "a WAV is known by its header, whatever it is called"
    noise = with_block({"type": "input_audio", "input_audio": {"data": "AAAA" * 4_000, "format": "mp3"}})
    assert noise.input_tokens - empty.input_tokens == 12 * 10
    assert not noise.bound
    pdf = base64.b64encode(b"%PDF-1.7 /Type /Pages /Type /Page /Type/Page " + b"x" * 9_000).decode()
    file = {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{pdf}"}}
    assert with_block(file).input_tokens - empty.input_tokens == 2 * (3_000 + 1_445)
    assert not with_block(file).bound

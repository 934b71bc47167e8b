"""Each SDK's own first examples run in a block as they run without one, and cost there what was billed.

The scripts in ``examples`` know nothing of allowance: they find the provider by the environment alone.
"""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

import allowance
from allowance import Price, budget
from allowance.stores.memory import MemoryStore
from tests.calls.conftest import store as store  # an automatic fixture, here too
from tests.calls.support import PROJECT, books
from tests.provider import Provider
from tests.provider.clients import close_litellm

EXAMPLES = sorted(path for path in (Path(__file__).parent / "examples").glob("*_sdk.py"))

NANOS = {
    "gpt-4o": (2_500, 10_000),
    "text-embedding-3-small": (20, 0),
    "claude-sonnet-4-5": (3_000, 15_000),
    "anthropic.claude-sonnet-4-5-20250929-v1:0": (3_000, 15_000),
    "gemini-2.5-pro": (1_250, 10_000),
    "llama-3.3-70b-versatile": (590, 790),
    "mistral-small-latest": (150, 600),
    "mistral-embed": (100, 0),
    "command-a-03-2025": (2_500, 10_000),
    "priced": (1_000, 2_000),
}
"""What a token costs, in and out, as the vendors published it; "priced" is given below."""

# Some clients are left open, as in the examples; LiteLLM and google-genai warn of themselves.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """It is where the environment says that every vendor is."""
    running = Provider()
    for name, path in {
        "OPENAI_BASE_URL": "/v1",
        "ANTHROPIC_BASE_URL": "",
        "GOOGLE_GEMINI_BASE_URL": "",
        "GROQ_BASE_URL": "",
        "MISTRAL_URL": "/mistral",
        "CO_API_URL": "",
        "OLLAMA_HOST": "",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "",
    }.items():
        monkeypatch.setenv(name, running.url + path)
    for vendor in ("OPENAI", "ANTHROPIC", "GEMINI", "GROQ", "MISTRAL", "CO"):
        monkeypatch.setenv(f"{vendor}_API_KEY", "test-key")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-key")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield running
    close_litellm()
    running.close()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_unchanged_inside_a_block(
    example: Path, provider: Provider, store: MemoryStore, capsys: pytest.CaptureFixture[str]
) -> None:
    allowance.configure(store=store, project=PROJECT, prices={"priced": Price(input=1, output=2)})

    def printed() -> str:
        runpy.run_path(str(example), run_name="__main__")
        return capsys.readouterr().out

    plain = printed()
    sent = [(call.path, call.body) for call in provider.calls]
    provider.calls.clear()
    with budget("alice", limit=1):
        inside = printed()
    assert inside == plain != ""
    assert [call.path for call in provider.calls] == [path for path, _ in sent]
    due = sum(
        into * NANOS[model][0] + (0 if "embed" in call.api else out * NANOS[model][1])
        for call, (model, into, out) in zip(provider.calls, provider.billed, strict=True)
    )
    assert due > 0
    assert books(store, "alice") == (due, 0)

"""What is known of each family of models: vocabulary, safety factor, and the tokens around the texts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

__all__ = ["Family", "family_of"]


@dataclass(frozen=True, slots=True)
class Family:
    """How the input of one family is counted.

    Attributes:
        name: ``"openai"``, ``"claude"``, ``"claude-new"``, ``"gemini"``, ``"gemini-2"``, ``"open"``.
        encoding: the vocabulary that counts its texts, exactly or nearly.
        exact: whether that is its own vocabulary.
        factor: the safety factor on the count, in percent.
        usual: the factor that is likely, in percent.
        digits: whether it splits numbers into digits, which the vocabulary takes three at a time.
        per_message, per_call: the tokens that its chat format adds.
        per_tools: the tokens that it adds once where there are tools.
    """

    name: Literal["openai", "claude", "claude-new", "gemini", "gemini-2", "open"]
    encoding: str = "o200k_base"
    exact: bool = False
    factor: int = 100
    usual: int = 100
    digits: bool = False
    per_message: int = 3
    per_call: int = 3
    per_tools: int = 12


# The factors are judgement from measured samples: Claude's first tokenizer needed 1.09 (English) to 1.39
# (the worst 1,000 characters) of o200k's tokens, the one of Claude 4.7 up to 1.47 times its predecessor's;
# Mistral's 1.62 on numbers, which it splits into digits, and 1.22 at most once digits are added.
# Anthropic's published prompts for tools run to 530 tokens; chat templates of open models open with a
# dated system text, and gpt-oss with some 70 tokens of its own.
_O200K: Final = Family("openai", exact=True)
_CL100K: Final = Family("openai", "cl100k_base", exact=True)
_DEPLOYMENT: Final = Family("openai", factor=140)
_CLAUDE: Final = Family("claude", factor=140, usual=115, per_message=5, per_call=8, per_tools=600)
_CLAUDE_NEW: Final = Family("claude-new", factor=200, usual=150, per_message=5, per_call=8, per_tools=600)
_GEMINI: Final = Family("gemini", factor=135, usual=105, per_tools=200)
_GEMINI_2: Final = Family("gemini-2", factor=135, usual=105, per_tools=200)
_OPEN: Final = Family("open", factor=150, usual=110, digits=True, per_message=8, per_call=80, per_tools=200)

# Whole names or dashed beginnings, so that gpt-4 does not take gpt-4o or gpt-4.1.
_CL100K_NAMES: Final = re.compile(
    r"(ft:)?(gpt-4|gpt-3\.5|gpt-35|gpt-3\.5-turbo|gpt-35-turbo)(-.*|:.*)?$"
    r"|text-embedding-.*|(ft:)?(davinci|babbage)-002.*"
)
_OPENAI_NAMES: Final = re.compile(
    r"(ft:)?(gpt-(?!oss)|chatgpt-|o\d|codex|computer-use|text-embedding-|davinci|babbage|dall-e|tts-|whisper|omni-)"
)
_CLAUDE_VERSION: Final = re.compile(r"claude-(?:[a-z]+-)?(\d+)(?:[-.](\d{1,2})(?!\d))?")
_GEMINI_VERSION: Final = re.compile(r"gemini-(\d+)")


@lru_cache(maxsize=4_096)
def family_of(model: str, provider: str | None = None) -> Family:
    """The family of a model by its name, whatever provider prefix stands before it.

    An unknown name is taken for one of the open models, whose factor is the widest, but at Azure, where
    a deployment of OpenAI's may bear any name.
    """
    prefix, _, name = model.lower().rpartition("/")
    if "claude" in name:
        return _CLAUDE_NEW if _is_new_claude(name) else _CLAUDE
    if name.startswith(("gemini", "gemma")):
        version = _GEMINI_VERSION.match(name)
        return _GEMINI_2 if version and int(version[1]) < 3 else _GEMINI
    if _CL100K_NAMES.match(name):
        return _CL100K
    if _OPENAI_NAMES.match(name):
        return _O200K
    return _DEPLOYMENT if "azure" in (provider, prefix) else _OPEN


def _is_new_claude(name: str) -> bool:
    """Claude 4.7 and later count more tokens; so does any Claude whose version the name does not tell."""
    found = _CLAUDE_VERSION.search(name)
    if found is None:
        return not re.search(r"claude-(2|instant)", name)
    return (int(found[1]), int(found[2] or 0)) >= (4, 7)

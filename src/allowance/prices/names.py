"""Names: under which names of the catalogue a model may stand, the surest first.

There is no matching of prefixes: ``gpt-4`` never stands for ``gpt-4o`` or ``gpt-4-32k``. What is taken
off a name is a path, a region, a vendor or a version of a known form, and the exact name is always tried
before anything is taken off. A fine-tuned model never stands for its base, which costs less.
"""

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["candidates", "is_free_variant", "is_local"]

_PROVIDERS: Final = {
    "google": "gemini",
    "google_genai": "gemini",
    "google-gla": "gemini",
    "google-vertex": "vertex_ai",
    "vertex": "vertex_ai",
    "vertexai": "vertex_ai",
    "vertex_ai_beta": "vertex_ai",
    "x-ai": "xai",
    "grok": "xai",
    "aws": "bedrock",
    "bedrock_converse": "bedrock",
    "azure_openai": "azure",
    "azure-openai": "azure",
    "together": "together_ai",
    "fireworks": "fireworks_ai",
    "cohere_chat": "cohere",
    "mistralai": "mistral",
    "moonshotai": "moonshot",
    "github-copilot": "github_copilot",
}

# Vendors whose models the catalogue has under their plain name, or who sell others' at the others' price.
_VENDORS: Final = (
    "openai", "anthropic", "gemini", "vertex_ai", "google", "mistral", "mistralai", "xai", "x-ai", "deepseek",
    "cohere", "azure", "bedrock", "openrouter", "litellm_proxy", "text-completion-openai", "cohere_chat",
    "vertex_ai_beta", "google_genai",
)  # fmt: skip

# Hosts of open models: the price is theirs, and the plain name's says nothing about it.
_HOSTS: Final = frozenset(
    {"groq", "together_ai", "fireworks_ai", "cerebras", "deepinfra", "novita", "sambanova"}
)

# Vendors whose own models the catalogue has under the vendor's name alone.
_HOMES: Final = (
    "openai",
    "anthropic",
    "gemini",
    "xai",
    "mistral",
    "deepseek",
    "cohere",
    "perplexity",
    "moonshot",
)

_PATHS: Final = (
    (re.compile(r"arn:aws[\w-]*:bedrock:[^/]*/(?=.)"), "bedrock"),
    (re.compile(r"(?:projects/[^/]+/locations/[^/]+/)?publishers/[^/]+/models/"), "vertex_ai"),
    (re.compile(r"models/"), "gemini"),
    (re.compile(r"bedrock/(?:converse/|invoke/)?(?:[a-z]{2}(?:-gov)?-[a-z]+-\d/)?"), "bedrock"),
    (re.compile(r"azure/(?:eu|us|global(?:-standard)?)/"), "azure"),
)
_PREFIX: Final = re.compile(rf"({'|'.join(map(re.escape, _VENDORS))})/")
_REGION: Final = re.compile(r"(?:us|eu|apac|jp|au|ca|us-gov|global)\.(?=[a-z])")
_MAKER: Final = re.compile(
    r"(?:anthropic|amazon|meta|mistral|cohere|ai21|deepseek|openai|qwen|google|moonshotai|minimax|writer)\."
)
_REVISION: Final = re.compile(r"-v\d+(?::\d+)?(?::\w+)?$")
_MONTH_DAY: Final = r"(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01])"
_VERSIONS: Final = (
    re.compile(rf"-20\d\d-{_MONTH_DAY}$"),
    re.compile(rf"[-@]20\d\d{_MONTH_DAY}$"),
    re.compile(rf"-preview-{_MONTH_DAY}$"),
    re.compile(rf"-{_MONTH_DAY}$"),
    re.compile(r"-\d{3}$"),
    re.compile(r"[-@]latest$"),
    re.compile(r"-preview$"),
    re.compile(r"-exp$"),
    re.compile(r"@default$"),
)
_MOST_STEPS: Final = 8


def candidates(name: str, provider: str | None = None) -> Iterator[tuple[str, str]]:
    """Pairs of a rule and a name to look up, lower-case, the surest first.

    The rules: ``exact``; ``provider`` (under the provider's name); ``prefix``, ``region``, ``vendor``,
    ``dots`` (something was taken off or written otherwise); ``home`` (under the name of the vendor that
    makes it); ``version`` (a date or the like was taken off); ``fine-tuned``.

    A provider may be named with its region (``bedrock/eu-west-1``): what it takes there comes first, by the
    rule ``in region``.
    """
    start = name.strip().lower()
    place, region = _located(_provider(provider))
    forms = list(_forms(start, place))
    if region is not None and not start.startswith(f"{place}/"):
        here = takewhile(lambda each: each[0] in ("exact", "prefix"), forms)  # what names no region itself
        yield from (("in region", f"{place}/{region}/{form}") for _, form, _ in here)
    for rule, form, where in forms:
        yield from _under(rule, form, where)
    if any(form.startswith("ft:") for _, form, _ in forms):
        yield from _fine_tuned(forms)
        return
    for _, form, where in forms:
        if where not in _HOSTS and "/" not in form:
            yield from (("home", f"{home}/{form}") for home in _HOMES)
    for _, form, where in forms:
        for shorter in _without_version(form):
            yield from (("version", key) for _, key in _under("version", shorter, where))
            if where not in _HOSTS and "/" not in form:
                yield from (("version", f"{home}/{shorter}") for home in _HOMES)


def is_free_variant(name: str) -> bool:
    """Whether it is a variant of a model that OpenRouter serves for nothing: ``vendor/model:free``."""
    return "/" in name and name.strip().lower().endswith(":free")


def is_local(name: str, provider: str | None) -> bool:
    """Whether it is served by Ollama on the user's own machine, where nobody bills it."""
    word = name.strip().lower()
    served = _provider(provider) in {"ollama", "ollama_chat"} or word.startswith(("ollama/", "ollama_chat/"))
    return served and not word.endswith(("-cloud", ":cloud"))


def _provider(provider: str | None) -> str | None:
    word = provider.strip().lower() if provider else None
    return _PROVIDERS.get(word, word) if word else None


def _located(provider: str | None) -> tuple[str | None, str | None]:
    """A provider, and the region that is named with it."""
    if provider is None or not provider.startswith("bedrock/"):
        return provider, None
    place, _, region = provider.partition("/")
    return place, region or None


def _under(rule: str, form: str, provider: str | None) -> Iterator[tuple[str, str]]:
    if provider is not None and not form.startswith(f"{provider}/"):
        yield ("provider" if rule == "exact" else rule), f"{provider}/{form}"
    if provider not in _HOSTS or form.startswith(f"{provider}/"):
        yield rule, form


def _forms(start: str, provider: str | None) -> Iterator[tuple[str, str, str | None]]:
    """The name, and what is left of it after each step: (rule, form, provider)."""
    rule, form, place = "exact", start, provider
    yield rule, form, place
    for _ in range(_MOST_STEPS):
        step = _shorter(form, place)
        if step is None:
            return
        rule, form, place = step
        yield rule, form, place


def _shorter(form: str, provider: str | None) -> tuple[str, str, str | None] | None:
    for pattern, place in _PATHS:
        if (match := pattern.match(form)) and match.end() < len(form):
            return "prefix", form[match.end() :], place
    if (match := _PREFIX.match(form)) and match.end() < len(form):
        return "prefix", form[match.end() :], _provider(match[1])
    if match := _REGION.match(form):
        return "region", form[match.end() :], provider
    if match := _MAKER.match(form):
        return "vendor", form[match.end() :], provider
    if form.startswith("claude-") and "." in form:
        return "dots", form.replace(".", "-"), provider
    return None


def _without_version(form: str) -> Iterator[str]:
    if (match := _REVISION.search(form)) and match.start():  # Bedrock's, which may stand behind a date
        form = form[: match.start()]
        yield form
    for pattern in _VERSIONS:
        if (match := pattern.search(form)) and match.start():
            yield form[: match.start()]


def _fine_tuned(forms: list[tuple[str, str, str | None]]) -> Iterator[tuple[str, str]]:
    for _, form, where in forms:
        if form.startswith("ft:"):
            base = ":".join(form.split(":")[:2])
            for shorter in (base, *_without_version(base)):
                yield from (("fine-tuned", key) for _, key in _under("fine-tuned", shorter, where))

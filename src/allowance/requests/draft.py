"""`Draft`: a `Request` while it is being read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from allowance.requests.fields import (
    MAX_DEPTH,
    MAX_PARTS,
    as_count,
    as_json,
    as_list,
    endless,
    field,
    plain,
)
from allowance.requests.request import Api, Attachment, Image, Request

__all__ = ["Draft", "Readers"]


class Draft:
    """What has been read of a call so far. Each API's module fills one from the call's arguments."""

    token_ids = 0
    messages = 0
    names = 0
    choices = 1
    max_output: int | None = None
    cap_name: str | None = None
    stream = False
    service_tier: str | None = None
    cache_ttl: str | None = None
    speed: str | None = None
    region: str | None = None
    web_searches: int | None = 0
    min_output = 1
    seconds = 0
    size: str | None = None
    parts = 0

    def __init__(self, api: Api, model: str, provider: str | None) -> None:
        self.api: Api = api
        self.model = model
        self.provider = provider
        self.texts: list[str] = []
        self.tools: list[object] = []
        self.schemas: list[object] = []
        self.images: list[Image] = []
        self.attachments: list[Attachment] = []
        self.reasons: list[str] = []

    def request(self) -> Request:
        """The finished record."""
        return Request(
            self.api,
            self.model,
            self.provider,
            tuple(self.texts),
            self.token_ids,
            self.messages,
            self.names,
            tuple(self.tools),
            tuple(self.schemas),
            tuple(self.images),
            tuple(self.attachments),
            self.max_output,
            self.cap_name,
            self.choices,
            self.stream,
            self.service_tier,
            self.cache_ttl,
            self.speed,
            self.region,
            self.web_searches,
            tuple(self.reasons),
            self.min_output,
            self.seconds,
            self.size,
        )

    def read(self, arguments: Mapping[str, Any], readers: Readers) -> None:
        """Hand every argument that was given to the reader of its name; other names do not matter."""
        for name, value in arguments.items():
            if value is not None:
                reader = readers.get(name)
                if reader is not None:
                    reader(self, value)

    def read_cap(self, arguments: Mapping[str, Any], *names: str) -> None:
        """Read the output cap: of several that are given, the larger. The first name is the usual one."""
        for name in names:
            if name in arguments:
                cap = as_count(arguments[name], name)
                if cap is not None and (self.max_output is None or cap > self.max_output):
                    self.max_output = cap
                    self.cap_name = name
                elif self.cap_name is None:
                    self.cap_name = name
        if self.cap_name is None:
            self.cap_name = names[0]

    def see_thinking(self, thinking: object) -> None:
        """Note the thoughts that Anthropic's cap must leave room for: the budget they have, and a token."""
        budget = as_count(field(thinking, "budget_tokens"), "budget_tokens")
        if budget is not None and field(thinking, "type") != "disabled":
            self.min_output = max(self.min_output, budget + 1)

    def unbound(self, reason: str) -> None:
        """Note why the request does not bound what the call may cost."""
        if reason not in self.reasons:
            self.reasons.append(reason)

    def count_part(self, depth: int) -> None:
        """Refuse content that has no end.

        Raises:
            ConfigurationError: at more than sixty levels, or 250,000 parts.
        """
        self.parts += 1
        if depth > MAX_DEPTH or self.parts > MAX_PARTS:
            raise endless()

    def add_json(self, value: object) -> None:
        """Count a value as the JSON text that the model will see."""
        self.texts.append(as_json(value))

    def add_tools(self, tools: object) -> None:
        """Keep tool definitions; one that is not a plain dict becomes one."""
        found = as_list(tools)
        if found is None:
            if isinstance(tools, Mapping) and tools:
                self.tools.append(tools)
            return
        for tool in found:
            self.tools.append(tool if type(tool) is dict else plain(tool))
            self.see_cache(field(tool, "cache_control"))

    def add_schema(self, schema: object) -> None:
        """Keep a JSON schema, or the schema of a class (or a ``list`` of it), that the reply must follow."""
        written = schema if type(schema) is dict else plain(schema)
        if isinstance(written, dict) and written:
            self.schemas.append(written)

    def see_cache(self, mark: object) -> None:
        """Note a ``cache_control`` mark; an hour is longer than the default of five minutes."""
        if field(mark, "type") is not None:
            hour = field(mark, "ttl") == "1h" or self.cache_ttl == "1h"
            self.cache_ttl = "1h" if hour else "5m"

    def set_choices(self, value: object, name: str) -> None:
        """Take the larger of several numbers of replies."""
        self.choices = max(self.choices, as_count(value, name) or 1)


Reader: TypeAlias = Callable[[Draft, Any], None]
Readers: TypeAlias = Mapping[str, Reader]
"""Which argument is read by which function."""

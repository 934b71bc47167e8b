"""What travels on the wire, described for OpenAPI. It is read by `allowance.wire`, without models."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["BODIES", "REPLIES", "Problem"]

Nanos = Annotated[int, Field(ge=-(2**63), le=2**63 - 1, description="whole nano-dollars (10⁻⁹ US dollars)")]
Micros = Annotated[int, Field(ge=-(2**63), le=2**63 - 1, description="microseconds since 1970-01-01 UTC")]
Count = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Id = Annotated[str, Field(max_length=200, description="chosen by the client; the same id counts once")]
Name = Annotated[str, Field(min_length=1, max_length=128)]
Key = Annotated[
    list[str],
    Field(min_length=3, max_length=4, description="project, kind, name and, where it has one, label"),
]
Limit = Annotated[int, Field(ge=1, le=500)]
Duration = Annotated[str, Field(description="daily, weekly, monthly, yearly, or like 30s, 12h, 7d, 1mo, 1y")]


class Shape(BaseModel):
    """A JSON object. Fields that a reader does not know are passed over; null is as if left out."""

    model_config = ConfigDict(extra="allow")


class Terms(Shape):
    limit: Nanos | None
    duration: Duration | None = None
    align: Literal["created", "calendar"] | None = None
    timezone: str | None = None
    uncapped: Literal["shrink", "clamp", "reserve", "refuse"] | None = None
    models: list[str] | None = None


class Declaration(Terms):
    limit: Nanos | None = None
    creates: bool | None = None
    created_at: Micros | None = None


class Scope(Shape):
    key: Key
    declared: Declaration | None = None
    default: Terms | None = None


class Ask(Shape):
    hold_id: Id
    scopes: list[Scope]
    amount: Nanos
    floor: Nanos | None = None
    ceiling: Nanos | None = None
    expected: Nanos | None = None
    bounded: bool | None = None
    ttl: Annotated[int, Field(ge=-(2**63), le=2**63 - 1, description="microseconds")]
    replacing: str | None = None
    model: str | None = None
    tags: list[str] | None = None
    owner: str | None = None
    deadline_ms: Annotated[int, Field(ge=1, le=2**62)] | None = None


class Posting(Shape):
    hold_id: Id
    amount: Nanos
    scopes: list[Scope] | None = None
    model: str | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    unconfirmed: bool | None = None
    counted: bool | None = None
    reason: str | None = None
    tags: list[str] | None = None
    at: Micros | None = None


class Release(Shape):
    hold_id: Id
    reason: str | None = None


class Renewal(Shape):
    hold_ids: Annotated[list[str], Field(max_length=256)]
    ttl: Count


class Definition(Shape):
    key: Key
    terms: Declaration
    declared: bool | None = None


class OfKey(Shape):
    key: Key


class Accounts(Shape):
    project: str | None = None
    after: Key | None = None
    limit: Limit | None = None


class Entries(Shape):
    key: Key | None = None
    since: Micros | None = None
    until: Micros | None = None
    hold_id: str | None = None
    after: Count | None = None
    limit: Limit | None = None


class OfHold(Shape):
    hold_id: Id


class After(Shape):
    reserved_at: Micros
    hold_id: str


class Holds(Shape):
    key: Key | None = None
    after: After | None = None
    limit: Limit | None = None


class Adjustment(Shape):
    key: Key
    amount: Nanos | None
    reason: str | None = None
    adjustment_id: str | None = None


class Extension(Shape):
    key: Key
    amount: Nanos
    until: Micros | None = None
    reason: str | None = None
    adjustment_id: str | None = None


class Pruning(Shape):
    before: Micros


class Project(Shape):
    project_name: Annotated[str, Field(min_length=1)]


class Post(Project):
    user_dict: dict[str, dict[str, Any]]


class NewKey(Shape):
    name: Name
    scopes: list[Literal["spend", "read", "admin"]]
    projects: list[Name] | None = None
    expires_in: Count | None = None
    limit: Nanos | None = None
    duration: Duration | None = None
    fixed_terms: bool | None = None


class Rotation(Shape):
    name: Name
    overlap_seconds: Count | None = None


class Named(Shape):
    name: Name


class Account(Shape):
    key: Key
    terms: Terms
    declared: Declaration | None = None
    created_at: Micros
    window_start: Micros
    window_end: Micros | None = None
    spent: Nanos
    held: Nanos
    version: Count


class Hold(Shape):
    hold_id: str
    state: Literal["held", "settled", "released", "expired"]
    amount: Nanos
    expected: Nanos
    windows: list[dict[str, Any]]
    reserved_at: Micros
    expires_at: Micros


class Entry(Shape):
    seq: Count
    key: Key
    kind: str
    amount: Nanos
    at: Micros
    posted_at: Micros
    window_start: Micros


class Grant(Shape):
    hold_id: str
    amount: Nanos
    expires_at: Micros
    accounts: list[Account]


class Denial(Shape):
    account: Account
    amount: Nanos
    temporary: bool | None = None


class Outcome(Shape):
    """Either a grant or a denial: both are answers."""

    granted: Grant | None = None
    denied: Denial | None = None


class Settlement(Shape):
    hold_id: str
    accounts: list[Account]
    amount: Nanos
    posted: Nanos


class Settled(Shape):
    settled: Settlement


class OneHold(Shape):
    hold: Hold | None


class OneAccount(Shape):
    account: Account | None


class ManyAccounts(Shape):
    accounts: list[Account]


class AccountPage(Shape):
    items: list[Account]
    next: Key | None


class EntryPage(Shape):
    items: list[Entry]
    next: Count | None


class HoldPage(Shape):
    items: list[Hold]
    next: After | None


class Costs(Shape):
    costs: list[dict[str, Any]]


class Swept(Shape):
    holds: list[Hold]


class Differences(Shape):
    differences: list[str]


class Pruned(Shape):
    pruned: Count


class Status(Shape):
    status: str


class KeyPage(Shape):
    items: list[dict[str, Any]]


class Minted(Shape):
    key: dict[str, Any]
    token: str


class About(Shape):
    protocol: Literal[1]
    server: Literal["allowance"]
    version: str


class Problem(Shape):
    """An error (RFC 9457). ``code`` says which; further fields are the exception's own."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class Nothing(Shape):
    """An empty object."""


BODIES: Final[dict[str, type[Shape]]] = {
    "/v1/reserve": Ask,
    "/v1/settle": Posting,
    "/v1/release": Release,
    "/v1/renew": Renewal,
    "/v1/define": Definition,
    "/v1/account": OfKey,
    "/v1/family": OfKey,
    "/v1/accounts": Accounts,
    "/v1/model_costs": OfKey,
    "/v1/entries": Entries,
    "/v1/hold": OfHold,
    "/v1/holds": Holds,
    "/v1/adjust": Adjustment,
    "/v1/extend": Extension,
    "/v1/remove": OfKey,
    "/v1/sweep": Nothing,
    "/v1/audit": Nothing,
    "/v1/prune": Pruning,
    "/v1/keys": NewKey,
    "/v1/keys/rotate": Rotation,
    "/v1/keys/revoke": Named,
    "/get_budget": Project,
    "/set_budget": Post,
}
"""What is posted to each address."""

REPLIES: Final[dict[tuple[str, str], type[Shape]]] = {
    ("GET", "/v1/"): About,
    ("POST", "/v1/reserve"): Outcome,
    ("POST", "/v1/settle"): Settled,
    ("POST", "/v1/release"): OneHold,
    ("POST", "/v1/renew"): Nothing,
    ("POST", "/v1/define"): OneAccount,
    ("POST", "/v1/account"): OneAccount,
    ("POST", "/v1/family"): ManyAccounts,
    ("POST", "/v1/accounts"): AccountPage,
    ("POST", "/v1/model_costs"): Costs,
    ("POST", "/v1/entries"): EntryPage,
    ("POST", "/v1/hold"): OneHold,
    ("POST", "/v1/holds"): HoldPage,
    ("POST", "/v1/adjust"): OneAccount,
    ("POST", "/v1/extend"): OneAccount,
    ("POST", "/v1/remove"): ManyAccounts,
    ("POST", "/v1/sweep"): Swept,
    ("POST", "/v1/audit"): Differences,
    ("POST", "/v1/prune"): Pruned,
    ("GET", "/v1/keys"): KeyPage,
    ("POST", "/v1/keys"): Minted,
    ("POST", "/v1/keys/rotate"): Minted,
    ("POST", "/v1/keys/revoke"): KeyPage,
    ("POST", "/get_budget"): Status,
    ("POST", "/set_budget"): Status,
    ("GET", "/healthz"): Status,
    ("GET", "/readyz"): Status,
}
"""What each address answers with."""

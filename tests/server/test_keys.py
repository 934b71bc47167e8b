"""Keys: what they may do, how long, who made them; seen within a second everywhere; no secret kept."""

from __future__ import annotations

import logging
import pickle
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from allowance.errors import ConfigurationError, StoreUnavailableError
from allowance.server import keyring
from allowance.server.keys import KEY_PROJECT, Key, Keys, Scope, key_account
from allowance.server.keys_api import ROUTES
from allowance.server.problems import RefusedError
from allowance.server.state import State, open_state
from allowance.server.tokens import Token, digest, mint_token, parse_token
from allowance.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def keys(state: State) -> Keys:
    return Keys(state)


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Keys]:
    """Keys in a file, where the database makes no difference."""
    with closing(open_state(f"sqlite:///{tmp_path}/local.db")) as state:
        yield Keys(state)


@pytest.fixture
def elsewhere(state_url: str, state: State) -> Iterator[Keys]:
    """Another server's keys, on the same database."""
    with closing(open_state(state_url)) as other:
        yield Keys(other)


def until(found: Callable[[], object]) -> float:
    """Wait for a condition; how long it took."""
    begun = time.monotonic()
    while not found():
        assert time.monotonic() < begun + 60, "it did not come to pass"
        time.sleep(0.01)
    return time.monotonic() - begun


# -- tokens -------------------------------------------------------------------------------------------


def test_a_token_has_an_id_a_secret_of_256_bits_and_a_checksum() -> None:
    token, shown = mint_token()
    assert parse_token(shown) == token
    assert shown.startswith(f"alw_{token.key_id}_")
    assert len(token.secret) * 5 >= 256
    assert len({mint_token()[1] for _ in range(100)}) == 100
    assert token.secret not in repr(token) + str(token)


def test_a_mistyped_token_is_known_without_a_look_up() -> None:
    _, shown = mint_token()
    for place in range(len(shown)):
        other = "b" if shown[place] != "b" else "c"
        assert parse_token(shown[:place] + other + shown[place + 1 :]) is None, place
    swapped = shown[:20] + shown[21] + shown[20] + shown[22:]
    assert swapped == shown or parse_token(swapped) is None
    for bad in ("", "alw_", shown[:-1], shown + "0", shown.upper(), "x" * 10_000_000, shown + "\n", "é" * 77):
        assert parse_token(bad) is None


# -- making and checking ------------------------------------------------------------------------------


def test_a_key_is_known_by_its_token_here_and_elsewhere(keys: Keys, elsewhere: Keys) -> None:
    key, token = keys.mint("app", ["spend"], ["a", "b"], fixed_terms=True, actor="cli:me")
    assert (key.name, key.scopes, key.projects) == ("app", {Scope.SPEND}, {"a", "b"})
    assert (key.fixed_terms, key.budgeted, key.revoked, key.expires_at) == (True, False, False, None)
    assert keys.check(token) == key == elsewhere.check(token)
    assert pickle.loads(pickle.dumps(key)) == key


def test_no_other_token_is_a_key(keys: Keys) -> None:
    _, token = keys.mint("app", ["spend"], actor="cli:me")
    _, stranger = mint_token()
    right, wrong = parse_token(token), parse_token(stranger)
    assert right is not None
    assert wrong is not None
    assert keys.check(stranger) is None
    assert keys.check(_text(Token(right.key_id, wrong.secret))) is None
    assert keys.check(_text(Token(wrong.key_id, right.secret))) is None
    assert keys.check(_text(right)) is not None
    for nothing in ("", "Bearer", token[:-1]):
        assert keys.check(nothing) is None


def _text(token: Token) -> str:
    import zlib

    shown = f"alw_{token.key_id}_{token.secret}"
    return f"{shown}_{zlib.crc32(shown.encode()):08x}"


def test_scopes_imply_lesser_ones_and_projects_bound() -> None:
    def made(*scopes: Scope, projects: frozenset[str] | None = None) -> Key:
        return Key("id", "n", frozenset(scopes), projects, False, False, None, False)

    may = {scope: {other for other in Scope if made(scope).may(other)} for scope in Scope}
    assert may[Scope.READ] == {Scope.READ}
    assert may[Scope.SPEND] == {Scope.SPEND, Scope.READ}
    assert may[Scope.ADMIN] == set(Scope)
    assert made(Scope.READ).sees("any")
    bound = made(Scope.ADMIN, projects=frozenset({"a"}))
    assert (bound.sees("a"), bound.sees("b"), bound.sees(KEY_PROJECT)) == (True, False, False)


BAD: dict[str, dict[str, Any]] = {
    "no name": {"name": ""},
    "a name of blanks": {"name": "  "},
    "a long name": {"name": "x" * 129},
    "a control character": {"name": "a\x00b"},
    "no scopes": {"scopes": []},
    "an unknown scope": {"scopes": ["spend", "root"]},
    "no projects": {"projects": []},
    "a blank project": {"projects": [" "]},
    "an end that is over": {"expires_at": 5},
    "an end that is no time": {"expires_at": 1.5},
    "a duration without a limit": {"duration": "daily"},
    "a budget without a store": {"limit": 5},
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_a_key_is_refused_and_nothing_is_made(case: str, local: Keys) -> None:
    given: dict[str, Any] = {"name": "app", "scopes": ["spend"], "actor": "cli:me", **BAD[case]}
    with pytest.raises(ConfigurationError):
        local.mint(given.pop("name"), given.pop("scopes"), given.pop("projects", None), **given)
    assert local.listed() == []


def test_a_name_is_one_keys_until_that_is_revoked_or_has_expired(keys: Keys) -> None:
    keys.mint("app", ["spend"], actor="cli:me")
    with pytest.raises(ConfigurationError, match="rotate"):
        keys.mint("app", ["read"], actor="cli:me")
    keys.revoke("app", actor="cli:me")
    _, token = keys.mint("app", ["read"], expires_at=keys.now() + 300_000, actor="cli:me")
    until(lambda: keys.check(token) is None)
    keys.mint("app", ["admin"], actor="cli:me")
    assert [(key.newest, key.revoked) for key in keys.listed()] == [
        (True, False),
        (False, False),
        (False, True),
    ]


def test_a_key_ends_when_it_expires(keys: Keys, elsewhere: Keys) -> None:
    key, token = keys.mint("app", ["spend"], expires_at=keys.now() + 800_000, actor="cli:me")
    assert keys.check(token) == elsewhere.check(token) == key
    until(lambda: keys.check(token) is None)
    assert keys.now() >= (key.expires_at or 0)
    until(lambda: elsewhere.check(token) is None)


def test_a_revocation_is_seen_by_every_server_within_a_second(keys: Keys, elsewhere: Keys) -> None:
    assert elsewhere.check(mint_token()[1]) is None
    _, token = keys.mint("app", ["spend"], actor="cli:me")
    until(lambda: elsewhere.check(token))
    [gone] = keys.revoke("app", actor="cli:me")
    assert gone.revoked
    assert keys.check(token) is None
    until(lambda: elsewhere.check(token) is None)
    assert keyring.FRESH < keyring.TRUSTED < 0.75  # with the gate's quarter of a second: below one
    with pytest.raises(ConfigurationError, match="no key"):
        keys.revoke("app", actor="cli:me")


def test_two_tokens_overlap_when_a_key_is_rotated(keys: Keys, elsewhere: Keys) -> None:
    old, old_token = keys.mint("app", ["spend"], ["a"], fixed_terms=True, actor="cli:me")
    new, new_token = keys.rotate("app", overlap_seconds=0.7, actor="cli:me")
    assert (new.name, new.scopes, new.projects, new.fixed_terms) == ("app", old.scopes, old.projects, True)
    assert elsewhere.check(new_token) == new
    retired = elsewhere.check(old_token)
    assert retired is not None
    assert retired.expires_at is not None
    until(lambda: keys.check(old_token) is None)
    until(lambda: elsewhere.check(old_token) is None)
    assert keys.check(new_token) == new
    _, third = keys.rotate("app", overlap_seconds=0, actor="cli:me")
    assert keys.check(new_token) is None
    assert keys.check(third)
    for overlap in (-1, 31 * 86_400, float("nan")):
        with pytest.raises(ConfigurationError, match="overlap"):
            keys.rotate("app", overlap_seconds=overlap, actor="cli:me")
    with pytest.raises(ConfigurationError, match="no key"):
        keys.rotate("nobody", actor="cli:me")


def test_a_rotated_key_does_not_outlive_its_end(keys: Keys) -> None:
    end = keys.now() + 3_600_000_000
    keys.mint("app", ["spend"], expires_at=end, actor="cli:me")
    new, _ = keys.rotate("app", overlap_seconds=86_400, actor="cli:me")
    assert new.expires_at == end
    assert {key.expires_at for key in keys.listed()} == {end}


def test_a_key_is_revoked_by_its_id_alone_or_by_its_name_with_all_tokens(keys: Keys) -> None:
    old, old_token = keys.mint("app", ["spend"], actor="cli:me")
    _, new_token = keys.rotate("app", actor="cli:me")
    assert [key.key_id for key in keys.revoke(old.key_id, actor="cli:me")] == [old.key_id]
    assert keys.check(old_token) is None
    assert keys.check(new_token)
    _, newest_token = keys.rotate("app", actor="cli:me")
    assert len(keys.revoke("app", actor="cli:me")) == 2
    assert (keys.check(new_token), keys.check(newest_token)) == (None, None)


def test_a_key_may_have_a_budget_of_its_own(state: State) -> None:
    store = MemoryStore()
    keys = Keys(state, store)
    key, token = keys.mint("app", ["spend"], limit=100, duration="monthly", actor="cli:me")
    assert key.budgeted
    account = store.account(key_account("app"))
    assert account is not None
    assert (account.key.project, account.limit, account.terms.duration) == (KEY_PROJECT, 100, "monthly")
    rotated, _ = keys.rotate("app", actor="cli:me")
    assert rotated.budgeted
    assert keys.check(token)


def test_each_change_leaves_a_line_that_says_who_and_what(keys: Keys, state: State) -> None:
    first, _ = keys.mint("app", ["spend"], actor="cli:ann")
    second, _ = keys.rotate("app", actor="k-bob")
    keys.revoke("app", actor="k-eve")
    lines = state.audit_lines()[::-1]
    assert [(line.actor, line.action) for line in lines] == [
        ("cli:ann", "key.add"),
        ("k-bob", "key.rotate"),
        ("k-eve", "key.revoke"),
        ("k-eve", "key.revoke"),
    ]
    assert lines[0].before is None
    assert (lines[0].after or {})["id"] == first.key_id
    assert second.key_id in lines[1].target
    assert (lines[3].before or {})["revoked_at"] is None
    assert (lines[3].after or {})["revoked_at"] is not None


# -- how it is kept, and looked up --------------------------------------------------------------------


def test_no_secret_is_in_the_database_a_log_or_a_repr(
    keys: Keys, state: State, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    tokens = [keys.mint("app", ["admin"], actor="cli:me"), keys.rotate("app", actor="cli:me")]
    keys.revoke("app", actor="cli:me")
    with state.database.read() as connection:
        schema = "" if connection.dialect.name == "sqlite" else "allowance_server."
        rows = [
            repr([bytes(value) if isinstance(value, memoryview) else value for value in row])
            for table in ("key", "audit_line", "outbox", "mark", "told", "secret")
            for row in connection.execute(text(f"SELECT * FROM {schema}{table}"))
        ]
    kept = "\n".join(
        [*rows, caplog.text, repr(keys.listed()), repr(keys.__dict__), repr(state.audit_lines())]
    )
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    for key, token in tokens:
        parsed = parse_token(token)
        assert parsed is not None
        assert parsed.key_id in kept
        for hidden in (parsed.secret, token, token[-8:]):
            assert hidden not in kept + repr(key) + repr(parsed)
            assert hidden.encode() not in files
        assert digest(parsed.secret).hex() not in kept


def _count_reads(state: State, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    reads: list[int] = []
    real = state.database.read

    def counted() -> Any:
        reads.append(1)
        return real()

    monkeypatch.setattr(state.database, "read", counted)
    return reads


def test_a_flood_of_unknown_tokens_grows_no_memory_and_asks_nothing(
    keys: Keys, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = keys.mint("app", ["spend"], actor="cli:me")
    assert keys.check(token)
    monkeypatch.setattr(keyring, "FRESH", 3600)
    reads = _count_reads(state, monkeypatch)
    assert all(keys.check(mint_token()[1]) is None for _ in range(2_000))
    assert reads == []
    assert len(keys._ring._seen.keys) == 1
    assert keys.fresh


def test_of_threads_that_ask_at_once_one_looks(
    keys: Keys, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token = keys.mint("app", ["spend"], actor="cli:me")
    monkeypatch.setattr(keyring, "FRESH", 3600)
    reads = _count_reads(state, monkeypatch)
    ready, found = threading.Barrier(16), []

    def look() -> None:
        ready.wait()
        found.append(keys.check(token))

    threads = [threading.Thread(target=look) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reads) == 1
    assert len(set(found)) == 1
    assert None not in found


def test_when_the_database_is_away_known_keys_work_a_while_and_none_is_called_wrong(
    keys: Keys, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, token = keys.mint("app", ["spend"], actor="cli:me")
    assert keys.check(token) == key
    asked = []

    def away() -> Any:
        asked.append(1)
        raise StoreUnavailableError("away", retry_after=1.0)

    monkeypatch.setattr(state.database, "read", away)
    assert keys.check(token) == key
    with pytest.raises(StoreUnavailableError) as error:
        until(lambda: keys.check(token) != key)
    assert error.value.retry_after == 1.0
    for unknown in (token, mint_token()[1]):
        with pytest.raises(StoreUnavailableError):
            keys.check(unknown)
    assert keys.check("no token at all") is None
    before = len(asked)
    for _ in range(200):
        with pytest.raises(StoreUnavailableError):
            keys.check(token)
    assert len(asked) <= before + 20  # it is not asked each time
    monkeypatch.undo()
    until(lambda: _checks(keys, token))


def _checks(keys: Keys, token: str) -> bool:
    try:
        return keys.check(token) is not None
    except StoreUnavailableError:
        return False


# -- over HTTP: what the routes do --------------------------------------------------------------------


def asking(keys: Keys, by: Key) -> Callable[..., dict[str, Any]]:
    handlers = {(route.method, route.path): route.handler for route in ROUTES}
    return lambda method, path, **body: handlers[method, path](keys, by, body)


def test_the_routes_make_list_rotate_and_revoke(keys: Keys, state: State) -> None:
    admin, _ = keys.mint("ops", ["admin"], actor="cli:me")
    ask = asking(keys, admin)
    made = ask("POST", "/v1/keys", name="app", scopes=["spend"], projects=["a"], expires_in=3600)
    key = keys.check(made["token"])
    assert key is not None
    assert made["key"]["id"] == key.key_id
    assert abs((key.expires_at or 0) - keys.now() - 3_600_000_000) < 600_000_000
    rotated = ask("POST", "/v1/keys/rotate", name="app", overlap_seconds=0)
    assert keys.check(made["token"]) is None
    listed = ask("GET", "/v1/keys")
    assert [one["name"] for one in listed["items"]] == ["app", "app", "ops"]
    assert "token" not in repr(listed)
    assert ask("POST", "/v1/keys/revoke", name="app")["items"][0]["revoked_at"] is not None
    assert keys.check(rotated["token"]) is None
    assert {line.actor for line in state.audit_lines()} == {"cli:me", admin.key_id}


def test_an_admin_that_is_bound_to_projects_hands_out_no_keys(keys: Keys) -> None:
    bound, _ = keys.mint("ops", ["admin"], ["a"], actor="cli:me")
    ask = asking(keys, bound)
    for route in ROUTES:
        with pytest.raises(RefusedError) as error:
            ask(route.method, route.path, name="mine", scopes=["admin"])
        assert error.value.status == 403
    assert len(keys.listed()) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": 5, "scopes": ["spend"]},
        {"name": "x"},
        {"name": "x", "scopes": "spend"},
        {"name": "x", "scopes": [1]},
        {"name": "x", "scopes": ["spend"], "projects": "a"},
        {"name": "x", "scopes": ["spend"], "projects": ["p"] * 257},
        {"name": "x", "scopes": ["spend"], "expires_in": -1},
        {"name": "x", "scopes": ["spend"], "expires_in": True},
        {"name": "x", "scopes": ["spend"], "expires_in": 10**15},
        {"name": "x", "scopes": ["spend"], "expires_in": 0},
        {"name": "x", "scopes": ["spend"], "limit": 1.5},
        {"name": "x", "scopes": ["spend"], "limit": 5, "duration": 7},
    ],
)
def test_a_body_that_cannot_be_done_is_refused(body: dict[str, Any], local: Keys) -> None:
    admin, _ = local.mint("ops", ["admin"], actor="cli:me")
    with pytest.raises(ConfigurationError):
        asking(local, admin)("POST", "/v1/keys", **body)
    assert len(local.listed()) == 1

"""What the page lists: searched, in pages, as files; names that are traps; sums that read each line once."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import pytest

from allowance.ledger.records import AccountKey, Ask, Declaration, Entry, EntryKind, Posting
from allowance.ledger.records import Scope as Budget
from allowance.server.page.charts import day_bars, model_bars, round_up
from allowance.server.page.exports import guarded_cell
from allowance.server.page.listing import account_of, packed
from allowance.server.page.spend import DAYS, Spend
from allowance.server.page.standings import Standings
from allowance.server.page.words import about, clean, long_from
from allowance.stores.memory import MemoryStore
from tests.server.browser import DAY, NASTY, USD, World, hold, world

FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "  =1", "\uff1d1")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("lists")) as made:
        keys = [AccountKey("shop", "user", f"user-{number:03d}") for number in range(120)]
        keys += [AccountKey("shop", "user", name) for name in (*NASTY, "=1+1", "+1", "-1", "@SUM(A1)")]
        keys += [AccountKey("a/b", "team", "réd"), AccountKey("a/b", "team", "réd", "gpt-*")]

        def make(key: AccountKey) -> None:
            made.store.define(key, Declaration(limit=5 * USD, duration="monthly", creates=True))

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(make, sorted(keys)))
        yield made


def names(text: str) -> list[str]:
    """The names of a list's rows, as a reader sees them."""
    return [
        unescape(found)
        for found in re.findall(r'<a class="name" href="/budgets/[\w-]+"><bdi>(.*?)</bdi>', text)
    ]


def test_pages_follow_one_another_and_hold_every_budget_once(site: World) -> None:
    found: list[str] = []
    path, pages = "/budgets", 0
    with site.client("reader") as client:
        while path:
            text = client.get(path).text
            found += names(text)
            pages += 1
            onward = re.search(r'rel="next" href="([^"]+)"', text)
            path = unescape(onward[1]) if onward else ""
    accounts = list(site.store.accounts())
    assert pages == 3
    kinds = [key.name if key.kind == "user" else f"{key.kind} {key.name}" for key, *_ in accounts]
    assert found == [clean(name) for name in kinds]


@pytest.mark.parametrize(
    ("search", "wanted"),
    [
        ("user-007", ["user-007"]),
        ("USER-00 7", ["user-007"]),
        ("<SCRIPT>", ["<script>alert(1)</script>"]),
        ("gpt-", ["team réd"]),
        ("team", ["team réd", "team réd"]),
        ("no such", []),
        ("%' OR 1=1 --", []),
    ],
)
def test_the_search_finds_every_word_in_any_case(site: World, search: str, wanted: list[str]) -> None:
    with site.client("reader") as client:
        answer = client.get("/budgets", params={"q": search})
        assert answer.status_code == 200
        assert names(answer.text) == wanted


def test_a_search_that_looked_long_enough_says_where_to_go_on(
    site: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("allowance.server.page.listing.LOOKED_AT_MOST", 60)
    with site.client("reader") as client:
        answer = client.get("/budgets", params={"q": "user-119"})
        assert "goes on from there" in answer.text
        onward = re.search(r'rel="next" href="([^"]+)"', answer.text)
        assert onward is not None
        for _ in range(3):
            answer = client.get(unescape(onward[1]))
            onward = re.search(r'rel="next" href="([^"]+)"', answer.text) or onward
            if names(answer.text):
                break
        assert names(answer.text) == ["user-119"]


@pytest.mark.parametrize("name", [*NASTY, "é/ü", ".", "..", "a%2fb", "%00"])
def test_a_name_is_only_a_name(site: World, name: str) -> None:
    key = AccountKey("shop", "user", name)
    site.store.define(key, Declaration(limit=USD, creates=True))
    site.state.refused("shop", "user", name, "", name, 1, 0, 1, time.time_ns() // 1_000)
    if site.store.hold(f"hold {name}") is None:
        hold(site.store, key, USD // 5, f"hold {name}", model=name)
    word = packed(key)
    assert re.fullmatch(r"[\w-]+", word, re.ASCII)
    assert account_of(word) == key
    with site.client("admin") as client:
        for path in (f"/budgets/{word}", "/budgets", "/holds", "/refusals", "/"):
            answer = client.get(path)
            assert answer.status_code == 200, path
            shown = re.sub(r'<input type="hidden"[^>]*>', "", answer.text)
            assert not re.search(r"<script|<img src=x|onclick='", answer.text), path
            assert "\u202e" not in shown
        text = client.get(f"/budgets/{word}").text
        assert f"<bdi>{clean(name)}</bdi></h1>" in unescape(text)


@pytest.mark.parametrize(
    "word", ["", "abc", "W10", "bnVsbA", "WzEsMiwzLDRd", "ü", "=" * 50, "WyJhIl0", "A" * 9000]
)
def test_a_word_that_is_no_key_is_not_found(site: World, word: str) -> None:
    assert account_of(word) is None
    with site.client("reader") as client:
        assert client.get(f"/budgets/{word}").status_code in (404, 307, 200)
        assert client.get("/budgets", params={"after": word}).status_code == 200


def test_an_export_holds_every_budget_and_no_formula(site: World) -> None:
    with site.client("reader") as client:
        answer = client.get("/export/budgets.csv")
        assert answer.headers["content-disposition"] == 'attachment; filename="budgets.csv"'
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        data = client.get("/export/budgets.json").json()
        few = client.get("/export/budgets.json", params={"q": "user-007"}).json()
        none = client.get("/export/budgets.json", params={"q": "no such"}).json()
    assert len(rows) == len(data) == len(list(site.store.accounts()))
    for row in rows:
        assert not any(value.lstrip().startswith(("=", "+", "@")) for value in row.values())
    assert {"'=1+1", "'+1", "'-1", "'@SUM(A1)"} <= {row["name"] for row in rows}
    assert {"=1+1", "+1", "-1", "@SUM(A1)"} <= {row["name"] for row in data}
    assert rows[-1]["limit_usd"] == data[-1]["limit_usd"]
    assert [row["name"] for row in few] == ["user-007"]
    assert none == []


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_a_text_to_a_spreadsheet(text: str) -> None:
    assert guarded_cell(text) == f"'{text}"


def test_empty_places_say_what_to_type(tmp_path: Path) -> None:
    with world(tmp_path) as made, made.client("admin") as client:
        assert 'with budget("alice", limit=5' in unescape(client.get("/").text)
        assert f"ALLOWANCE_STORE={made.url}" in client.get("/").text
        for path, words in (
            ("/budgets", "No budgets yet"),
            ("/budgets?q=x", "Nothing found"),
            ("/holds", "No call is open"),
            ("/refusals", "No call was refused"),
        ):
            assert words in client.get(path).text


# -- the sums ----------------------------------------------------------------------------------------


class Counting(MemoryStore):
    """A store that counts the lines that are read of it."""

    read = 0

    def entries(self, *args: object, **options: object) -> Iterator[Entry]:  # type: ignore[override]
        for entry in super().entries(*args, **options):  # type: ignore[arg-type]
            self.read += 1
            yield entry


def _sees(_: str) -> bool:
    return True


def _fresh(spend: Spend) -> None:
    spend._read_at = float("-inf")  # what was read is old enough to read on


def test_each_line_is_read_once_and_a_call_counts_once() -> None:
    store = Counting()
    alice, red = AccountKey("shop", "user", "alice"), AccountKey("shop", "team", "red")
    for key in (alice, red, AccountKey("(keys)", "key", "app")):
        store.define(key, Declaration(limit=100 * USD, creates=True, duration="monthly"))
    scopes = (Budget(alice), Budget(red), Budget(AccountKey("(keys)", "key", "app")))
    for number in range(20):
        ask = Ask(f"c{number}", scopes, USD, USD, USD, USD, True, 10**9, model="gpt-4o")
        store.reserve(ask)
        store.settle(Posting(f"c{number}", USD, model="gpt-4o"))
    store.adjust(alice, None, reason="reset")
    sums = Spend(store, hidden="(keys)")
    view = sums.view(_sees)
    assert (view.amount, view.calls, view.complete) == (20 * USD, 20, True)
    assert [(one.name, one.amount) for one in view.models] == [("gpt-4o", 20 * USD)]
    assert len(view.days) == DAYS
    assert view.days[-1].day == datetime.now(UTC).date()
    before = store.read
    assert sums.view(_sees).amount == 20 * USD
    assert store.read == before  # it is new enough
    store.settle(Posting("later", USD, (Budget(red),), "o3"))
    _fresh(sums)
    view = sums.view(_sees)
    assert (view.amount, view.calls) == (21 * USD, 21)
    assert sums.view(lambda project: project == "other").amount == 0


class Long(MemoryStore):
    """A store whose ledger has nine thousand lines, evenly over its days; it counts those that are read."""

    model = "o3"

    def __init__(self, days: int = 90) -> None:
        super().__init__()
        self.read = 0
        self.lines = 9_000
        self.step = days * DAY // self.lines
        self.began = time.time_ns() // 1_000 - days * DAY

    def at(self, seq: int) -> int:
        return self.began + seq * self.step

    def entries(self, *_: object, after: int = 0, **__: object) -> Iterator[Entry]:
        key = AccountKey("shop", "user", "alice")
        for seq in range(after + 1, self.lines + 1):
            self.read += 1
            at = self.at(seq)
            yield Entry(
                seq, key, EntryKind.CALL, USD, at, at, 0, hold_id=f"c{seq}", model=self.model.format(seq)
            )


def test_a_long_ledger_is_read_from_where_the_days_begin() -> None:
    store = Long()
    today = time.time_ns() // 1_000 // DAY
    wanted = sum(store.at(seq) // DAY > today - DAYS for seq in range(1, store.lines + 1))
    sums = Spend(store, hidden="(keys)")
    view = sums.view(_sees, patience=60)
    assert (view.calls, view.amount) == (wanted, wanted * USD)
    assert 2_850 < wanted < 3_000
    assert store.read < wanted + 1_100  # of the 9,000
    store.lines += 5
    _fresh(sums)
    assert sums.view(_sees, patience=60).calls == wanted + 5
    assert store.read < wanted + 2_200


def test_a_first_view_that_is_out_of_patience_goes_on_with_the_next() -> None:
    store = MemoryStore()
    key = AccountKey("shop", "user", "alice")
    for number in range(1_500):
        store.define(key._replace(name=f"u{number}"), Declaration(limit=USD, creates=True))
        store.settle(Posting(f"c{number}", 1, (Budget(key._replace(name=f"u{number}")),), "o3"))
    sums, standings = Spend(store, hidden="(keys)"), Standings(store)
    seen: list[tuple[int, int]] = []
    while True:
        spend_view, view = sums.view(_sees, patience=0.0), standings.view(_sees, patience=0.0)
        seen.append((spend_view.calls, view.budgets))
        if spend_view.complete and view.complete:
            break
        assert len(seen) < 1_000
    assert len(seen) > 2
    assert seen == sorted(seen)
    assert seen[-1] == (1_500, 1_500)


def test_models_without_end_are_bounded() -> None:
    store = Long(days=1)
    store.model = "model-{}"
    sums = Spend(store, hidden="(keys)")
    view = sums.view(_sees, patience=60)
    assert (view.amount, view.calls) == (9_000 * USD, 9_000)
    assert sum(len(day) for day in sums._days.values()) <= 2 * 2_001
    bars = model_bars(view.models)
    assert len(bars) == 11
    assert sum(bar.amount for bar in bars) == 9_000 * USD


def test_standings_tell_the_fullest() -> None:
    store = MemoryStore()
    for number in range(40):
        key = AccountKey("shop" if number % 2 else "red", "user", f"u{number:02d}")
        store.define(key, Declaration(limit=10 * USD, creates=True))
        store.settle(Posting(f"c{number}", number * USD // 3, (Budget(key),), "o3"))
    store.define(AccountKey("shop", "user", "shut"), Declaration(limit=0, creates=True))
    store.define(AccountKey("shop", "user", "counted"), Declaration(limit=None, creates=True))
    standings = Standings(store)
    view = standings.view(_sees)
    assert (view.budgets, view.limited, view.full, view.near) == (42, 41, 11, 6)
    assert [account.key.name for account in view.nearest[:3]] == ["u39", "u38", "u37"]
    assert view.projects == ["red", "shop"]
    ours = standings.view(lambda project: project == "red")
    assert (ours.budgets, ours.projects) == (20, ["red"])
    assert {account.key.project for account in ours.nearest} == {"red"}


def test_what_was_changed_here_is_counted_at_once() -> None:
    store = MemoryStore()
    standings = Standings(store)
    assert standings.view(_sees).budgets == 0
    store.define(AccountKey("shop", "user", "new"), Declaration(limit=0, creates=True))
    assert standings.view(_sees).budgets == 0  # it is new enough
    standings.changed()
    assert standings.view(_sees).budgets == 1


# -- words and pictures ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (1_234_567_890_000, "$1,234.57"),
        (339_612_345, "$0.3396"),
        (12_345_678, "$0.0123"),
        (264_412, "$0.00026"),
        (75_000, "$0.000075"),
        (1, "<$0.000001"),
        (0, "$0.00"),
        (-111_111_111, "-$0.1111"),
        (999_999_999, "$1.00"),
    ],
)
def test_amounts_have_as_many_digits_as_one_reads(nanos: int, text: str) -> None:
    assert about(nanos) == text


def test_lengths_of_time_are_in_their_two_largest_units() -> None:
    second = 1_000_000
    lengths = (5, 65, 3_660, 90_000, 86_400)
    assert [long_from(length * second) for length in lengths] == [
        "5 s",
        "1 min",
        "1 h 1 min",
        "1 d 1 h",
        "1 d",
    ]


def test_what_hides_in_a_name_is_written_out() -> None:
    assert clean("\u202egnp.exe") == "\\u202egnp.exe"
    assert clean("a\u200bb\x07") == "a\\u200bb\\x07"
    assert clean("👩‍👩‍👧") == "👩‍👩‍👧"


@pytest.mark.parametrize(
    ("amount", "top"), [(0, 0), (1, 1), (3, 5), (21, 25), (100, 100), (101, 200), (26, 50)]
)
def test_an_axis_ends_with_a_round_amount(amount: int, top: int) -> None:
    assert round_up(amount) == top


def test_the_bars_of_the_days_lie_within_the_picture() -> None:
    store = MemoryStore()
    key = AccountKey("shop", "user", "alice")
    store.define(key, Declaration(limit=None, creates=True))
    for number, amount in enumerate((1, 1_000_000 * USD)):
        at = time.time_ns() // 1_000 - number * DAY
        store.settle(Posting(f"c{number}", amount, (Budget(key),), "o3", at=at))
    bars = day_bars(Spend(store, hidden="(keys)").view(_sees).days)
    assert bars.dearest is not None
    assert bars.dearest.amount == 1_000_000 * USD
    assert [bar.height for bar in bars.bars[-2:]] == [100.0, 0.8]
    assert all(bar.x >= 0 and bar.x + bar.width <= 100 and bar.y >= 0 for bar in bars.bars)

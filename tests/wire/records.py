"""Records of every shape, for Hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from allowance.ledger.records import (
    Account,
    AccountKey,
    Ask,
    Declaration,
    Denial,
    Entry,
    EntryKind,
    Extra,
    Grant,
    Hold,
    HoldState,
    Posting,
    Scope,
    Settlement,
    Terms,
)

INTEGERS = st.integers(-(2**63), 2**63 - 1)
AMOUNTS = st.one_of(INTEGERS, st.integers(0, 3), st.integers(2**53 - 2, 2**53 + 2))
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
MAYBE_TEXT = st.none() | TEXTS
MAYBE_INTEGER = st.none() | INTEGERS
TAGS = st.lists(TEXTS, max_size=3).map(tuple)
FLAGS = st.booleans()

POLICIES = st.sampled_from(("shrink", "clamp", "reserve", "refuse"))
ALIGNMENTS = st.sampled_from(("created", "calendar"))

KEYS = st.builds(AccountKey, TEXTS, TEXTS, TEXTS, TEXTS)
TERMS = st.builds(Terms, MAYBE_INTEGER, MAYBE_TEXT, ALIGNMENTS, TEXTS, POLICIES, TAGS)
DECLARATIONS = st.builds(
    Declaration,
    *(MAYBE_INTEGER, MAYBE_TEXT, st.none() | ALIGNMENTS, MAYBE_TEXT, st.none() | POLICIES),
    *(FLAGS, st.none() | TAGS, MAYBE_INTEGER),
)
SCOPES = st.builds(Scope, KEYS, st.none() | DECLARATIONS, st.none() | TERMS)
EXTRAS = st.lists(st.builds(Extra, AMOUNTS, MAYBE_INTEGER), max_size=2).map(tuple)
ACCOUNTS = st.builds(
    Account,
    *(KEYS, TERMS, st.none() | DECLARATIONS, INTEGERS, INTEGERS, MAYBE_INTEGER),
    *(AMOUNTS, AMOUNTS, INTEGERS, EXTRAS),
)
HOLDS = st.builds(
    Hold,
    *(TEXTS, st.sampled_from(HoldState), AMOUNTS, AMOUNTS, FLAGS),
    *(st.lists(st.tuples(KEYS, INTEGERS), max_size=2).map(tuple), MAYBE_TEXT, INTEGERS, INTEGERS),
    *(AMOUNTS, TAGS, TEXTS),
)
SOME_HOLDS = st.lists(HOLDS, max_size=2).map(tuple)
SOME_ACCOUNTS = st.lists(ACCOUNTS, max_size=2).map(tuple)
ASKS = st.builds(
    Ask,
    *(TEXTS, st.lists(SCOPES, max_size=3).map(tuple), AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS),
    *(FLAGS, INTEGERS, MAYBE_TEXT, MAYBE_TEXT, TAGS, TEXTS),
)
POSTINGS = st.builds(
    Posting,
    *(TEXTS, AMOUNTS, st.lists(SCOPES, max_size=2).map(tuple), MAYBE_TEXT, INTEGERS, INTEGERS),
    *(FLAGS, FLAGS, TEXTS, TAGS, MAYBE_INTEGER),
)
GRANTS = st.builds(Grant, TEXTS, AMOUNTS, FLAGS, FLAGS, FLAGS, FLAGS, INTEGERS, SOME_ACCOUNTS, SOME_HOLDS)
DENIALS = st.builds(Denial, ACCOUNTS, AMOUNTS, FLAGS, SOME_HOLDS)
SETTLEMENTS = st.builds(Settlement, TEXTS, SOME_ACCOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, FLAGS)
ENTRIES = st.builds(
    Entry,
    *(INTEGERS, KEYS, st.sampled_from(EntryKind), AMOUNTS, INTEGERS, INTEGERS, INTEGERS),
    *(MAYBE_TEXT, MAYBE_TEXT, INTEGERS, INTEGERS, FLAGS, FLAGS, TEXTS, TAGS),
)

"""`admit` against the rule in words, over every mix of accounts and policies."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from allowance.ledger.holds import admit
from allowance.ledger.records import Account, AccountKey, Ask, Extra, Scope, Terms

KEY = AccountKey("p", "user", "n")
AMOUNT = st.integers(0, 60)

ACCOUNT = st.builds(
    lambda limit, spent, held, uncapped, extra: Account(
        KEY, Terms(limit, uncapped=uncapped), None, 0, 0, None, spent, held, extras=(Extra(extra, None),)
    ),
    st.none() | AMOUNT,
    AMOUNT,
    AMOUNT,
    st.sampled_from(["shrink", "clamp", "reserve", "refuse"]),
    st.integers(0, 9),
)


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    floor, amount, ceiling = sorted(draw(st.tuples(AMOUNT, AMOUNT, AMOUNT)))
    return Ask("a", (Scope(KEY),), floor, amount, ceiling, 0, True, 1)


def satisfies(account: Account, ask: Ask, held: int) -> bool:
    """Whether holding so much would be right by this account's limit and policy alone."""
    limit = account.limit
    if limit is None or held == 0 == ask.amount:
        return True
    if account.spent + account.held + held > limit:
        return False
    if account.terms.uncapped == "reserve":
        return held == ask.ceiling
    if account.terms.uncapped == "refuse":
        return held >= ask.amount
    return held >= min(ask.floor, ask.amount) and held > 0


@settings(max_examples=1500, deadline=None)
@given(accounts=st.lists(ACCOUNT, min_size=1, max_size=3), ask=asks())
def test_r1_the_hold_is_the_most_that_every_account_allows(accounts: list[Account], ask: Ask) -> None:
    verdict = admit(accounts, ask, [0] * len(accounts))
    demanding = any(a.terms.limit is not None and a.terms.uncapped == "reserve" for a in accounts)
    want = ask.ceiling if demanding else ask.amount
    allowed = [held for held in range(want + 1) if all(satisfies(a, ask, held) for a in accounts)]
    if want == 0:
        assert (verdict.amount, verdict.refused_by) == (0, None)
    elif allowed and max(allowed) > 0:
        assert (verdict.amount, verdict.refused_by) == (max(allowed), None)
    else:
        assert verdict.refused_by is not None
        account = accounts[verdict.refused_by]
        assert account.remaining == min(a.remaining for a in accounts if a.remaining is not None)
        without = [a._replace(held=0) for a in accounts]  # as if no holds were open
        assert verdict.temporary == (admit(without, ask, [0] * len(accounts)).refused_by is None)
    clamps = any(a.terms.limit is not None and a.terms.uncapped == "clamp" for a in accounts)
    if verdict.refused_by is None:
        assert verdict.clamped == (clamps and verdict.amount < want)

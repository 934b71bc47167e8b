"""A ledger as plainly as it can be said: lists, no counters; every figure is summed up when asked for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from allowance.ledger.records import AccountKey, Ask, Declaration, Posting, Scope, Terms
from allowance.ledger.windows import window_at

FIELDS = ("limit", "duration", "align", "timezone", "uncapped")


class ConflictError(Exception):
    pass


class UnknownError(Exception):
    pass


@dataclass
class Budget:
    terms: Terms
    created: int
    declared: dict[str, Any] = field(default_factory=dict)


@dataclass
class Call:
    state: str
    amount: int
    expected: int
    bound: bool
    keys: list[AccountKey]
    at: int
    expires: int
    charged: int = 0
    ask: Ask | None = None
    answer: tuple[Any, ...] = ()


class Model:
    def __init__(self) -> None:
        self.now = 0
        self.budgets: dict[AccountKey, Budget] = {}
        self.calls: dict[str, Call] = {}
        self.posted: list[tuple[AccountKey, int, int]] = []
        self.adjusted: dict[str, tuple[AccountKey, int | None]] = {}

    # -- figures -------------------------------------------------------------------------------------

    def inside(self, key: AccountKey, at: int, budget: Budget | None = None) -> bool:
        budget = budget or self.budgets[key]
        start, end = window_at(budget.terms, budget.created, self.now)
        return start <= at and (end is None or at < end)

    def spent(self, key: AccountKey, budget: Budget | None = None) -> int:
        return sum(amount for k, amount, at in self.posted if k == key and self.inside(key, at, budget))

    def held(self, key: AccountKey, budget: Budget | None = None) -> int:
        return sum(
            call.amount
            for call in self.calls.values()
            if call.state == "held" and key in call.keys and self.inside(key, call.at, budget)
        )

    def figures(self, key: AccountKey) -> tuple[int, int, int | None] | None:
        if key not in self.budgets:
            return None
        return self.spent(key), self.held(key), self.budgets[key].terms.limit

    # -- verbs ---------------------------------------------------------------------------------------

    def tick(self, clock: int) -> None:
        self.now = max(self.now, clock)
        over = [call for call in self.calls.values() if call.state == "held" and call.expires <= self.now]
        for call in over:
            call.state, call.charged = "expired", call.amount if call.bound else call.expected
            self.posted += [(key, call.charged, call.at) for key in call.keys]

    def found(self, scopes: tuple[Scope, ...]) -> dict[AccountKey, Budget]:
        found: dict[AccountKey, Budget] = {}
        for scope in scopes:
            known = found.get(scope.key) or self.budgets.get(scope.key)
            declared = scope.declared or Declaration()
            named = {name: getattr(declared, name) for name in FIELDS if getattr(declared, name) is not None}
            if known is None:
                if declared.creates:
                    terms = replace(replace(scope.default or Terms(None), limit=declared.limit), **named)
                elif scope.default is not None:
                    terms = replace(scope.default, **named)
                else:
                    raise UnknownError
                found[scope.key] = Budget(terms, self.now, named)
            else:
                news = {name: value for name, value in named.items() if known.declared.get(name) != value}
                found[scope.key] = Budget(
                    replace(known.terms, **news), known.created, {**known.declared, **named}
                )
        return found

    def reserve(self, ask: Ask) -> tuple[Any, ...]:
        call = self.calls.get(ask.hold_id)
        if call is not None:
            if call.state == "released" or call.ask != ask:
                raise ConflictError
            return *call.answer, call.expires
        found = self.found(ask.scopes)
        self.budgets.update({key: budget for key, budget in found.items() if key in self.budgets})
        old = self.calls.get(ask.replacing or "")
        if old is not None and old.state != "held":
            old = None
        room = {
            key: budget.terms.limit
            - self.spent(key, budget)
            - self.held(key, budget)
            + (old.amount if old and key in old.keys and self.inside(key, old.at, budget) else 0)
            for key, budget in found.items()
            if budget.terms.limit is not None
        }
        policies = {found[key].terms.uncapped for key in room}
        want = ask.ceiling if "reserve" in policies else ask.amount
        shrinking = not policies & {"reserve", "refuse"}
        least = min(room.values(), default=want)
        if want == 0 or want <= least:
            amount = want
        elif shrinking and least > 0 and least >= ask.floor:
            amount = least
        else:
            return "denied", next(key for key in room if room[key] == least), want
        if old is not None:
            old.state = "released"
        clamped = "clamp" in policies and amount < want
        bound = ask.bounded and (amount >= ask.ceiling or clamped)
        self.budgets.update(found)
        answer = ("granted", amount, amount < ask.amount, clamped, bound, old is not None)
        self.calls[ask.hold_id] = Call(
            "held", amount, ask.expected, bound, list(found), self.now, self.now + ask.ttl, 0, ask, answer
        )
        return *answer, self.now + ask.ttl

    def settle(self, posting: Posting) -> tuple[Any, ...]:
        call = self.calls.get(posting.hold_id)
        if call is None:
            if not posting.scopes:
                raise UnknownError
            self.budgets.update(self.found(posting.scopes))
            keys = list(dict.fromkeys(scope.key for scope in posting.scopes))
            call = self.calls[posting.hold_id] = Call("settled", 0, 0, False, keys, self.now, self.now)
            call.charged = posting.amount
            self.posted += [(key, posting.amount, self.now) for key in keys]
            return posting.amount, 0, 0, False
        held = call.amount
        overrun = max(0, posting.amount - held) if call.ask else 0
        if call.state == "settled" and call.charged == posting.amount:
            return 0, held, overrun, True
        if call.state in ("settled", "released"):
            raise ConflictError
        posted = posting.amount - call.charged
        call.state, call.charged = "settled", posting.amount
        self.correct(call, posted)
        return posted, held, overrun, False

    def release(self, hold_id: str) -> tuple[Any, ...] | None:
        call = self.calls.get(hold_id)
        if call is None:
            self.calls[hold_id] = Call("released", 0, 0, False, [], self.now, self.now)
            return None
        if not call.keys:
            return None
        if call.state in ("held", "expired"):
            if call.state == "expired":
                self.correct(call, -call.charged)
            call.state, call.charged = "released", 0
        return call.state, call.amount, call.charged

    def correct(self, call: Call, amount: int) -> None:
        """Post, but take back no more than what a reset has left."""
        for key in call.keys:
            self.posted.append((key, amount, call.at))
            if self.inside(key, call.at) and self.spent(key) < 0:
                self.posted.append((key, -self.spent(key), call.at))

    def renew(self, hold_ids: list[str], ttl: int) -> None:
        for hold_id in hold_ids:
            call = self.calls.get(hold_id)
            if call is not None and call.state == "held":
                call.expires = max(call.expires, self.now + ttl)

    def define(self, key: AccountKey, given: Declaration, declared: bool) -> None:
        known = self.budgets.get(key)
        if known is None or declared:
            self.budgets.update(self.found((Scope(key, given),)))
            if known is None and not declared:
                self.budgets[key].declared = {}
            return
        named = {name: getattr(given, name) for name in FIELDS if getattr(given, name) is not None}
        if given.creates:
            named["limit"] = given.limit
        known.terms = replace(known.terms, **named)

    def adjust(self, key: AccountKey, amount: int | None, adjustment_id: str | None) -> None:
        if key not in self.budgets:
            raise UnknownError
        if adjustment_id is not None and adjustment_id in self.adjusted:
            if self.adjusted[adjustment_id] != (key, amount):
                raise ConflictError
            return
        if adjustment_id is not None:
            self.adjusted[adjustment_id] = (key, amount)
        spent = self.spent(key)
        self.posted.append((key, -spent if amount is None else max(amount, -spent), self.now))

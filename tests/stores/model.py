"""A ledger as plainly as it can be said: lists, no counters; every figure is summed up when asked for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from allowance.ledger.records import AccountKey, Ask, Declaration, Posting, Scope, Terms
from allowance.ledger.windows import window_at

FIELDS = ("limit", "duration", "align", "timezone", "uncapped", "models")


class ConflictError(Exception):
    pass


class UnknownError(Exception):
    pass


class MisuseError(Exception):
    pass


@dataclass
class Budget:
    terms: Terms
    created: int
    declared: dict[str, Any] = field(default_factory=dict)
    extras: list[tuple[int, int | None]] = field(default_factory=list)

    def counts(self, model: str | None) -> bool:
        patterns = [pattern.lower() for pattern in self.terms.models]
        parts = [] if model is None else model.lower().split("/")
        names = ["/".join(parts[number:]) for number in range(len(parts))]
        return not patterns or any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


@dataclass
class Call:
    state: str
    amount: int
    expected: int
    bound: bool
    keys: list[AccountKey]
    at: int
    expires: int
    model: str | None = None
    charged: int = 0
    ask: Ask | None = None
    answer: tuple[Any, ...] = ()


class Model:
    def __init__(self) -> None:
        self.now = 0
        self.budgets: dict[AccountKey, Budget] = {}
        self.calls: dict[str, Call] = {}
        self.posted: list[tuple[AccountKey, int, int, str | None]] = []
        self.adjusted: dict[str, tuple[Any, ...]] = {}

    # -- figures -------------------------------------------------------------------------------------

    def inside(self, key: AccountKey, at: int, budget: Budget | None = None) -> bool:
        budget = budget or self.budgets[key]
        start, end = window_at(budget.terms, budget.created, self.now)
        return start <= at and (end is None or at < end)

    def spent(self, key: AccountKey, budget: Budget | None = None) -> int:
        return sum(amount for k, amount, at, _ in self.posted if k == key and self.inside(key, at, budget))

    def costs(self, key: AccountKey) -> dict[str | None, int]:
        costs: Counter[str | None] = Counter()
        for k, amount, at, model in self.posted:
            costs[model] += amount if k == key and self.inside(key, at) else 0
        return {model: cost for model, cost in costs.items() if cost}

    def limit(self, budget: Budget) -> int | None:
        extra = sum(amount for amount, until in budget.extras if until is None or self.now < until)
        return None if budget.terms.limit is None else budget.terms.limit + extra

    def held(self, key: AccountKey, budget: Budget | None = None) -> int:
        return sum(
            call.amount
            for call in self.calls.values()
            if call.state == "held" and key in call.keys and self.inside(key, call.at, budget)
        )

    def figures(self, key: AccountKey) -> tuple[Any, ...] | None:
        if key not in self.budgets:
            return None
        return self.spent(key), self.held(key), self.limit(self.budgets[key]), self.costs(key)

    # -- verbs ---------------------------------------------------------------------------------------

    def tick(self, clock: int) -> None:
        self.now = max(self.now, clock)
        over = [call for call in self.calls.values() if call.state == "held" and call.expires <= self.now]
        for call in over:
            call.state, call.charged = "expired", call.amount if call.bound else call.expected
            self.posted += [(key, call.charged, call.at, call.model) for key in call.keys]

    def found(self, scopes: tuple[Scope, ...]) -> dict[AccountKey, Budget]:
        """The families of the scopes as they would be: what is declared applied, what lacks made."""
        found: dict[AccountKey, Budget] = {}
        for main in dict.fromkeys(scope.key.main for scope in scopes):
            named = {scope.key: scope for scope in scopes if scope.key.main == main}
            family = sorted({main, *named, *[key for key in self.budgets if key.main == main]})
            defaults = [scope.default for scope in named.values() if scope.default is not None]
            if len(family) > 1:
                defaults.append(Terms(None))
            for key in family:
                declared = named[key].declared if key in named else None
                default = None if key.label or not defaults else defaults[0]
                found[key] = self.declared(key, declared or Declaration(), default)
        return found

    def declared(self, key: AccountKey, given: Declaration, default: Terms | None = None) -> Budget:
        known = self.budgets.get(key)
        named = {name: getattr(given, name) for name in FIELDS if getattr(given, name) is not None}
        if known is not None:
            news = {name: value for name, value in named.items() if known.declared.get(name) != value}
            merged = {**known.declared, **named}
            return Budget(replace(known.terms, **news), known.created, merged, known.extras)
        if given.creates:
            terms = replace(replace(default or Terms(None), limit=given.limit), **named)
        elif default is not None:
            terms = replace(default, **named)
        else:
            raise UnknownError
        return Budget(terms, self.now if given.created_at is None else given.created_at, named)

    def reserve(self, ask: Ask) -> tuple[Any, ...]:
        call = self.calls.get(ask.hold_id)
        if call is not None:
            if call.state == "released" or call.ask != ask:
                raise ConflictError
            return *call.answer, call.expires
        found = self.found(ask.scopes)
        self.budgets.update({key: budget for key, budget in found.items() if key in self.budgets})
        found = {key: budget for key, budget in found.items() if budget.counts(ask.model)}
        old = self.calls.get(ask.replacing or "")
        if old is not None and old.state != "held":
            old = None
        room = {
            key: limit
            - self.spent(key, budget)
            - self.held(key, budget)
            + (old.amount if old and key in old.keys and self.inside(key, old.at, budget) else 0)
            for key, budget in found.items()
            if (limit := self.limit(budget)) is not None
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
            "held", amount, ask.expected, bound, list(found), self.now, self.now + ask.ttl, ask.model
        )
        self.calls[ask.hold_id].ask, self.calls[ask.hold_id].answer = ask, answer
        return *answer, self.now + ask.ttl

    def settle(self, posting: Posting) -> tuple[Any, ...]:
        call = self.calls.get(posting.hold_id)
        if call is None:
            if not posting.scopes:
                raise UnknownError
            found = self.found(posting.scopes)
            keys = [key for key, budget in found.items() if budget.counts(posting.model)]
            self.budgets.update({key: found[key] for key in found if key in keys or key in self.budgets})
            at = self.now if posting.at is None else posting.at
            call = self.calls[posting.hold_id] = Call("settled", 0, 0, False, keys, at, self.now)
            call.charged = posting.amount
            self.posted += [(key, posting.amount, at, posting.model) for key in keys]
            return posting.amount, 0, 0, False
        held = call.amount
        overrun = max(0, posting.amount - held) if call.ask else 0
        if call.state == "settled" and call.charged == posting.amount:
            return 0, held, overrun, True
        if call.state in ("settled", "released"):
            raise ConflictError
        posted = posting.amount - call.charged
        self.correct(call, posted, call.model if call.state == "expired" else posting.model)
        call.state, call.charged = "settled", posting.amount
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
                self.correct(call, -call.charged, call.model)
            call.state, call.charged = "released", 0
        return call.state, call.amount, call.charged

    def correct(self, call: Call, amount: int, model: str | None) -> None:
        """Post, but take back no more than what a reset has left."""
        for key in call.keys:
            self.posted.append((key, amount, call.at, model))
            if self.inside(key, call.at) and self.spent(key) < 0:
                self.posted.append((key, -self.spent(key), call.at, model))

    def renew(self, hold_ids: list[str], ttl: int) -> None:
        for hold_id in hold_ids:
            call = self.calls.get(hold_id)
            if call is not None and call.state == "held":
                call.expires = max(call.expires, self.now + ttl)

    def define(self, key: AccountKey, given: Declaration, declared: bool) -> None:
        known = self.budgets.get(key)
        if known is None or declared:
            self.budgets[key] = self.declared(key, given)
            if known is None and not declared:
                self.budgets[key].declared = {}
            return
        named = {name: getattr(given, name) for name in FIELDS if getattr(given, name) is not None}
        if given.creates:
            named["limit"] = given.limit
        known.terms = replace(known.terms, **named)
        known.created = known.created if given.created_at is None else given.created_at

    def adjust(self, key: AccountKey, amount: int | None, adjustment_id: str | None) -> None:
        if key not in self.budgets:
            raise UnknownError
        if self.adjusted_before(adjustment_id, key, amount):
            return
        costs: dict[str | None, int] = self.costs(key) or {None: 0}
        if amount is not None:
            costs = {None: -max(amount, -self.spent(key))}
        budget = self.budgets[key]
        start, _ = window_at(budget.terms, budget.created, self.now)
        at = start if amount is None or amount < 0 else self.now
        self.posted += [(key, -cost, at, model) for model, cost in costs.items()]

    def adjusted_before(self, adjustment_id: str | None, *content: Any) -> bool:
        if adjustment_id is None:
            return False
        if adjustment_id not in self.adjusted:
            self.adjusted[adjustment_id] = content
            return False
        if self.adjusted[adjustment_id] != content:
            raise ConflictError
        return True

    def extend(self, key: AccountKey, amount: int, until: int | None, adjustment_id: str | None) -> None:
        if key not in self.budgets:
            raise UnknownError
        budget = self.budgets[key]
        if budget.terms.limit is None and adjustment_id not in self.adjusted:
            raise MisuseError
        if self.adjusted_before(adjustment_id, key, amount, until):
            return
        end = window_at(budget.terms, budget.created, self.now)[1]
        budget.extras.append((amount, end if until is None else until))
        self.posted.append((key, 0, self.now, None))

    def remove(self, key: AccountKey) -> None:
        if key not in self.budgets:
            raise UnknownError
        for old in [known for known in self.budgets if known == key or (known.main == key)]:
            new = self.grave(old)
            self.budgets[new] = self.budgets.pop(old)
            self.posted = [
                (new if k == old else k, amount, at, model) for k, amount, at, model in self.posted
            ]
            self.adjusted = {
                name: (new if k == old else k, *rest) for name, (k, *rest) in self.adjusted.items()
            }
            for call in self.calls.values():
                if call.state in ("held", "expired"):
                    call.keys = [new if k == old else k for k in call.keys]

    def grave(self, key: AccountKey) -> AccountKey:
        time = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.now)).isoformat()
        label = " ".join([*key[1:2], *([key.label] if key.label else []), time.replace("+00:00", "Z")])
        numbers = ["", *[f" {number}" for number in range(2, 99)]]
        graves = [AccountKey(key.project, "deleted", key.name, label + number) for number in numbers]
        return next(grave for grave in graves if grave not in self.budgets)

"""LiteLLM's ``user_cost.json``: taken over, without doubling anything, and written for it."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from allowance.errors import ConfigurationError, HoldConflictError
from allowance.ledger.names import account_key
from allowance.ledger.records import Declaration, Posting, Scope
from allowance.manager.records import ImportReport
from allowance.manager.user_records import Taken, UnusableError, take
from allowance.money import to_usd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from allowance.calls.books import Books
    from allowance.ledger.records import AccountKey
    from allowance.stores.base import Store

__all__ = ["import_users", "read_users", "write_users"]

WORKERS: Final = 32
"""Users that are taken over at once: a store that does I/O commits together what waits together."""

TELL_EVERY: Final = 100
"""Users between two calls of ``progress``."""

_PREFIX: Final = "user_cost.json "
_REASON: Final = "from user_cost.json"


def import_users(
    books: Books, path: str | os.PathLike[str], progress: Callable[[int, int], object] | None
) -> ImportReport:
    """See `BudgetManager.import_user_cost`.

    Raises:
        ConfigurationError: the file cannot be read, or is no such file; nothing was changed.
    """
    users = read_users(path)
    problems: list[str] = []
    taken = list(_taken(books, users, problems))
    created = unchanged = posted = 0
    for number, (made, amount, told) in enumerate(_each(books, taken), 1):
        created += made
        posted += amount
        unchanged += not made and not amount
        problems += told
        if progress is not None and (number % TELL_EVERY == 0 or number == len(taken)):
            progress(number, len(taken))
    return ImportReport(str(path), len(users), created, unchanged, to_usd(posted), tuple(problems))


def write_users(path: str | os.PathLike[str], users: dict[str, dict[str, Any]]) -> None:
    """Write records as LiteLLM does; whoever reads finds the old file or the new one, whole.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    target = Path(path)
    try:
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=target.parent, prefix=f".{target.name}.", delete=False
        ) as file:
            try:
                json.dump(users, file, indent=4)
                file.flush()
                os.fsync(file.fileno())
                os.chmod(file.name, mode)
                os.replace(file.name, target)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise ConfigurationError(
            f"{target} cannot be written: {error.strerror}. Choose another path."
        ) from None


def read_users(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The records of LiteLLM's file, as they stand there, by user.

    Raises:
        ConfigurationError: the file cannot be read, or is no such file.
    """
    try:
        users = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}. LiteLLM writes it where its program was started."
        ) from None
    except (ValueError, RecursionError):
        raise ConfigurationError(
            f"{path} is damaged: it is not JSON to its end, as LiteLLM leaves it when it is stopped while it "
            "writes. Nothing was changed. Take a backup of it, or give the users their budgets anew."
        ) from None
    if not isinstance(users, dict):
        raise ConfigurationError(
            f"{path} is no user_cost.json of LiteLLM: that is an object of users, each with a total_budget. "
            "Nothing was changed."
        )
    return users


def _taken(books: Books, users: dict[str, Any], problems: list[str]) -> Iterator[Taken]:
    """What can be used of each user's record; of the others the reason goes to ``problems``."""
    seen: dict[str, str] = {}
    for name, record in users.items():
        try:
            key = account_key(books.project, "user", name)
            if key.name in seen:
                raise UnusableError(f"it is the same name as {seen[key.name]!r:.80}; not taken")
            seen[key.name] = name
            one = take(key, record)
        except (UnusableError, ConfigurationError) as error:
            problems.append(f"{name[:80]!r}: {error}")
            continue
        problems += [f"{name[:80]!r}: {problem}" for problem in one.problems]
        yield one


def _each(books: Books, users: list[Taken]) -> Iterable[tuple[bool, int, list[str]]]:
    one = partial(_take_over, books.store)
    if not books.store.blocking:
        yield from map(one, users)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(WORKERS, thread_name_prefix="allowance-import") as pool:
        left = iter(users)
        waiting = [pool.submit(one, user) for user in islice(left, 4 * WORKERS)]
        waiting.reverse()
        while waiting:
            yield waiting.pop().result()
            waiting[:0] = [pool.submit(one, user) for user in islice(left, 1)]


def _take_over(store: Store, user: Taken) -> tuple[bool, int, list[str]]:
    """Take over one user: whether the budget is new, what was posted, and what was not taken.

    A user who is here already keeps the terms that hold here. What LiteLLM's file says was spent is posted
    at the start of its window there; what was posted at that very moment before is part of it.
    """
    account = store.account(user.key)
    made = account is None
    if account is None:
        anchor = user.anchor
        terms = Declaration(user.limit, user.duration, creates=True, created_at=anchor)
        account = store.define(user.key, terms)
    at = account.created_at if user.anchor is None else user.anchor
    before = {} if made else _posted(store, user.key, at)
    posted, problems = 0, []
    for model, cost in user.costs.items():
        added = _post(store, user.key, model, cost, at, before)
        posted += max(added, 0)
        if added < 0:
            problems.append(
                f"{user.key.name[:80]!r}: the cost of {model or 'no model'} is less than what was taken over "
                "before; nothing was posted"
            )
    return made, posted, problems


def _posted(store: Store, key: AccountKey, at: int) -> dict[str, list[int]]:
    """What was posted for a user's window before, by the ids' beginnings."""
    amounts: dict[str, list[int]] = {}
    for entry in store.entries(key, since=at, until=at + 1):
        if entry.hold_id is not None and entry.hold_id.startswith(_PREFIX):
            amounts.setdefault(entry.hold_id.rpartition(" ")[0], []).append(entry.amount)
    return amounts


def _post(
    store: Store, key: AccountKey, model: str | None, cost: int, at: int, posted: dict[str, list[int]]
) -> int:
    """Post what a model has cost in all, less what was posted before; returns what was missing."""
    name = json.dumps([*key, model, at])
    prefix = _PREFIX + hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
    seen, number = -1, 0
    while True:
        before = posted.get(prefix, [])
        missing = cost - sum(before)
        if missing <= 0:
            return missing
        # An id is taken where another import was faster, or the user was removed since: then the next one.
        number = len(before) if len(before) != seen else number + 1
        seen = len(before)
        about = Posting(f"{prefix} {number}", missing, (Scope(key),), model, reason=_REASON, at=at)
        try:
            settled = store.settle(about)
        except HoldConflictError:
            settled = None
        if settled is not None and not settled.repeated:
            return settled.posted
        posted = _posted(store, key, at)

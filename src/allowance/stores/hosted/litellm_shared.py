"""The records on a server with LiteLLM's endpoints, and this process's books brought in line with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from allowance.errors import StoreCorruptError, StoreUnavailableError
from allowance.ledger.records import Account, AccountKey, Declaration
from allowance.stores.hosted.litellm_records import standing_of, written
from allowance.wire import json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from allowance.stores.hosted.deadline import Deadline
    from allowance.stores.hosted.line import Line
    from allowance.stores.hosted.litellm_records import Costs, Standing
    from allowance.stores.memory import MemoryStore
    from allowance.wire.json import Json

__all__ = ["SharedRecords", "get_budget"]

_SYNCED: Final = "as the server has it"
"""The reason of the lines that bring the books to what others have spent."""


class SharedRecords:
    """What the server was last seen to have, and what it has not heard of yet. One thread at a time.

    Args:
        line: to the server.
        books: this process's own, in which its calls are held and settled.
        seconds: for one request.
        clock: the books' own.
    """

    def __init__(self, line: Line, books: MemoryStore, seconds: float, clock: Callable[[], int]) -> None:
        self._line = line
        self._books = books
        self._seconds = seconds
        self._clock = clock
        self._records: dict[str, dict[str, Json]] = {}  # of each project, as last fetched
        self._unsent: dict[AccountKey, tuple[int, Costs]] = {}  # a window's start, and what is to be posted
        self._seen: dict[AccountKey, int] = {}  # up to which line of the books
        self._posted: dict[AccountKey, tuple[int, int, Costs]] = {}  # before, after and what, of a post
        self._early: dict[AccountKey, tuple[int, int]] = {}  # a time that is not yet, and what it is here

    def projects(self) -> list[str]:
        """Those that were asked for."""
        return sorted(self._records)

    def knows(self, key: AccountKey) -> bool:
        """Whether the server had this user when it was last asked."""
        return key.name in self._records.get(key.project, {})

    def fetch(self, keys: Iterable[AccountKey], *, everyone: bool = False) -> None:
        """Bring the books to what the server has now, for these users or for all of their projects."""
        keys = {key for key in keys if key.kind == "user" and not key.label}
        for project in sorted({key.project for key in keys}):
            self._records.setdefault(project, {})
            reply = get_budget(self._line, project, self._seconds)
            users = reply.get("data") if reply.get("status") == "success" else self._none(project, reply)
            if not isinstance(users, dict) or not all(isinstance(one, dict) for one in users.values()):
                raise StoreCorruptError(
                    f"{self._line.url} answered /get_budget for the project {project!r} with what are no "
                    "users' records. Nothing was changed."
                )
            self._records[project] = users
            everybody = {AccountKey(project, "user", name) for name in users} if everyone else set()
            for key in {key for key in keys if key.project == project and key.name} | everybody:
                self._sync(key)

    def _none(self, project: str, reply: Json) -> dict[str, Json]:
        """The records of a project that the server does not know; one whose users were seen is no such."""
        if reply.get("status") == "error" and not self._records.get(project):
            return {}
        if reply.get("status") == "error":
            told = "'error', though it had records before. If they were taken away there, begin a new process"
        else:
            told = "neither 'success' nor 'error'"
        raise StoreUnavailableError(
            f"The status of the project {project!r} at {self._line.url}/get_budget is {told}. Nothing was "
            "changed."
        )

    def _sync(self, key: AccountKey) -> None:
        """Bring one budget to what the server has of it, and keep on top what it has not heard of yet."""
        standing = self.standing(key)
        account = self._books.account(key)
        if standing is None:
            if account is not None and key in self._unsent:
                self._books.remove(key)  # the server had it, and has it no more
                self.forget(key)
            return
        self.collect(key)
        self._resolve(key, standing)
        _, change = self._unsent.get(key, (0, {}))
        if account is None or not _alike(account, standing):
            duration = standing.duration or "forever"
            terms = Declaration(standing.limit, duration, creates=True, created_at=standing.start)
            account = self._books.define(key, terms)
        differs = standing.cost + sum(change.values()) - account.spent
        if differs:
            account = self._books.adjust(key, differs, reason=_SYNCED)
        self._unsent[key] = account.window_start, change
        self.collect(key)

    def collect(self, key: AccountKey) -> Costs:
        """What this process has spent in the present window and the server has not heard of, by model."""
        account = self._books.account(key)
        if account is None:
            return {}
        start, change = self._unsent.get(key, (account.window_start, {}))
        if start != account.window_start:
            change = {}  # the window is over, and with it what the server would have had to know
        for entry in self._books.entries(key, after=self._seen.get(key, 0)):
            self._seen[key] = entry.seq
            if entry.reason != _SYNCED and entry.window_start == account.window_start:
                change[entry.model] = change.get(entry.model, 0) + entry.amount
        change = {model: amount for model, amount in change.items() if amount}
        self._unsent[key] = account.window_start, change
        return change

    def push(self, keys: Iterable[AccountKey], *, fetched: bool = True) -> None:
        """Add what the server has not heard of to its newest records, and post them; nothing if it has."""
        keys = sorted({key for key in keys if key.kind == "user" and self._is_news(key)})
        if keys and not fetched:
            self.fetch(keys)
        for project in sorted({key.project for key in keys}):
            users = dict(self._records.get(project, {}))
            for key in keys:
                account = self._books.account(key) if key.project == project else None
                if account is not None:
                    change, standing = self.collect(key), self.standing(key)
                    users[key.name] = written(users.get(key.name), account, standing, change)
                    base = 0 if standing is None else standing.cost
                    self._posted[key] = base, base + sum(change.values()), change
            self._set(project, users)
            for key in keys:
                if key.project == project and (posted := self._posted.pop(key, None)) is not None:
                    self._arrived(key, posted[2])

    def without(self, key: AccountKey) -> bool:
        """Post the records without this user; whether the server has forgotten it."""
        users = self._records[key.project]
        self._set(key.project, {name: record for name, record in users.items() if name != key.name})
        self.forget(key)
        self.fetch([key])
        return not self.knows(key)

    def _set(self, project: str, users: dict[str, Json]) -> None:
        body: Json = {"project_name": project, "user_dict": users}
        # Sent once: sent again, it would take back what others have posted meanwhile.
        reply = _post(self._line, "/set_budget", body, self._seconds, repeats=False)
        if reply.get("status") != "success":
            raise StoreUnavailableError(
                f"{self._line.url} did not take the records of the project {project!r}. They will be sent "
                "again."
            )
        self._records[project] = users

    def _resolve(self, key: AccountKey, standing: Standing) -> None:
        """Find out by what the record says now whether a post arrived whose answer did not."""
        posted = self._posted.pop(key, None)
        if posted is not None:
            base, total, change = posted
            if standing.cost == total or (standing.cost != base and standing.cost > total):
                self._arrived(key, change)

    def _arrived(self, key: AccountKey, change: Costs) -> None:
        start, unsent = self._unsent.get(key, (0, {}))
        left = {model: amount - change.get(model, 0) for model, amount in unsent.items()}
        self._unsent[key] = start, {model: amount for model, amount in left.items() if amount}

    def _is_news(self, key: AccountKey) -> bool:
        account, standing = self._books.account(key), self.standing(key)
        if account is None:
            return False
        return standing is None or not _alike(account, standing) or bool(self.collect(key))

    def standing(self, key: AccountKey) -> Standing | None:
        """What the server's record of this user says as of now."""
        record = self._records.get(key.project, {}).get(key.name)
        if record is None:
            return None
        standing = standing_of(key.name, record, self._clock())
        if standing.early is None:
            self._early.pop(key, None)
            return standing
        # Its writer's clock is ahead. The window began when it was first seen, and not each time anew.
        known = self._early.get(key)
        if known is None or known[0] != standing.early:
            known = self._early[key] = standing.early, standing.start or 0
        return standing._replace(start=known[1])

    def forget(self, key: AccountKey) -> None:
        """The user is no more."""
        self._unsent.pop(key, None)
        self._posted.pop(key, None)
        self._early.pop(key, None)


def _alike(account: Account, standing: Standing) -> bool:
    """Whether the record has the account's terms and window."""
    terms = account.terms
    same = (terms.limit, terms.duration or None) == (standing.limit, standing.duration)
    return same and standing.start in (None, account.window_start)


def get_budget(line: Line, project: str, seconds: float) -> Json:
    """What ``/get_budget`` says of a project."""
    return _post(line, "/get_budget", {"project_name": project}, seconds)


def _post(line: Line, path: str, body: Json, seconds: float, *, repeats: bool = True) -> Json:
    content = json.dumps(body)
    what = "hand out its records" if path == "/get_budget" else "take records"

    def same(_: Deadline) -> bytes:
        return content

    # Whatever content type it says: the servers of this protocol are small, and its clients never look.
    return line.post(path, same, seconds=seconds, what=what, repeats=repeats, any_type=True)

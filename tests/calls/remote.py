"""A store on another machine, as far as a journal can tell: it may be away, for every process at once."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from allowance.calls.journal.files import JournalFile, Record, read_file
from allowance.calls.journal.place import SUFFIX, directory_of
from allowance.errors import StoreUnavailableError
from allowance.stores.sqlite import SQLiteStore

URL = "https://budgets.example"


class Remote(SQLiteStore):
    """A file store of a remote one's rank and name; while the file ``PATH.away`` is there it does not answer.

    Attributes:
        asked: every verb that was asked of it here, in order, with the id.
        loses_replies: it does what it is asked, and then does not answer.
    """

    rank = 2

    def __init__(self, path: Path | str, **options: Any) -> None:
        super().__init__(path, **options)
        self.url = URL
        self.away = Path(f"{path}.away")
        self.asked: list[tuple[str, str]] = []
        self.loses_replies = False

    def go(self, away: bool) -> None:
        """Be away from now on, or back."""
        if away:
            self.away.touch()
        else:
            self.away.unlink(missing_ok=True)

    def _ask(self, verb: str, name: str, do: Any) -> Any:
        self.asked.append((verb, name))
        if self.away.exists():
            raise StoreUnavailableError(f"The server was away for {verb}.", retry_after=0.01)
        done = do()
        if self.loses_replies:
            raise StoreUnavailableError(f"The reply to {verb} was lost.", retry_after=0.01)
        return done

    def reserve(self, ask: Any) -> Any:
        return self._ask("reserve", ask.hold_id, lambda: super(Remote, self).reserve(ask))

    def settle(self, posting: Any) -> Any:
        return self._ask("settle", posting.hold_id, lambda: super(Remote, self).settle(posting))

    def hold(self, hold_id: str) -> Any:
        if self.away.exists():
            raise StoreUnavailableError("The server was away for hold.", retry_after=0.01)
        return super().hold(hold_id)

    def release(self, hold_id: str, *, reason: str = "") -> Any:
        return self._ask("release", hold_id, lambda: super(Remote, self).release(hold_id, reason=reason))


def directory() -> Path:
    """Where the journals of such stores lie."""
    return Path(directory_of(URL))


def files() -> list[Path]:
    """The journals that lie there now."""
    return sorted(directory().glob(f"*{SUFFIX}"))


def on_disk() -> list[Record]:
    """What stands in the journals and is not done, as another process would read it."""
    found = []
    for path in files():
        with suppress(FileNotFoundError), path.open("rb") as file:  # it may be done meanwhile
            found += read_file(JournalFile(str(path), file.fileno()))
    return found

"""``allowance sweep``: what a server's background job does, once, for cron."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from allowance.cli.exits import BadInput, Exit
from allowance.cli.inputs import open_store_of, store_url
from allowance.cli.key_desk import state_of
from allowance.cli.words import counted

if TYPE_CHECKING:
    import argparse

    from allowance.cli.output import Console
    from allowance.stores.base import Store

__all__ = ["ABOUT", "EXAMPLES", "add_arguments", "run"]

ABOUT: Final = """Do once what a server does every half minute: charge the holds whose calls were not heard of
until their term, fold old lines of the ledger, and send events to webhooks. Budgets need none of it to be
right, for each operation works out its window from the clock. With webhooks the store must be a server's."""
EXAMPLES: Final = """
allowance sweep
allowance sweep --retention-days 90
allowance sweep --webhook https://example.com/hook --webhook-secret-file /etc/allowance/secret
"""
_SHORTEST: Final = 8
_DAY: Final = 86_400_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is done besides, and who is told."""
    parser.add_argument(
        "--retention-days",
        metavar="DAYS",
        type=int,
        help=f"fold the lines of closed windows after so long, {_SHORTEST} at least",
    )
    parser.add_argument(
        "--webhook", metavar="URL", action="append", default=[], help="send events there; may be repeated"
    )
    parser.add_argument("--webhook-secret-file", metavar="FILE", help="what events are signed with")


def run(args: argparse.Namespace, console: Console) -> int:
    """One round."""
    days = args.retention_days
    if days is not None and not _SHORTEST <= days <= 100_000:
        raise BadInput(f"--retention-days must be {_SHORTEST} or more, not {days}.")
    store = open_store_of(args, console)
    try:
        done = _with_webhooks(args, store) if args.webhook else _alone(store, days)
    finally:
        if store is not args.store:
            store.close()
    if console.json:
        console.data(done)
    elif done is None:
        console.line("A server is doing it: it has the lease of this job.")
    else:
        told = [
            f"{counted(done['expired'], 'expired hold')} charged",
            f"{counted(done['folded'], 'line')} folded",
        ]
        if args.webhook:
            told += [f"{counted(done['events'], 'event')} found", f"{counted(done['sent'], 'letter')} sent"]
        console.line(", ".join(told), ".")
    return Exit.DONE


def _alone(store: Store, days: int | None) -> dict[str, int]:
    import time

    expired = len(store.sweep())
    folded = 0 if days is None else store.prune(time.time_ns() // 1000 - days * _DAY)
    return {"expired": expired, "folded": folded, "events": 0, "sent": 0}


def _with_webhooks(args: argparse.Namespace, store: Store) -> dict[str, int] | None:
    if store.url.startswith(("http://", "https://")):
        raise BadInput(
            "Events are found where the server's own store is: run this there, or let it send them."
        )
    named = store_url(args)
    with state_of(named if isinstance(named, str) else store.url) as state:
        from allowance.server.settings import ServerSettings
        from allowance.server.sweeps import Sweeper

        settings = ServerSettings(
            retention_days=args.retention_days,
            webhooks=tuple(args.webhook),
            webhook_secret=_secret(args.webhook_secret_file),
        )
        sweeper = Sweeper(store, state, settings)
        try:
            done = sweeper.round()
            return None if done is None else {**done._asdict(), "sent": sweeper.deliver()}
        finally:
            sweeper.stop()


def _secret(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"The file {path} with the webhooks' secret cannot be read: {error}.") from None

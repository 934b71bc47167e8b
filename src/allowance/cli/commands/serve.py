"""``allowance serve``: a server for the budgets of many machines."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from allowance.cli.exits import BadInput, Exit
from allowance.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse

    from allowance.cli.output import Console
    from allowance.server.serving import Started

__all__ = ["ABOUT", "EXAMPLES", "add_arguments", "run"]

ABOUT: Final = (
    "Serve budgets to other machines and programs, from a file or a PostgreSQL database. At the first start "
    "an admin key is printed, once. It listens on this machine alone unless --host says otherwise, which "
    "takes TLS, or a proxy that does it. Ctrl-C, or SIGTERM, lets what is under way finish."
)
EXAMPLES: Final = """
allowance serve
allowance serve --store postgresql://budgets@db/allowance --workers 4
allowance serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem
allowance serve --host 0.0.0.0 --behind-proxy
"""

DEFAULT_STORE: Final = "sqlite:///allowance.db"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to listen, and how."""
    parser.add_argument(
        "--host",
        metavar="HOST",
        default="127.0.0.1",
        help="where to listen (default: this machine alone)",
    )
    parser.add_argument(
        "--port", metavar="PORT", type=int, default=4100, help="port; 0 takes a free one (default: 4100)"
    )
    parser.add_argument(
        "--workers", metavar="N", type=int, default=1, help="processes that serve (default: 1)"
    )
    parser.add_argument("--tls-cert", metavar="FILE", help="certificate chain (PEM)")
    parser.add_argument("--tls-key", metavar="FILE", help="its private key (PEM)")
    parser.add_argument("--behind-proxy", action="store_true", help="a proxy in front of this does TLS")
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="lines of the log")
    parser.add_argument(
        "--rate", metavar="N", type=float, help="requests a second that each key may make (default: any)"
    )
    parser.add_argument("--burst", metavar="N", type=int, default=200, help="how many of them at once")
    parser.add_argument(
        "--connections",
        metavar="N",
        type=int,
        default=2_000,
        help="of each worker (default: 2000)",
    )
    parser.add_argument("--open-metrics", action="store_true", help="let /metrics be read without a key")
    parser.add_argument(
        "--sweep-seconds", metavar="S", type=float, default=30.0, help="pause of the background job; 0: none"
    )
    parser.add_argument(
        "--retention-days", metavar="DAYS", type=int, help="fold the lines of closed windows after so long"
    )
    parser.add_argument(
        "--webhook", metavar="URL", action="append", default=[], help="send events there; may be repeated"
    )
    parser.add_argument("--webhook-secret-file", metavar="FILE", help="what events are signed with")


def run(args: argparse.Namespace, console: Console) -> int:
    """Serve."""
    try:
        from allowance.server import serving
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("allowance"):
            raise
        raise ConfigurationError(
            f"A server needs packages that are not installed ({error.name}): pip install 'allowance[server]'"
        ) from None
    store = args.store or os.environ.get("ALLOWANCE_STORE") or DEFAULT_STORE
    if not isinstance(store, str):
        raise BadInput("A server opens its store itself: name it by its URL.")
    if args.rate is not None and not args.rate > 0:
        raise BadInput("--rate must be above 0; leave it out for none.")
    if not 0 <= args.port <= 65_535:
        raise BadInput("--port must be from 0 to 65535.")

    def told(started: Started) -> None:
        _tell(started, console)

    serving.serve(
        serving.Serving(
            store=store,
            host=args.host,
            port=args.port,
            workers=args.workers,
            tls_cert=args.tls_cert,
            tls_key=args.tls_key,
            behind_proxy=args.behind_proxy,
            connections=args.connections,
            log_format=args.log_format,
            webhook_secret_file=args.webhook_secret_file,
            settings=_settings(args),
        ),
        told,
    )
    return Exit.DONE


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "rate": args.rate,
        "burst": args.burst,
        "metrics_open": args.open_metrics,
        "sweep_seconds": args.sweep_seconds or None,
        "retention_days": args.retention_days,
        "webhooks": args.webhook,
    }


def _tell(started: Started, console: Console) -> None:
    """Where it is, and what to type next."""
    if console.json:
        console.data({"url": started.address, "store": started.store, "admin_key": started.admin_key})
        console.flush()
        return
    console.line("Serving at:   ", console.style(started.address, "bold"))
    console.line("Kept in:      ", started.store)
    console.line("For people:   ", started.address, "/")
    console.line("For programs: ", started.address, "/docs")
    if started.admin_key is not None:
        console.line()
        console.line("The admin key, which is shown this once:")
        console.line("  ", console.style(started.admin_key, "bold"))
    console.line()
    console.line("Make a key for a program, in another terminal:")
    console.line("  allowance keys add my-app --scope spend --store ", started.store)
    console.line("and give it to the program:")
    console.line("  export ALLOWANCE_STORE=", started.address, " ALLOWANCE_API_KEY=alw_...")
    console.line()
    console.flush()

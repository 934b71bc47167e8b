"""Where the database is: a URL that may hold a password, and one that may be shown."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from allowance.errors import ConfigurationError

__all__ = ["conninfo_of", "shown"]

_DEFAULTS: Final = {
    "connect_timeout": "3",
    "tcp_user_timeout": "5000",
    "keepalives_idle": "30",
    "application_name": "allowance",
}


def conninfo_of(url: str) -> str:
    """What libpq connects to, with short timeouts where the URL names none.

    Raises:
        ConfigurationError: it is no URL of PostgreSQL's. The message does not repeat it.
    """
    scheme, separator, _ = url.partition("://")
    try:
        given = conninfo_to_dict(url) if separator and scheme in ("postgresql", "postgres") else None
    except psycopg.Error:
        given = None
    if given is None:
        raise ConfigurationError(
            "This is no URL of a PostgreSQL database (it is not shown, for it may hold a password). Use the "
            "form postgresql://user@host:5432/database; special characters in a password are written as %40."
        )
    return make_conninfo("", **{**_DEFAULTS, **given})


def shown(conninfo: str) -> str:
    """The URL without password and options, for errors and logs."""
    given = {name: str(value) for name, value in conninfo_to_dict(conninfo).items()}
    user = f"{quote(given['user'], safe='')}@" if "user" in given else ""
    host = given.get("host", "")
    if host.startswith("/"):
        host = quote(host, safe="")
    elif ":" in host and "," not in host:
        host = f"[{host}]"
    port = f":{given['port']}" if "port" in given else ""
    return f"postgresql://{user}{host}{port}/{quote(given.get('dbname', ''), safe='')}"

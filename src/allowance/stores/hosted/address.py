"""Where a hosted store is: its URL, read and checked before anything is sent there."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from allowance.errors import ConfigurationError

__all__ = ["Address", "parse"]

_PORTS: Final = {"https": 443, "http": 80}


class Address(NamedTuple):
    """One server. ``prefix`` is the path under which it is mounted, without a slash at its end."""

    url: str
    secure: bool
    host: str
    port: int
    prefix: str

    @property
    def host_header(self) -> str:
        """The host as the server is asked for it; the port is said where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == _PORTS["https" if self.secure else "http"]
        return host if usual else f"{host}:{self.port}"


def parse(url: str, *, allow_insecure: bool = False) -> Address:
    """Read a URL like ``https://budgets.example`` or ``http://127.0.0.1:4100``.

    Raises:
        ConfigurationError: for what is no such URL; for a password, a query or a fragment in it, which
            would be written down wherever the store is named; and for ``http://`` to another machine than
            this one, unless ``allow_insecure``: the key and the names of users would travel in the open.
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"A hosted store's URL is a text, not {type(url).__name__}.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigurationError(_FORM) from None
    if parts.scheme not in _PORTS or not host or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigurationError(_FORM)
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(
            f"The URL of the store at {host} holds a user or a password, which would be written down "
            "wherever the store is named. Leave it out, and give the key as api_key=... or in "
            "ALLOWANCE_API_KEY."
        )
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise ConfigurationError(
            f"The URL of the store at {host} has a query or a fragment. Leave it out: what the server needs "
            "to know of you is the key, api_key=... or ALLOWANCE_API_KEY."
        )
    secure = parts.scheme == "https"
    if not secure and not allow_insecure and not _is_loopback(host):
        raise ConfigurationError(
            f"http://{host} would carry the key and the names of users in the open. Use https://{host}, or, "
            "in a network that you trust, allow_insecure=True."
        )
    prefix = parts.path.rstrip("/")
    address = Address("", secure, host, port or _PORTS[parts.scheme], prefix)
    return address._replace(url=f"{parts.scheme}://{address.host_header}{prefix}")


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


_FORM: Final = (
    "That is no URL of a hosted store. It looks like 'https://budgets.example' or 'http://127.0.0.1:4100', "
    "and may have a path."
)

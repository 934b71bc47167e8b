"""Tokens: ``alw_<key id>_<secret>_<crc>``. The checksum tells a typing error from a key that is not known."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import zlib
from typing import Final, NamedTuple

__all__ = ["Token", "digest", "mint_token", "parse_token"]

_FORM: Final = re.compile(r"alw_([a-z0-9]{12})_([a-z2-7]{52})_([0-9a-f]{8})", re.ASCII)


class Token(NamedTuple):
    """A token's parts. The secret is shown by no repr."""

    key_id: str
    secret: str

    def __repr__(self) -> str:
        return f"Token(key_id={self.key_id!r}, secret=...)"


def mint_token() -> tuple[Token, str]:
    """A new token of 32 random bytes, and its text, to be shown once and kept by nobody here."""
    secret = base64.b32encode(secrets.token_bytes(32)).decode().rstrip("=").lower()
    token = Token(secrets.token_hex(6), secret)
    text = f"alw_{token.key_id}_{secret}"
    return token, f"{text}_{_checksum(text)}"


def parse_token(text: str) -> Token | None:
    """The parts of a token; None where it is none, or was mistyped."""
    found = _FORM.fullmatch(text) if len(text) < 100 else None
    if found is None or _checksum(text[: found.start(3) - 1]) != found[3]:
        return None
    return Token(found[1], found[2])


def digest(secret: str) -> bytes:
    """What is kept of a secret. It has 256 random bits: no one finds it by trying, so no salt is needed."""
    return hashlib.sha256(secret.encode()).digest()


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"

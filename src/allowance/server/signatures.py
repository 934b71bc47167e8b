"""Signatures of webhooks: that a letter comes from the server, and when. For senders, and for receivers."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Final

__all__ = ["HEADER", "sign", "verify"]

HEADER: Final = "Allowance-Signature"


def sign(secret: str, body: bytes, at: int) -> str:
    """The header's value: ``t=1767225600,v1=...``, HMAC-SHA256 over the time, a dot and the body."""
    mac = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256)
    return f"t={at},v1={mac.hexdigest()}"


def verify(
    secret: str, body: bytes, header: str, *, tolerance: float = 300, now: float | None = None
) -> bool:
    """Whether a body came from the server, at most ``tolerance`` seconds ago: for who receives webhooks."""
    parts = dict(part.split("=", 1) for part in header.split(",") if "=" in part)
    if not (parts.get("t", "").isdecimal() and len(parts["t"]) < 15):
        return False
    at = int(parts["t"])
    fresh = abs((time.time() if now is None else now) - at) <= tolerance
    return fresh and hmac.compare_digest(sign(secret, body, at).encode(), header.encode())

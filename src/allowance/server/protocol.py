"""HTTP at the socket: how large a request's head may be, and how long it may take to come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

__all__ = ["MAX_HEAD", "PATIENCE", "BoundedProtocol"]

MAX_HEAD: Final = 16 * 1024
"""Bytes of a request's line and headers."""

PATIENCE: Final = 5.0
"""Seconds from the first byte of a request (or from the connection) to the end of its headers."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, for clients that may be slow, or mean to be."""

    _head = 0
    _within_head = True
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """A client came: it has to say something."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(PATIENCE, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client went."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some bytes came; those of a head are counted."""
        if self._within_head:
            if self._timer is None:  # the first bytes of a further request on this connection
                self._timer = self.loop.call_later(PATIENCE, self._too_slow)
            self._head += len(data)
            if self._head > MAX_HEAD:
                self._check_head(data)
                return
        super().data_received(data)

    def _check_head(self, data: bytes) -> None:
        """More came at once than a head may be: what is left of it may be a body."""
        room = MAX_HEAD - (self._head - len(data))
        super().data_received(data[:room])
        if self.transport.is_closing():
            return
        if self._within_head:
            self._refuse(b"431 Request Header Fields Too Large")
        else:
            super().data_received(data[room:])

    def on_headers_complete(self) -> None:
        """A head is whole."""
        self._within_head = False
        self._stop()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request is whole: what comes next is the head of another."""
        self._within_head, self._head = True, 0
        super().on_message_complete()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self._refuse(b"408 Request Timeout")

    def _refuse(self, status: bytes) -> None:
        self.transport.write(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        self.transport.close()

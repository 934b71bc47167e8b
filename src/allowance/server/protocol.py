"""HTTP at the socket: how large a request's head may be, and how long it may take to come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

__all__ = ["BODY_PATIENCE", "HEAD_PATIENCE", "MAX_HEAD", "BoundedProtocol"]

MAX_HEAD: Final = 16 * 1024
"""Bytes of a request's line and headers."""

HEAD_PATIENCE: Final = 5.0
"""Seconds from the connection, or from the first byte of a request, to the end of its headers."""

BODY_PATIENCE: Final = 10.0
"""Seconds from there to the end of its body."""


MAX_WRAPPING: Final = 8
"""Bytes of chunks' sizes, extensions and trailers that come with each byte of a body, beyond `MAX_HEAD`."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, for clients that may be slow, or mean to be."""

    _head = 0  # bytes of it so far
    _body = 0  # bytes of the body so far
    _wrapping = 0  # bytes that came after the head, and are no body
    _within = "head"  # or "body"
    _begun = False  # whether a part of a request has come, and not all
    _timer: asyncio.TimerHandle | None = None
    _timed = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """A client came: it has to say something."""
        super().connection_made(transport)
        self._begun = True
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client went."""
        self._begun = False
        self._watch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some bytes came. A request that comes whole, as nearly all do, needs no timer."""
        self._begun = True
        room = MAX_HEAD - self._head
        if self._within == "head":
            self._head += len(data)
        if self._within == "head" and len(data) > room:
            super().data_received(data[:room])  # what is left of it may be a body
            if self._within == "head":
                self._refuse(b"431 Request Header Fields Too Large")
            elif not self.transport.is_closing():
                self._receive_body(data[room:])
        elif self._within == "body":
            self._receive_body(data)
        else:
            super().data_received(data)
        self._watch()

    def _receive_body(self, data: bytes) -> None:
        request, before = self.cycle, self._body
        super().data_received(data)
        if self._within == "body" and self.cycle is request:
            self._wrapping += len(data) - (self._body - before)
            if self._wrapping > MAX_HEAD + MAX_WRAPPING * self._body:
                self._refuse(b"413 Content Too Large")

    def on_body(self, body: bytes) -> None:
        """A part of a body."""
        self._body += len(body)
        super().on_body(body)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header. One that comes behind the body is dropped: nothing reads it."""
        if self._within == "head":
            super().on_header(name, value)

    def on_message_begin(self) -> None:
        """A request begins, be it behind another in the same bytes."""
        self._begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head is whole."""
        self._within, self._body, self._wrapping = "body", 0, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request is whole: what comes next is the head of another."""
        self._within, self._head, self._begun = "head", 0, False
        super().on_message_complete()

    def _watch(self) -> None:
        """Have a timer run as long as something is missing, and one for each part of a request."""
        wanted = self._within if self._begun else ""
        if wanted == self._timed:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timed = wanted
        if wanted:
            patience = HEAD_PATIENCE if wanted == "head" else BODY_PATIENCE
            self._timer = self.loop.call_later(patience, self._too_slow)

    def _too_slow(self) -> None:
        self._refuse(b"408 Request Timeout")

    def _refuse(self, status: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            )
            self.transport.close()

"""One connection to the server: made, used for one exchange after the other, and let go."""

from __future__ import annotations

import contextlib
import io
import select
import socket
import threading
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from allowance.stores.hosted.address import Address
    from allowance.stores.hosted.deadline import Deadline

__all__ = ["Link", "LinkError", "Reply"]

MAX_REPLY: Final = 16 * 1024 * 1024
"""Bytes that an answer may have."""

_MAX_READ: Final = 2 * MAX_REPLY
"""Bytes that are read for it, heads and the marks between chunks included."""

_SILENT: Final = "it closed the connection without an answer"


class LinkError(Exception):
    """No whole answer came; the text says why.

    ``sent`` says that the request may have reached the server, ``stale`` that nothing of an answer came
    over a connection that had been used before: the server had likely closed it. ``hopeless`` says that
    another try would end the same way, ``silent`` that it hung up in place of an answer, ``crowded`` that
    this process had no connection to spare, which says nothing about the server.
    """

    def __init__(
        self,
        reason: str,
        *,
        sent: bool,
        stale: bool = False,
        hopeless: bool = False,
        crowded: bool = False,
    ) -> None:
        self.crowded = crowded
        self.silent = reason == _SILENT
        super().__init__(reason)
        self.sent = sent
        self.stale = stale
        self.hopeless = hopeless


class Reply(NamedTuple):
    """An answer, whole."""

    status: int
    content_type: str
    body: bytes
    location: str
    retry_after: str


class Link:
    """A connection that is open. Used by one thread at a time.

    Raises:
        LinkError: it could not be made before the deadline.
    """

    def __init__(self, address: Address, deadline: Deadline) -> None:
        self._socket: socket.socket | None = None
        self._used = False
        try:
            self._socket = _connected(address, deadline)
        except TimeoutError:
            raise LinkError("no connection was made in that time", sent=False) from None
        except OSError as error:
            raise LinkError(_said(error), sent=False, hopeless=_is_distrust(error)) from None

    def exchange(self, request: bytes, deadline: Deadline) -> Reply:
        """Send a request and read its answer. After an error, or where `reusable` is False, close it.

        Raises:
            LinkError: as it says.
        """
        from http.client import HTTPException, HTTPResponse, IncompleteRead, RemoteDisconnected

        connection, used, self._used = self._socket, self._used, True
        if connection is None:
            raise LinkError("the connection was closed", sent=False, stale=True)
        reader = _Reader(connection, deadline)
        response = HTTPResponse(_Source(reader), method="POST")  # type: ignore[arg-type]  # all it needs
        try:
            connection.settimeout(deadline.wait())
            connection.sendall(request)
            response.begin()
            while 101 < response.status < 200:  # not the answer yet, which http.client knows of 100 alone
                response.headers = response.msg = None  # type: ignore[assignment]
                response.begin()
            if reader.ended:  # in the midst of its head, which http.client takes for the head's end
                raise LinkError(_said(IncompleteRead(b"")), sent=True)
            body = _body(response)
        except TimeoutError:
            raise LinkError("no whole answer came in that time", sent=True) from None
        except (HTTPException, OSError, ValueError) as error:
            stale = used and not reader.read_any and isinstance(error, (RemoteDisconnected, OSError))
            raise LinkError(_said(error), sent=True, stale=stale) from None
        finally:
            response.close()
        if response.will_close or reader.ended:
            self.close()
        header: Callable[[str, str], str] = response.headers.get
        return Reply(
            response.status,
            header("Content-Type", "").partition(";")[0].strip().lower(),
            body,
            header("Location", ""),
            header("Retry-After", ""),
        )

    @property
    def reusable(self) -> bool:
        """Whether another exchange can be made over it."""
        return self._socket is not None

    def is_quiet(self) -> bool:
        """Whether nothing has come since the last answer; else it was the server's goodbye, or nonsense."""
        if self._socket is None:
            return False
        try:
            if hasattr(select, "poll"):
                poll = select.poll()
                poll.register(self._socket, select.POLLIN)
                return not poll.poll(0)
            return not select.select([self._socket], [], [], 0)[0]
        except (OSError, ValueError):
            return False

    def close(self) -> None:
        """Close the socket, without a goodbye of TLS's: a parent may go on with it."""
        connection, self._socket = self._socket, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()

    def __del__(self) -> None:
        self.close()


class _Reader(io.RawIOBase):
    """Reads from a socket, each time for no longer than is left until the deadline."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection = connection
        self._deadline = deadline
        self._left = _MAX_READ
        self.read_any = False
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        self._connection.settimeout(self._deadline.wait())
        count = self._connection.recv_into(buffer)
        self._left -= count
        if self._left < 0:
            raise ValueError(f"its answer has more than the {MAX_REPLY} bytes that are taken")
        self.read_any = self.read_any or count > 0
        self.ended = count == 0
        return count


class _Source:
    """What `http.client.HTTPResponse` takes for a socket."""

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._reader)


def _body(response: Any) -> bytes:
    """The whole body, of a size that can be.

    Raises:
        ValueError: it is too long.
        HTTPException: it was cut.
    """
    if response.length is not None:
        if response.length > MAX_REPLY:
            raise ValueError(f"its answer has {response.length} bytes, and {MAX_REPLY} are taken")
        whole: bytes = response.read()
        return whole
    body: bytes = response.read(MAX_REPLY + 1)
    if len(body) > MAX_REPLY:
        raise ValueError(f"its answer has more than the {MAX_REPLY} bytes that are taken")
    return body


# -- connecting --------------------------------------------------------------------------------------


def _connected(address: Address, deadline: Deadline) -> socket.socket:
    infos = _resolved(address, deadline)
    for position, (family, kind, protocol, _, place) in enumerate(infos):
        connection = socket.socket(family, kind, protocol)
        try:
            # An address that swallows everything must leave some time for the next one.
            connection.settimeout(deadline.wait() / (len(infos) - position))
            connection.connect(place)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if address.secure:
                context = _trusting()
                connection.settimeout(deadline.wait())
                return context.wrap_socket(connection, server_hostname=address.host)
        except OSError as error:
            connection.close()
            if position == len(infos) - 1 or _is_distrust(error):
                raise
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise OSError("the host has no address")


def _resolved(address: Address, deadline: Deadline) -> Sequence[tuple[Any, ...]]:
    """The host's addresses. A name is looked up in a thread: the system's resolver knows no deadline."""
    host, port = address.host, address.port
    try:
        ip_address(host)
    except ValueError:
        pass
    else:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    found: list[Sequence[tuple[Any, ...]] | OSError] = []
    done = threading.Event()

    def look_up() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            found.append(error)
        finally:
            done.set()

    try:
        threading.Thread(target=look_up, name="allowance-resolver", daemon=True).start()
    except RuntimeError:  # the interpreter is on its way out and starts none
        look_up()
    done.wait(deadline.wait())
    if not found:
        raise TimeoutError("timed out")
    if isinstance(found[0], OSError):
        raise found[0]
    return found[0]


_context: ssl.SSLContext | None = None
_context_lock = threading.Lock()


def _trusting() -> ssl.SSLContext:
    """TLS as the system trusts it (or ``SSL_CERT_FILE``), loaded once: that takes some 30 milliseconds."""
    global _context
    if _context is None:
        import ssl

        with _context_lock:
            if _context is None:
                _context = ssl.create_default_context()
    return _context


def _is_distrust(error: BaseException) -> bool:
    return type(error).__name__ == "SSLCertVerificationError"


def _said(error: BaseException) -> str:
    """What went wrong, in words. Nothing of an answer's body or of a request is in these errors' texts."""
    if _is_distrust(error):
        return f"its certificate is not trusted ({getattr(error, 'verify_message', '')})"
    name = type(error).__name__
    words = {
        "RemoteDisconnected": _SILENT,
        "IncompleteRead": "its answer was cut",
        "BadStatusLine": "it does not speak HTTP",
        "ConnectionRefusedError": "the connection was refused",
        "gaierror": "its name is not known",
    }
    if name in words:
        return words[name]
    return str(error.strerror or name) if isinstance(error, OSError) else str(error)[:200] or name

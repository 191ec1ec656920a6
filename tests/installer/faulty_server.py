# SPDX-License-Identifier: GPL-3.0-or-later
"""A file server on this machine that does what real ones do at their worst, in the order in which it is told to."""

import http.server
import threading
import time
from collections.abc import Callable

#: What a behaviour gets: the request's handler, and the file's bytes.
Behaviour = Callable[["Handler", bytes], None]


class Server:
    """Serves `files` (path -> bytes). `plan[path]` holds behaviours, used up one per request; then it is a good server.

    requests : (path, headers) of every request that came, in order.
    """

    def __init__(self, **headers: str) -> None:
        self.files: dict[str, bytes] = {}
        self.plan: dict[str, list[Behaviour]] = {}
        self.always: dict[str, Behaviour] = {}
        self.headers = headers
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.gone = threading.Event()
        owner = self

        class Bound(Handler):
            server_owner = owner

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def put(self, path: str, content: bytes, *plan: Behaviour, always: Behaviour | None = None) -> str:
        """Serve a file; returns its address."""
        self.files[path], self.plan[path] = content, list(plan)
        if always is not None:
            self.always[path] = always
        return self.url + path

    def ranges(self) -> list[str]:
        """The Range headers of the requests that came, "" where there was none."""
        return [headers.get("range", "") for _, headers in self.requests]

    def close(self) -> None:
        self.gone.set()
        self._http.shutdown()
        self._http.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_owner: Server
    date = ""

    def do_GET(self) -> None:
        owner = self.server_owner
        path = self.path.partition("?")[0]
        owner.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        content, plan = owner.files.get(path), owner.plan.get(path)
        behaviour = plan.pop(0) if plan else owner.always.get(path, good)
        try:
            if content is None:
                status(404)(self, b"")
            else:
                behaviour(self, content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def start(self, code: int, length: int | None, **headers: str) -> None:
        """Status line and headers; `length` None leaves it out and closes the connection at the end."""
        self.date = headers.pop("Date", "")
        self.send_response(code)
        for name, value in {**self.server_owner.headers, **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        if length is None:
            self.close_connection = True
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def wanted(self, content: bytes) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of a good answer to this request's Range and If-Range."""
        etag = self.server_owner.headers.get("ETag", "")
        first = self.headers.get("Range", "").removeprefix("bytes=").partition("-")[0]
        if not first or self.headers.get("If-Range", etag) != etag:
            return 200, content, {}
        if int(first) >= len(content):
            return 416, b"", {"Content_Range": f"bytes */{len(content)}"}
        span = f"bytes {first}-{len(content) - 1}/{len(content)}"
        return 206, content[int(first) :], {"Content_Range": span}

    def date_time_string(self, timestamp: float | None = None) -> str:
        return self.date or super().date_time_string(timestamp)

    def log_message(self, *_arguments: object) -> None:
        pass


def good(handler: Handler, content: bytes) -> None:
    code, body, headers = handler.wanted(content)
    handler.start(code, len(body), **headers)
    handler.wfile.write(body)


def breaks_off(after: int) -> Behaviour:
    """Closes the connection after so many bytes of the body."""

    def behave(handler: Handler, content: bytes) -> None:
        code, body, headers = handler.wanted(content)
        handler.start(code, len(body), **headers)
        handler.wfile.write(body[:after])
        handler.close_connection = True

    return behave


def stalls(after: int) -> Behaviour:
    """Sends so many bytes, then nothing, with the connection open."""

    def behave(handler: Handler, content: bytes) -> None:
        code, body, headers = handler.wanted(content)
        handler.start(code, len(body), **headers)
        handler.wfile.write(body[:after])
        handler.wfile.flush()
        handler.server_owner.gone.wait(20)
        handler.close_connection = True

    return behave


def trickles(rate: float, piece: int = 1) -> Behaviour:
    """Sends so many pieces a second, of so many bytes each."""

    def behave(handler: Handler, content: bytes) -> None:
        code, body, headers = handler.wanted(content)
        handler.start(code, len(body), **headers)
        for place in range(0, len(body), piece):
            handler.wfile.write(body[place : place + piece])
            time.sleep(1 / rate)
            if handler.server_owner.gone.is_set():
                break

    return behave


def ignores_range(handler: Handler, content: bytes) -> None:
    handler.start(200, len(content))
    handler.wfile.write(content)


def ignores_range_and_breaks_off(after: int) -> Behaviour:
    def behave(handler: Handler, content: bytes) -> None:
        handler.start(200, len(content))
        handler.wfile.write(content[:after])
        handler.close_connection = True

    return behave


def says_length(length: int) -> Behaviour:
    """Claims another length than it sends; the connection ends with the file."""

    def behave(handler: Handler, content: bytes) -> None:
        handler.start(200, length)
        handler.wfile.write(content[:length])
        handler.close_connection = True

    return behave


def says_no_length(handler: Handler, content: bytes) -> None:
    handler.start(200, None)
    handler.wfile.write(content)


def in_chunks(handler: Handler, content: bytes, whole: bool = True) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for start in range(0, len(content), 10_000):
        piece = content[start : start + 10_000]
        handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
    if whole:
        handler.wfile.write(b"0\r\n\r\n")
    handler.close_connection = True


def other_bytes(handler: Handler, content: bytes) -> None:
    """A file of the same length with other bytes."""
    good(handler, bytes(255 - byte for byte in content[:1000]) + content[1000:])


def another_part(handler: Handler, content: bytes) -> None:
    """206 for a range that was not asked for."""
    handler.start(206, len(content) - 7, Content_Range=f"bytes 7-{len(content) - 1}/{len(content)}")
    handler.wfile.write(content[7:])


def more_than_announced(handler: Handler, content: bytes) -> None:
    """More bytes than its Content-Range says."""
    code, body, headers = handler.wanted(content)
    handler.start(code, len(body) + 500, **headers)
    handler.wfile.write(body + content[:500])


def unasked_range(handler: Handler, content: bytes) -> None:
    """206 for the whole file, that nobody asked for a part of."""
    handler.start(206, len(content), Content_Range=f"bytes 0-{len(content) - 1}/{len(content)}")
    handler.wfile.write(content)


def raw(text: str) -> Behaviour:
    """Sends these lines, and closes the connection."""

    def behave(handler: Handler, _content: bytes) -> None:
        handler.wfile.write(text.replace("\n", "\r\n").encode("latin1"))
        handler.close_connection = True

    return behave


def page(handler: Handler, _content: bytes, kind: str = "text/html; charset=utf-8") -> None:
    """The login page of a gate or a hotel, with 200."""
    body = b"<!DOCTYPE html><html><body>Please sign in</body></html>" * 30
    handler.start(200, len(body), Content_Type=kind)
    handler.wfile.write(body)


def status(code: int, **headers: str) -> Behaviour:
    def behave(handler: Handler, _content: bytes) -> None:
        body = b'{"error": "no"}'
        handler.start(code, len(body), **headers)
        handler.wfile.write(body)

    return behave


def redirects(location: str, code: int = 302, **headers: str) -> Behaviour:
    def behave(handler: Handler, _content: bytes) -> None:
        handler.start(code, 0, Location=location, **headers)

    return behave


def drops(handler: Handler, _content: bytes) -> None:
    """Closes the connection without a word."""
    handler.close_connection = True

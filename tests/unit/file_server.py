"""A web server on this machine with the habits, good and bad, of those that published files lie on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Habits:
    """content: of the file. breaks: bytes after which the connection ends, one entry a request. errors: HTTP codes
    that the first requests get. etag: None for none. ranges: whether parts are sent, and earlier: how many bytes before
    what was asked for. cookie: whether the file needs one, that /page hands out. redirect: where the file is instead.
    no_length: the size is not told. seen: (path, Range, Cookie) of the requests."""

    content: bytes
    breaks: list[int] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)
    etag: str | None = '"one"'
    ranges: bool = True
    earlier: int = 0
    cookie: bool = False
    kind: str = "application/octet-stream"
    redirect: str = ""
    no_length: bool = False
    seen: list[tuple[str, str | None, str | None]] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    habits: Habits

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        habits = self.habits
        habits.seen.append((self.path, self.headers["Range"], self.headers["Cookie"]))
        if self.path == "/page":
            self.send_response(200)
            self.send_header("Set-Cookie", "guest=yes")
            self.end_headers()
            return
        if habits.errors:
            self.send_error(habits.errors.pop(0))
            return
        if habits.redirect:
            self.send_response(302)
            self.send_header("Location", habits.redirect)
            self.end_headers()
            return
        if habits.cookie and "guest=yes" not in (self.headers["Cookie"] or ""):
            self._send(200, b"<!DOCTYPE html><html>Sign in</html>", "text/html; charset=utf-8")
            return
        start = int((self.headers["Range"] or "bytes=0-")[6:-1])
        # Without a strong tag to compare, a careless server sends the part that it was asked for.
        same = habits.etag is None or habits.etag.startswith("W/") or self.headers["If-Range"] == habits.etag
        if start >= len(habits.content) and same:
            self.send_error(416)
        elif start and habits.ranges and same:
            start -= habits.earlier
            self._send(206, habits.content[start:], habits.kind, f"bytes {start}-/{len(habits.content)}")
        else:
            self._send(200, habits.content, habits.kind)

    def _send(self, status: int, body: bytes, kind: str, content_range: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if not self.habits.no_length:
            self.send_header("Content-Length", str(len(body)))
        if content_range:
            self.send_header("Content-Range", content_range)
        if self.habits.etag:
            self.send_header("ETag", self.habits.etag)
        self.end_headers()
        self.wfile.write(body[: self.habits.breaks.pop(0)] if self.habits.breaks else body)


@contextmanager
def serving(habits: Habits) -> Iterator[str]:
    """Serve, and yield the address of the server."""
    handler = type("Handler", (_Handler,), {"habits": habits})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

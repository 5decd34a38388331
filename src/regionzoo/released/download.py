"""One file over HTTP: goes on where it stopped, tries again, and tells a login page from a file."""

from __future__ import annotations

import contextlib
import http.client
import time
import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from regionzoo.artifacts import CHUNK, read_json, write_json
from regionzoo.errors import UserError
from regionzoo.progress import Meter
from regionzoo.released.opcodes import is_web_page
from regionzoo.released.wording import readable

TIMEOUT = 60.0
"""Seconds without a byte after which a connection counts as broken."""
LARGEST = 16 << 30
"""Bytes that no published file reaches; a server that sends more is cut off."""
_AGENT = "Mozilla/5.0 (compatible; regionzoo)"
_GONE = {401: "it asks for a login", 403: "access is refused", 404: "there is no such file", 410: "it was withdrawn"}


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from an encrypted address to a plain one."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            raise urllib.error.URLError("redirected from https to an address without encryption")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def direct(address: str) -> str:
    """The address of the file itself: SharePoint shows a page about a shared file unless asked to send it."""
    parts = urlsplit(address)
    shared = (parts.hostname or "").endswith(".sharepoint.com") and parts.path.startswith("/:u:/")
    if not shared or "download" in parse_qs(parts.query):
        return address
    return f"{address}{'&' if parts.query else '?'}download=1"


class _TryAgain(Exception):
    """The connection or the server failed in a way that may pass."""


def download(
    address: str, part: Path, page: str = "", size: int | None = None, tries: int = 5, pause: float = 2.0
) -> None:
    """Fetch ``address`` into ``part``, going on with what an earlier call for the same file left there.

    page: opened first, for its cookie, where it is of the same server. size: bytes, if known. pause: seconds before
    the second try, doubled for each further one. :class:`UserError` of one line, without the address, if the server
    sends a web page, refuses, sends another number of bytes, or fails ``tries`` times.
    """
    if urlsplit(address).scheme not in ("http", "https"):
        raise UserError("only http, https and file addresses are fetched")
    opener = _opener()
    reason = ""
    for attempt in range(tries):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            if page and page != address and urlsplit(page).netloc == urlsplit(address).netloc:
                opener.open(_request(page), timeout=TIMEOUT).close()
            _attempt(opener, direct(address), part, size)
            return
        except _TryAgain as error:
            reason = str(error)
        except urllib.error.HTTPError as error:
            reason = f"HTTP {error.code}: {_GONE.get(error.code, readable(error.reason))}"
            error.close()
            if error.code < 500 and error.code not in (408, 416, 425, 429):
                raise UserError(reason) from None
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = readable(getattr(error, "reason", None) or error or type(error).__name__)
    raise UserError(f"failed {tries} times, at last with: {reason}")


def _opener() -> urllib.request.OpenerDirector:
    """Opens http and https alone: neither files nor ftp, whatever a redirect says."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPCookieProcessor(CookieJar()),
    ):
        opener.add_handler(handler)
    return opener


def _request(address: str, headers: dict[str, str] | None = None) -> urllib.request.Request:
    return urllib.request.Request(address, headers={"User-Agent": _AGENT} | (headers or {}))


def _attempt(opener: urllib.request.OpenerDirector, address: str, part: Path, size: int | None) -> None:
    note = part.with_name(f"{part.name}.json")
    have, validator = _left(address, part, note)
    headers = {"Range": f"bytes={have}-", "If-Range": validator} if have else {}
    try:
        response = opener.open(_request(address, headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing left to send, or another file by now
            part.unlink(missing_ok=True)
        raise
    with response:
        if "html" in response.headers.get("Content-Type", ""):
            raise UserError("the server sent a web page, not the file: the link wants a login, or has expired")
        if response.status != 206:
            have = 0  # the whole file
        elif _begins_at(response.headers.get("Content-Range", "")) != have:
            part.unlink(missing_ok=True)
            raise _TryAgain("the server sent another part than the one that was asked for")
        length = response.headers.get("Content-Length", "")
        total = have + int(length) if length.isdigit() else None
        if total is not None and size is not None and total != size:
            raise UserError(f"the server has {total} bytes, expected {size}")
        # A weak validator does not promise the same bytes.
        tag = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        write_json(note, {"address": address, "validator": "" if tag.startswith("W/") else tag})
        try:
            _receive(response, part, have, total, size)
        except UserError:
            part.unlink()
            note.unlink()
            raise
    note.unlink(missing_ok=True)


def _left(address: str, part: Path, note: Path) -> tuple[int, str]:
    """Bytes that an earlier try left, and what the server called that version of the file; 0 if they cannot be used."""
    with contextlib.suppress(UserError, OSError, KeyError, TypeError):
        told = read_json(note)
        if told["address"] == address and told["validator"]:
            return part.stat().st_size, str(told["validator"])
    return 0, ""


def _begins_at(content_range: str) -> int | None:
    first = content_range.removeprefix("bytes ").split("-")[0]
    return int(first) if first.isdigit() else None


def _receive(response: http.client.HTTPResponse, part: Path, have: int, total: int | None, size: int | None) -> None:
    most = size or total or LARGEST
    title = part.name.removeprefix(".").removesuffix(".part")
    meter = Meter(f"download {title}", max(1, (total or 0) >> 20), quiet=total is None)
    with meter, part.open("r+b" if have else "wb") as file:
        meter.begin_at(have >> 20)
        file.truncate(have)
        file.seek(have)
        while True:
            try:
                chunk = response.read(CHUNK)
            except (http.client.IncompleteRead, OSError) as error:
                if isinstance(error, http.client.IncompleteRead):
                    file.write(error.partial)
                raise _TryAgain("the connection broke") from None
            if not chunk:
                break
            if not have and is_web_page(chunk[:512]):
                raise UserError("the server sent a web page, not the file: the link wants a login, or has expired")
            file.write(chunk)
            have += len(chunk)
            if have > min(most, LARGEST):
                raise UserError(f"the server sends more than {min(most, LARGEST)} bytes")
            meter.update(have >> 20, "MB")
    if total is not None and have < total:
        raise _TryAgain(f"the connection ended after {have} of {total} bytes")

"""Published files: fetched whole, from whichever address has them, the same ones each time."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from file_server import Habits, serving

from regionzoo.artifacts import sha256_bytes
from regionzoo.errors import UserError
from regionzoo.released.download import direct
from regionzoo.released.fetch import Fetched, fetch
from regionzoo.released.lock import Locked, read_lock, record
from regionzoo.released.manifest import Artifact

CONTENT = np.random.default_rng(0).bytes(300_000)
DIGEST = sha256_bytes(CONTENT)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def an_artifact(primary: str = "", mirror: str = "", **changes: object) -> Artifact:
    entry = Artifact("row", "checkpoint", ("row",), "row.pth", primary, mirror, "", "", None, "free")
    return replace(entry, **changes)


class Place:
    """A repository with a folder for files and a lock file."""

    def __init__(self, root: Path) -> None:
        self.folder, self.lock = root / "data" / "released", root / "data" / "released.lock.csv"
        self.file = self.folder / "row.pth"

    def fetch(self, entry: Artifact, source: str | Path | None = None, tries: int = 3) -> Fetched:
        return fetch(entry, self.folder, self.lock, source, tries, pause=0.0)

    def refused(self, entry: Artifact, reason: str, **options: object) -> str:
        kept = self.file.read_bytes() if self.file.exists() else None
        with pytest.raises(UserError, match=reason) as caught:
            self.fetch(entry, **options)
        assert "\n" not in str(caught.value)
        assert (self.file.read_bytes() if self.file.exists() else None) == kept
        return str(caught.value)

    def left_over(self) -> list[str]:
        """What lies beside the file, but for the guards of running processes."""
        return sorted(path.name for path in self.folder.iterdir() if not path.name.endswith(".guard"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_first_download_is_taken_down(place: Place) -> None:
    habits = Habits(CONTENT)
    with serving(habits) as server:
        entry = an_artifact(f"{server}/file")
        got = place.fetch(entry)
        assert got == Fetched(place.file, DIGEST, len(CONTENT), f"{server}/file", first=True)
        assert place.file.read_bytes() == CONTENT and place.left_over() == ["row.pth"]
        assert read_lock(place.lock) == {"row": Locked("row", DIGEST, len(CONTENT), f"{server}/file")}
        assert not place.fetch(entry).first
        assert len(habits.seen) == 1  # it is there


def test_another_file_under_the_same_address_is_refused(place: Place) -> None:
    habits = Habits(CONTENT)
    with serving(habits) as server:
        entry = an_artifact(f"{server}/file")
        place.fetch(entry)
        place.file.unlink()
        habits.content = CONTENT[::-1]
        message = place.refused(entry, r"sha256 is \w{12}\.\.\., expected " + DIGEST[:12])
        assert "if its authors have replaced it, delete its line there" in message and place.left_over() == []
        habits.content = CONTENT
        assert place.fetch(entry).sha256 == DIGEST


def test_the_manifest_holds_if_it_knows(place: Place) -> None:
    with serving(Habits(CONTENT)) as server:
        place.refused(an_artifact(f"{server}/file", sha256="0" * 64), "expected 000000000000... by the manifest")
        place.refused(an_artifact(f"{server}/file", size=7), f"the server has {len(CONTENT)} bytes, expected 7")
        got = place.fetch(an_artifact(f"{server}/file", sha256=DIGEST, size=len(CONTENT)))
        assert not got.first and not place.lock.exists()
    record(place.lock, Locked("row", "1" * 64, 3, ""), place.folder / ".guard")
    place.refused(an_artifact("", sha256=DIGEST), "has another sha256 there than in the manifest")


def test_the_mirror_stands_in(place: Place) -> None:
    with serving(Habits(b"", errors=[404])) as gone, serving(Habits(CONTENT)) as mirror:
        got = place.fetch(an_artifact(f"{gone}/file", f"{mirror}/file"))
        assert got.address == f"{mirror}/file"


def test_all_reasons_are_told(place: Place) -> None:
    page = Habits(b"\n<!doctype HTML><html>Sign in to your account</html>")
    html = Habits(b"anything", kind="text/html; charset=utf-8")
    for habits in (page, html):
        with serving(Habits(b"", errors=[403] * 3)) as shut, serving(habits) as login:
            entry = an_artifact(f"{shut}/a", f"{login}/b", page="https://example.org/zoo")
            message = place.refused(entry, "row: not fetched; ")
        assert "/a: HTTP 403: access is refused; " in message
        assert "/b: the server sent a web page, not the file: the link wants a login, or has expired" in message
        assert f"or save https://example.org/zoo with a browser as {place.file}; or bring a copy: " in message
    assert not place.lock.exists()
    place.refused(
        an_artifact(page="https://example.org"), "no address of the file is known; or save https://example.org"
    )


def test_a_broken_connection_goes_on_where_it_stopped(place: Place) -> None:
    habits = Habits(CONTENT, breaks=[100_000, 50_000])
    with serving(habits) as server:
        assert place.fetch(an_artifact(f"{server}/file")).sha256 == DIGEST
    assert [entry[1] for entry in habits.seen] == [None, "bytes=100000-", "bytes=150000-"]


def test_a_killed_download_goes_on_in_the_next_call(place: Place) -> None:
    habits = Habits(CONTENT, breaks=[70_000])
    with serving(habits) as server:
        entry = an_artifact(f"{server}/file")
        place.refused(entry, "failed 1 times, at last with: the connection ended after 70000 of 300000 bytes", tries=1)
        assert place.left_over() == [".row.pth.part", ".row.pth.part.json"]
        assert place.fetch(entry).sha256 == DIGEST
    assert [entry[1] for entry in habits.seen] == [None, "bytes=70000-"]
    assert place.left_over() == ["row.pth"]


@pytest.mark.parametrize(
    "change", ["another version", "no ranges", "no tag", "a weak tag", "damaged note", "an earlier part"]
)
def test_parts_of_two_versions_are_never_joined(place: Place, change: str) -> None:
    habits = Habits(
        bytes(300_000), breaks=[70_000], etag={"no tag": None, "a weak tag": 'W/"one"'}.get(change, '"one"')
    )
    with serving(habits) as server:
        entry = an_artifact(f"{server}/file")
        place.refused(entry, "the connection ended", tries=1)
        habits.content = CONTENT
        if change == "another version":
            habits.etag = '"two"'
        elif change == "an earlier part":
            habits.earlier = 10
        elif change == "damaged note":
            (place.folder / ".row.pth.part.json").write_text("{")
        habits.ranges = change != "no ranges"
        assert place.fetch(entry).sha256 == DIGEST


def test_a_part_with_nothing_left_to_send_is_fetched_again(place: Place) -> None:
    habits = Habits(CONTENT, breaks=[70_000])
    with serving(habits) as server:
        entry = an_artifact(f"{server}/file")
        place.refused(entry, "the connection ended", tries=1)
        with (place.folder / ".row.pth.part").open("ab") as part:
            part.write(bytes(len(CONTENT)))
        assert place.fetch(entry).sha256 == DIGEST
    assert [entry[1] for entry in habits.seen] == [None, "bytes=370000-", None]


def test_what_one_address_left_is_no_part_of_another(place: Place) -> None:
    with serving(Habits(bytes(300_000), breaks=[70_000])) as server, serving(Habits(CONTENT)) as mirror:
        assert place.fetch(an_artifact(f"{server}/file", f"{mirror}/file"), tries=1).sha256 == DIGEST


def test_a_server_in_trouble_is_asked_again_but_not_for_ever(place: Place) -> None:
    with serving(Habits(CONTENT, errors=[503, 429])) as server:
        assert place.fetch(an_artifact(f"{server}/file")).sha256 == DIGEST
    place.file.unlink()
    habits = Habits(CONTENT, errors=[500] * 9)
    with serving(habits) as server:
        place.refused(an_artifact(f"{server}/file"), "failed 3 times, at last with: HTTP 500")
    assert len(habits.seen) == 3
    place.refused(an_artifact(f"{server}/file"), "failed 3 times, at last with: .*refused")  # nobody listens any more


def test_the_page_is_opened_for_its_cookie(place: Place) -> None:
    habits = Habits(CONTENT, cookie=True)
    with serving(habits) as server:
        place.refused(an_artifact(f"{server}/file"), "wants a login")
        assert place.fetch(an_artifact(f"{server}/file", page=f"{server}/page")).sha256 == DIGEST
    assert [entry[::2] for entry in habits.seen] == [("/file", None), ("/page", None), ("/file", "guest=yes")]


def test_redirects(place: Place, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"of this machine")
    with serving(Habits(CONTENT)) as there:
        with serving(Habits(b"", redirect=f"{there}/file")) as server:
            assert place.fetch(an_artifact(f"{server}/file")).sha256 == DIGEST
        place.file.unlink()
        for target in (secret.as_uri(), "ftp://127.0.0.1/x", "data:,x"):
            with serving(Habits(b"", redirect=target)) as server:
                place.refused(an_artifact(f"{server}/file"), "not fetched", tries=1)


def test_a_length_that_is_not_told(place: Place) -> None:
    with serving(Habits(CONTENT, no_length=True)) as server:
        place.refused(an_artifact(f"{server}/file", size=1000), "the server sends more than 1000 bytes")
        assert place.left_over() == []
        place.refused(an_artifact(f"{server}/file", size=len(CONTENT) + 1), f"has {len(CONTENT)} bytes, expected")
        assert place.fetch(an_artifact(f"{server}/file", size=len(CONTENT))).sha256 == DIGEST


@pytest.mark.parametrize("form", ["path", "address", "in place"])
def test_a_file_that_a_person_brings(place: Place, tmp_path: Path, form: str) -> None:
    brought = place.file if form == "in place" else tmp_path / "my file.pth"
    brought.parent.mkdir(parents=True, exist_ok=True)
    brought.write_bytes(CONTENT)
    source = {"path": brought, "address": brought.as_uri(), "in place": None}[form]
    got = place.fetch(an_artifact("http://127.0.0.1:1/never"), source=source)
    assert got == Fetched(place.file, DIGEST, len(CONTENT), "local file", first=True)
    assert brought.read_bytes() == CONTENT == place.file.read_bytes()
    other = tmp_path / "other.pth"
    other.write_bytes(b"something else")
    place.refused(an_artifact(), "expected " + DIGEST[:12], source=other)
    assert other.exists()


def test_what_a_person_brought_is_never_removed(place: Place) -> None:
    place.folder.mkdir(parents=True)
    record(place.lock, Locked("row", DIGEST, 3, ""), place.folder / ".guard")
    for content, reason in ((b"another", "its sha256 is"), (b"<html>login</html>", "holds a web page")):
        place.file.write_bytes(content)
        place.refused(an_artifact(), rf"row\.pth: {reason}.*; delete .*row\.pth to fetch it again")


def test_other_addresses_are_not_opened(place: Place, tmp_path: Path) -> None:
    for source, reason in {
        "ftp://127.0.0.1/x": "only http, https and file",
        "data:,x": "only http, https and file",
        "file://elsewhere/x": "names a path on this machine",
        str(tmp_path): "no such file",
        str(tmp_path / "absent"): "no such file",
    }.items():
        place.refused(an_artifact(), reason, source=source)


def test_two_at_once_download_once(place: Place) -> None:
    habits = Habits(CONTENT)
    with serving(habits) as server, ThreadPoolExecutor(4) as pool:
        entry = an_artifact(f"{server}/file")
        got = list(pool.map(lambda _: place.fetch(entry).sha256, range(4)))
    assert got == [DIGEST] * 4 and len(habits.seen) == 1


def test_many_write_the_same_lock(place: Place) -> None:
    names = [f"a{k}" for k in range(12)]
    guard = place.folder / ".guard"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: record(place.lock, Locked(name, DIGEST, 1, "x,\ny"), guard), reversed(names)))
    assert list(read_lock(place.lock)) == sorted(names)
    assert list(csv.reader(place.lock.open()))[1][3] == "x,\ny"


def test_a_damaged_lock_is_named(place: Place) -> None:
    head, line = "artifact,sha256,size,address", f"row,{DIGEST},3,"
    for text in (
        f"{head}\nrow,abc,3,\n",
        f"{head}\n{line}\n{line}\n",
        f"row,sha\n{line}\n",
        f"{head}\nrow,{DIGEST},x,\n",
    ):
        place.lock.parent.mkdir(parents=True, exist_ok=True)
        place.lock.write_text(text)
        with pytest.raises(UserError, match=r"released\.lock\.csv: line \d is damaged; get it back with 'git checkout"):
            read_lock(place.lock)


def test_sharepoint_is_asked_for_the_file() -> None:
    shared = "https://someone-my.sharepoint.com/:u:/g/personal/x/EWGG?e=g7"
    assert direct(shared) == shared + "&download=1" == direct(shared + "&download=1")
    assert direct(shared.removesuffix("?e=g7")) == shared.removesuffix("?e=g7") + "?download=1"
    for other in ("https://example.org/:u:/x?e=1", "https://x.sharepoint.com/:f:/g/folder?e=1"):
        assert direct(other) == other

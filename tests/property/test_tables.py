"""Whatever stands in a file: texts survive every format, and no number that may not be compared meets a difference."""

from __future__ import annotations

import csv
import io
import json
import re
import string
import tempfile
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from regionzoo.report import html, latex, markdown
from regionzoo.report.consistency import check_harmonic
from regionzoo.report.lines import Line, build_lines
from regionzoo.report.sheet import Cell, Grid, Sheet, one_line
from regionzoo.report.tables import make_frame, make_sheet
from regionzoo.settings.train import Published, TablesSettings

TEXTS = st.text(st.sampled_from(string.printable + "±–é中’\u2028\x00"), max_size=30)
NASTY = st.one_of(
    TEXTS, st.text(max_size=20), st.lists(st.sampled_from(list("|\\`*_[]<>&~#!$-'^{}%a ")), max_size=20).map("".join)
)


def sheet_of(texts: list[str]) -> Sheet:
    grid = Grid(("a", "b"), tuple((Cell(text), Cell("x")) for text in texts), frozenset({1}))
    return Sheet("name", "Title", grid, None, tuple(f"note {text}" for text in texts))


# -- escaping -------------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.lists(NASTY, min_size=1, max_size=3))
def test_markdown_shows_the_text(texts: list[str]) -> None:
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown.render(sheet_of(texts)))
    cells, notes = [], []
    for before, token in pairwise(tokens):
        if token.type != "inline":
            continue
        plain = all(child.type in ("text", "text_special") for child in token.children or [])
        shown = "".join(child.content for child in token.children or [])
        if before.type == "td_open":
            assert plain
            cells.append(shown)
        elif shown.startswith("note"):
            assert plain
            notes.append(shown)
    assert cells == [part for text in texts for part in (one_line(text), "x")]
    assert notes == [one_line(f"note {text}") for text in texts]


class Texts(HTMLParser):
    """Texts of cells and list items."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.found: list[str] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag in ("td", "li"):
            self.found.append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in ("td", "li")

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.found[-1] += data


@settings(max_examples=200, deadline=None)
@given(st.lists(NASTY, min_size=1, max_size=3))
def test_html_shows_the_text(texts: list[str]) -> None:
    page = Texts(html.render(sheet_of(texts)))
    cells = [part for text in texts for part in (one_line(text), "x")]
    assert page.found == cells + [one_line(f"note {text}") for text in texts]
    known = {"html", "head", "meta", "title", "style", "body", "h1", "div", "table", "thead", "tr", "th", "tbody"}
    assert page.tags <= known | {"td", "ul", "li", "wbr"}


SHOWN = {
    r"\textbackslash": "\\",
    r"\textasciitilde": "~",
    r"\textasciicircum": "^",
    r"\textless": "<",
    r"\textgreater": ">",
    r"\textbar": "|",
    r"\textasciigrave": "`",
    **{"\\" + c: c for c in "&%$#_{}"},
}
TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|\$[^$]*\$|---?|\(U\+[0-9A-F]{4,6}\)|.", re.DOTALL)
MATHS = {r"$\pm$": "±", r"$\times$": "×", r"$\cdot$": "·", r"$\mu$": "µ", r"$^\circ$": "°", "$-$": "−"}


def read_latex(text: str) -> str:
    """What LaTeX prints of an escaped text; an error for anything that it would take for markup."""
    shown, depth = "", 0
    for token in TOKEN.findall(text):
        if token in "{}":
            depth += 1 if token == "{" else -1
            assert depth >= 0
        elif token in ("--", "---"):
            shown += {"--": "–", "---": "—"}[token]
        elif token.startswith("(U+"):
            shown += chr(int(token[3:-1], 16))
        elif token.startswith("$"):
            shown += MATHS[token]
        elif token.startswith("\\"):
            shown += SHOWN[token]
        else:
            assert token not in "&%#_^~\\"
            shown += token
    assert depth == 0
    return shown


@settings(max_examples=300, deadline=None)
@given(NASTY.filter(lambda text: "U+" not in text and "’" not in text))
def test_latex_shows_the_text(text: str) -> None:
    escaped = latex.escape(text)
    assert escaped.isascii() and not escaped.startswith(("[", "*"))
    assert read_latex(escaped) == one_line(text)


@settings(max_examples=100, deadline=None)
@given(st.lists(NASTY, min_size=1, max_size=3))
def test_latex_lines_have_as_many_cells_as_columns(texts: list[str]) -> None:
    body = latex.render(sheet_of(texts)).split(r"\midrule")[1].split(r"\bottomrule")[0]
    lines = [line for line in body.splitlines() if line.endswith(r" \tabularnewline")]
    assert len(lines) == len(texts)
    assert all(len(re.findall(r"(?<!\\)&", line)) == 1 for line in lines)


# -- harmonic means -------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 99999), st.integers(1, 99999))
def test_rounded_true_triples_are_never_called_inconsistent(b: int, n: int) -> None:
    """Values with three decimals, printed with one."""
    base, novel = b / 1000, n / 1000
    printed = {"hIoU": 2 * base * novel / (base + novel), "mIoU_base": base, "mIoU_novel": novel}
    check = check_harmonic({name: round(value, 1) for name, value in printed.items()})
    assert check is not None and check.verdict != "inconsistent"


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(-3, 3))
def test_the_verdict_is_that_of_a_search(b: int, n: int, shift: int) -> None:
    """Against a grid over the box of parts, in thousandths: each grid point is a value that prints as given."""
    base, novel = b / 10, n / 10
    middle = 2 * base * novel / (base + novel) if b + n else 0.0
    h = max(round(middle, 1) + shift / 10, 0.0)
    h = round(h, 1)
    check = check_harmonic({"hIoU": h, "mIoU_base": base, "mIoU_novel": novel})
    assert check is not None
    steps = [k / 200 for k in range(-10, 11)]
    grid = [
        2 * x * y / (x + y) if x + y > 0 else 0.0
        for x in (max(base + s, 0) for s in steps)
        for y in (max(novel + s, 0) for s in steps)
    ]
    assert check.low - 1e-9 <= min(grid) and max(grid) <= check.high + 1e-9
    if any(abs(value - h) < 0.05 - 1e-9 for value in grid):
        assert check.verdict != "inconsistent"
    if min(abs(value - h) for value in grid) > 0.06:
        assert check.verdict == "inconsistent"


# -- no number of another make beside a difference ------------------------------------------------------------------

SCORES = st.integers(1000, 9999).map(lambda value: value / 100 + 0.003).map(lambda value: round(value, 2))
RUN = st.fixed_dictionaries(
    {
        "source": st.sampled_from(["scannet", "synthetic-rooms", "synthetic", "elsewhere"]),
        "scale": st.sampled_from(["paper", "small"]),
        "captioner": st.sampled_from(["kosmos-2", "simulated (window)"]),
        "overrides": st.sampled_from([{}, {"seed": 1}, {"lr": 0.1}]),
        "scores": st.lists(st.one_of(st.none(), SCORES), min_size=3, max_size=3),
    }
)
METRICS = ("hIoU", "mIoU_base", "mIoU_novel")
PUBLISHED = Published(
    table="semantic-base",
    dataset="ScanNet",
    setting="B15/N4",
    protocol="p/1",
    scores=dict(zip(METRICS, (69.4, 68.2, 70.7), strict=True)),
    tolerance=50.0,
)


def write_run(results: Path, name: str, run: dict[str, Any], seed: int) -> None:
    scores = dict(zip(METRICS, run["scores"], strict=True))
    captions = {"on": True, "captioners": [run["captioner"]]}
    value = {
        "row": name,
        "metrics": scores,
        "protocol": {"id": "p/1"},
        "protocols": {"p/1": scores},
        "data": {"source": run["source"], "scale": run["scale"], "captions": captions, "text": {"encoder": "e"}},
        "seed": seed,
        "overrides": run["overrides"] if "+" not in name else {"seed": seed},
    }
    (results / name).mkdir()
    (results / name / "metrics.json").write_text(json.dumps(value))


def lines_of(runs: list[dict[str, Any]]) -> list[Line]:
    with tempfile.TemporaryDirectory() as folder:
        for k, run in enumerate(runs):
            name = f"row{k // 2}" + ("" if k % 2 == 0 else "+again")
            write_run(Path(folder), name, run if k % 2 == 0 else runs[k - 1] | {"scores": run["scores"]}, k % 2)
        rows = tuple(f"row{k}" for k in range((len(runs) + 1) // 2))
        published = TablesSettings(published=dict.fromkeys(rows, PUBLISHED), available=rows)
        return build_lines(published, Path(folder), lambda message: None)["semantic-base"]


@settings(max_examples=60, deadline=None)
@given(st.lists(RUN, min_size=1, max_size=6))
def test_no_number_of_another_make_beside_a_difference(runs: list[dict[str, Any]]) -> None:
    lines = lines_of(runs)
    marks = {"synthetic": "synthetic", "synthetic-rooms": "synthetic"}
    text = make_frame("semantic-base", lines).to_csv(index=False)
    for record in csv.DictReader(io.StringIO(text)):
        run = runs[2 * int(record["row"].removeprefix("row"))]
        good = (run["source"], run["scale"], run["captioner"]) == ("scannet", "paper", "kosmos-2")
        good = good and "lr" not in run["overrides"]
        if not good:
            wrong = [key for key in record if key.startswith(("rebuilt_", "difference_")) and record[key]]
            assert wrong == [] and record["inside"] == ""
        kind = marks.get(run["source"], "not_comparable")
        for key, value in record.items():
            if value and key.startswith(("synthetic_", "not_comparable_")):
                assert not good and key.startswith(f"{kind}_")
    for line in lines:
        run = runs[2 * int(line.row.removeprefix("row"))]
        shown = make_sheet("semantic-base", [line])
        values = [score.text() for metric in METRICS if (score := line.apart(metric))]
        cells = [cell for row in shown.scores.lines for cell in row]
        if line.reason is not None:
            assert not any(cell.kind in ("difference", "inside", "outside", "rebuilt") for cell in cells)
            mark = marks.get(run["source"], "not comparable")
            numbers = [cell.text for cell in cells if cell.kind == "apart" and cell.text != "-"]
            assert numbers == [f"{value} ({mark})" for value in values]
            # In each format every such number carries its mark, and no number without one is left over.
            for text in (markdown.render(shown), html.render(shown), latex.render(shown)):
                body = text.split("Published:")[0].replace(r"$\pm$", "±")
                for value in values:
                    assert body.count(value) == body.count(f"{value} ({mark})") > 0
                assert not re.search(r"[+-]\d+\.\d\d\b", body)
        else:
            assert values == [] and not any(cell.kind == "apart" for cell in cells)

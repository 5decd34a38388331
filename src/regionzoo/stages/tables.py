"""Stage tables: results of whatever rows exist -> the three published tables with what was rebuilt, and plots."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from regionzoo.artifacts import write_text
from regionzoo.errors import UserError
from regionzoo.report import html, latex, markdown
from regionzoo.report.comparison_figures import draw_comparison
from regionzoo.report.figures import PICTURES, copy_pictures, draw_into, save
from regionzoo.report.lines import TABLES, TITLES, Line, build_lines
from regionzoo.report.tables import make_frame, make_sheet
from regionzoo.settings.train import TablesSettings

TITLE = "The RegionPLC model zoo, published and rebuilt"
INTRO = (
    "Each published line stands above what this code made of it. Numbers that may not be compared with published ones "
    "(synthetic scenes, small scale, simulated captions) say so themselves and are never subtracted."
)
PLOTS = {"per_class": "score of each class", "history": "training curves"}


def run(settings: TablesSettings, results: Path, out: Path) -> None:
    """Write ``<table>.{md,csv,tex,html,png}``, ``<row>_{per_class,history}.png``, ``index.html`` into ``out``.

    Pictures of scenes that a result has are copied as ``<row>_instances_<scene>.png``.

    A damaged file is named in its line and on stderr and stops nothing else. Equal inputs give equal files.
    """
    sections = []
    for table, lines in build_lines(settings, results, _complain).items():
        name = TABLES[table]
        sheet = make_sheet(table, lines)
        write_text(out / f"{name}.md", markdown.render(sheet))
        write_text(out / f"{name}.tex", latex.render(sheet))
        write_text(out / f"{name}.html", html.render(sheet))
        write_text(out / f"{name}.csv", make_frame(table, lines).to_csv(index=False, lineterminator="\n"))
        save(draw_comparison(table, lines), out / f"{name}.png")
        pictures = [html.Picture(f"{name}.png", f"{TITLES[table]}: published and rebuilt scores")]
        drawn, notes = _draw_rows(lines, results, out)
        sections.append(html.Section(sheet, (*pictures, *drawn), tuple(notes)))
    _remove_stale(settings, out, {picture.file for section in sections for picture in section.pictures})
    write_text(out / "index.html", html.render_index(TITLE, INTRO, sections))


def _complain(message: str) -> None:
    print(f"tables: {message}", file=sys.stderr)


def _draw_rows(lines: list[Line], results: Path, out: Path) -> tuple[list[html.Picture], list[str]]:
    pictures, notes = [], []
    for line in lines:
        if line.state != "built":
            continue
        try:
            made, said = draw_into(results / line.row, out, f"{line.row}_")
            made += copy_pictures(results / line.row, out, f"{line.row}_")
        except UserError as error:
            _complain(str(error))
            notes.append(f"{line.row}: no plots ({error}).")
            continue
        for path in made:
            what = _what(path.stem.removeprefix(f"{line.row}_"))
            mark = f" ({line.mark})" if line.mark else ""
            pictures.append(html.Picture(path.name, f"{line.title}: {what}{mark}"))
        notes += [f"{note}." for note in said]
    return pictures, notes


def _what(name: str) -> str:
    """What a picture shows, by its name without the row."""
    kind, _, scene = name.partition(f"{PICTURES}_")
    return PLOTS[kind] if kind else f"{scene}, annotated and predicted instances"


def _remove_stale(settings: TablesSettings, out: Path, current: set[str]) -> None:
    """Remove plots of rows that an earlier call drew and that are gone."""
    for path in out.glob("*.png"):
        found = re.fullmatch(rf"(.+?)_({'|'.join(PLOTS)}|{PICTURES}_.+)\.png", path.name)
        if found and found[1] in settings.published and path.name not in current:
            path.unlink()

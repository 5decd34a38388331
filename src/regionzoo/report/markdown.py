"""A sheet as Markdown (the tables of GitHub and its relatives)."""

from __future__ import annotations

import re

from regionzoo.report.sheet import Cell, Grid, Sheet, one_line

SPECIAL = re.compile(r"([\\`*\[\]<>&|~#!$])|(?<![A-Za-z0-9])(_)|(_)(?![A-Za-z0-9])")


def escape(text: str) -> str:
    """Text that Markdown shows as it is, inside a table's cell and elsewhere in a line."""
    return SPECIAL.sub(lambda found: "\\" + found.group(), one_line(text))


def render(sheet: Sheet) -> str:
    """The whole file."""
    parts = [f"# {escape(sheet.title)}", _grid(sheet.scores)]
    for _, heading, grid in sheet.parts:
        parts += [f"{heading}:", _grid(grid)]
    parts += ["Notes:", "\n".join(f"- {escape(note)}" for note in sheet.notes)]
    return "\n\n".join(parts) + "\n"


def _grid(grid: Grid) -> str:
    table = [[escape(name) for name in grid.columns], *([_cell(cell) for cell in line] for line in grid.lines)]
    widths = [max(3, *(len(line[k]) for line in table)) for k in range(len(grid.columns))]
    # A long last column is left ragged: padding it would push every line off the screen.
    widths[-1] = 0

    def join(cells: list[str]) -> str:
        return ("| " + " | ".join(text.ljust(width) for text, width in zip(cells, widths, strict=True))).rstrip() + " |"

    rule = "|" + "|".join("-" * (max(width, 3) + 2) for width in widths) + "|"
    return "\n".join([join(table[0]), rule, *map(join, table[1:])])


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    return f"**{text}**" if cell.kind in ("inside", "outside") and text else text

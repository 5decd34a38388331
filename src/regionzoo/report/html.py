"""Sheets as HTML pages that need nothing else: no script, no font, no style sheet, no address."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape as _escape

from regionzoo.report.sheet import Cell, Grid, Sheet, one_line

# Colours come from the reader's own scheme; the few fixed ones are readable on light and on dark.
STYLE = """
:root { color-scheme: light dark; }
body { font: 14px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 88rem; padding: 0 1rem;
  background: Canvas; color: CanvasText; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; } h3 { font-size: 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .8rem 0; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .2rem .5rem; }
th, td:not(.wide) { white-space: nowrap; }
td.wide { min-width: 8rem; overflow-wrap: break-word; }
td:nth-child(2) { white-space: normal; }
th { border-bottom: 2px solid; }
tr.group td { border-top: 1px solid GrayText; }
td.published { font-weight: 600; }
td.apart { font-style: italic; background: repeating-linear-gradient(135deg, transparent 0 6px, #8884 6px 8px); }
td.inside { font-weight: 700; border-left: 5px solid #2e9e62; }
td.outside { font-weight: 700; border-left: 5px solid #d9534f; }
td.pending { font-style: italic; }
ul.notes { font-size: .9rem; }
img { max-width: 100%; background: white; border: 1px solid GrayText; }
figure { margin: 1rem 0; } figcaption { font-size: .9rem; }
""".strip()


@dataclass(frozen=True)
class Picture:
    """A file beside the page and what it shows."""

    file: str
    caption: str


@dataclass(frozen=True)
class Section:
    """A sheet, links to its other formats, its picture, and pictures of its rows."""

    sheet: Sheet
    pictures: tuple[Picture, ...]
    notes: tuple[str, ...] = ()


def escape(text: str) -> str:
    """Text that HTML shows as it is, in an element or a quoted attribute."""
    return _escape(one_line(text), quote=True)


def render(sheet: Sheet) -> str:
    """One table as a page."""
    return _page(sheet.title, f"<h1>{escape(sheet.title)}</h1>\n{_sheet(sheet)}")


def render_index(title: str, intro: str, sections: list[Section]) -> str:
    """All tables and plots as one page; plots are files beside it."""
    parts = [f"<h1>{escape(title)}</h1>", f"<p>{escape(intro)}</p>"]
    for section in sections:
        sheet = section.sheet
        links = ", ".join(f'<a href="{escape(sheet.name)}.{kind}">{kind}</a>' for kind in ("html", "md", "csv", "tex"))
        parts += [f"<h2>{escape(sheet.title)}</h2>", f"<p>This table alone: {links}</p>", _sheet(sheet)]
        parts += [
            f'<figure><img src="{escape(picture.file)}" alt="{escape(picture.caption)}" loading="lazy">'
            f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
            for picture in section.pictures
        ]
        if section.notes:
            parts.append(_notes(section.notes))
    return _page(title, "\n".join(parts))


def _page(title: str, body: str) -> str:
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>\n{STYLE}\n</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _sheet(sheet: Sheet) -> str:
    parts = [_grid(sheet.scores)]
    for _, heading, grid in sheet.parts:
        parts += [f"<h3>{heading}</h3>", _grid(grid)]
    return "\n".join([*parts, _notes(sheet.notes)])


def _notes(notes: tuple[str, ...]) -> str:
    return '<ul class="notes">\n' + "\n".join(f"<li>{escape(note)}</li>" for note in notes) + "\n</ul>"


def _grid(grid: Grid) -> str:
    lines = ['<div class="scroll"><table>', "<thead><tr>"]
    lines += [f'<th scope="col">{escape(name)}</th>' for name in grid.columns]
    lines += ["</tr></thead>", "<tbody>"]
    for number, line in enumerate(grid.lines):
        opening = '<tr class="group">' if number in grid.groups else "<tr>"
        lines.append(opening + "".join(_cell(cell, k in grid.wide) for k, cell in enumerate(line)) + "</tr>")
    return "\n".join([*lines, "</tbody>", "</table></div>"])


def _cell(cell: Cell, wide: bool) -> str:
    classes = " ".join(name for name, on in ((cell.kind, cell.kind != "plain"), ("wide", wide)) if on)
    attribute = f' class="{classes}"' if classes else ""
    text = escape(cell.text)
    # Paths have no other place to break at; a copied <wbr> is nothing.
    return f"<td{attribute}>{text.replace('/', '/<wbr>') if wide else text}</td>"

"""A sheet as LaTeX: ``table`` environments with booktabs rules, to be ``\\input`` into a document."""

from __future__ import annotations

from regionzoo.report.sheet import Cell, Grid, Sheet, one_line

NAMES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "µ": r"$\mu$",
    "°": r"$^\circ$",
    "–": "{--}",
    "—": "{---}",
    "−": "$-$",
    "’": "{'}",
}
BACKSLASH = set("&%$#_{}")
# Plain alone, ligatures as pairs ("--" is a dash).
LIGATURES = set("-',")
# After a line's end, "*" and "[" would be its arguments.
BRACED = set('*[]"')


def escape(text: str) -> str:
    """Text that LaTeX prints as it is; a character that plain pdfLaTeX may not know becomes its code point."""
    text = one_line(text)
    return "".join(
        ("{}" if c == before and c in LIGATURES else "") + _character(c)
        for before, c in zip(" " + text, text, strict=False)
    )


def _character(c: str) -> str:
    if c in NAMES:
        return NAMES[c]
    if c in BACKSLASH:
        return "\\" + c
    if c in BRACED:
        return "{" + c + "}"
    return c if c.isascii() else f"(U+{ord(c):04X})"


def render(sheet: Sheet) -> str:
    """The whole file. It needs ``\\usepackage{booktabs}`` and nothing else."""
    label = sheet.name.replace("_", "-")
    parts = [r"% \usepackage{booktabs}; as wide as A4 landscape"]
    parts += _table(sheet.title, f"tab:{label}", sheet.scores, sheet.notes)
    for name, heading, grid in sheet.parts:
        parts += _table(f"{sheet.title}: {heading[0].lower()}{heading[1:]}", f"tab:{label}-{name}", grid, ())
    return "\n".join(parts) + "\n"


def _table(title: str, label: str, grid: Grid, notes: tuple[str, ...]) -> list[str]:
    share = round(0.38 / len(grid.wide), 2) if len(grid.wide) < 4 else 0.12
    spec = "".join(f"p{{{share}\\linewidth}}" if k in grid.wide else "l" for k in range(len(grid.columns)))
    lines = [
        r"\begin{table}",
        r"\centering\scriptsize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{escape(title)}}}\label{{{label}}}",
        rf"\begin{{tabular}}{{@{{}}{spec}@{{}}}}",
        r"\toprule",
        " & ".join(escape(name) for name in grid.columns) + r" \tabularnewline",
        r"\midrule",
    ]
    for number, line in enumerate(grid.lines):
        if number and number in grid.groups:
            lines.append(r"\addlinespace")
        lines.append(" & ".join(_cell(cell, k in grid.wide) for k, cell in enumerate(line)) + r" \tabularnewline")
    lines += [r"\bottomrule", r"\end{tabular}"]
    if notes:
        lines += [r"\par\medskip\raggedright", *(escape(note) + r"\par" for note in notes)]
    return [*lines, r"\end{table}"]


def _cell(cell: Cell, wide: bool) -> str:
    text = escape(cell.text)
    if not text:
        return ""
    if wide:
        # Paths have no other place to break at.
        return r"\raggedright " + text.replace("/", r"/\allowbreak{}")
    return rf"\textit{{{text}}}" if cell.kind == "apart" else text

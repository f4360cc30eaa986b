"""Cells of spreadsheets: no text is taken for a formula."""

import re
from collections.abc import Iterable
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for the beginning of one (OWASP, CSV Injection)."""
GUARDED = re.compile(f"'+[{re.escape(''.join(FORMULA))}]")


def guarded(cell: str) -> str:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{cell}" if cell[:1] in FORMULA or GUARDED.match(cell) else cell


def unguarded(cell: str) -> str:
    """What was guarded, as it was."""
    return cell[1:] if GUARDED.match(cell) else cell


def write_cells(sheet: Any, quoted: Any, row: int, cells: Iterable[Any]) -> None:
    """A row of a sheet of XlsxWriter: numbers are numbers, and everything else a string by its type.

    What looks like a formula has the format `quoted` (with `quote_prefix`) besides, so that it stays a string
    when somebody edits the cell.
    """
    for column, cell in enumerate(cells):
        if isinstance(cell, str):
            sheet.write_string(row, column, cell, quoted if cell[:1] in FORMULA else None)
        elif isinstance(cell, bool):
            sheet.write_boolean(row, column, cell)
        elif cell is not None:
            sheet.write_number(row, column, cell)

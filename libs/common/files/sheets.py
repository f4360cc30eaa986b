"""Text in spreadsheets that is not taken for a formula."""

import re

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for the beginning of one (OWASP, CSV Injection)."""
GUARDED = re.compile(f"'+[{re.escape(''.join(FORMULA))}]")


def guarded(cell: str) -> str:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{cell}" if cell[:1] in FORMULA or GUARDED.match(cell) else cell


def unguarded(cell: str) -> str:
    """What was guarded, as it was."""
    return cell[1:] if GUARDED.match(cell) else cell

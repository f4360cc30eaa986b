"""Query parameters whose values are a closed set."""

from collections.abc import Sequence
from typing import Any

from fastapi import Query


def one_of(values: Sequence[str], note: str = "", **options: Any) -> Any:
    """A query parameter that is documented with its values; `choose` refuses others."""
    shown = {"enum": list(values)}
    return Query(description=" · ".join(values) + note, json_schema_extra=shown, **options)


TRUTHS = ("true", "false", "1", "0")

"""Query parameters whose values are a closed set."""

from collections.abc import Sequence
from typing import Any

from fastapi import Query


def one_of(values: Sequence[str], note: str = "", **options: Any) -> Any:
    """A query parameter whose values are a closed set in the document; `choose` is what refuses others."""
    shown = {"enum": list(values)}
    return Query(description=" · ".join(values) + note, json_schema_extra=shown, **options)


TRUTHS = ("true", "false", "1", "0")

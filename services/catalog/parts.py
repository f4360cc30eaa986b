"""What routes take from the application, and how they say which values a filter takes."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, Query, Request

from libs.common.files.storage import Storage


async def storage_of(request: Request) -> Storage:
    storage: Storage = request.app.state.storage
    return storage


StorageDep = Annotated[Storage, Depends(storage_of)]


def one_of(values: Sequence[str], note: str = "", **options: Any) -> Any:
    """A query parameter whose values are a closed set in the document; `choose` is what refuses others."""
    shown = {"enum": list(values)}
    return Query(description=" · ".join(values) + note, json_schema_extra=shown, **options)


TRUTHS = ("true", "false", "1", "0")

"""What routes take from the application."""

from typing import Annotated

from fastapi import Depends, Request

from libs.common.storage import Storage


async def storage_of(request: Request) -> Storage:
    storage: Storage = request.app.state.storage
    return storage


StorageDep = Annotated[Storage, Depends(storage_of)]

"""The time of a request, of the application's clock, which tests set."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request


async def current_time(request: Request) -> datetime:
    now: datetime = request.app.state.clock()
    return now


Now = Annotated[datetime, Depends(current_time)]

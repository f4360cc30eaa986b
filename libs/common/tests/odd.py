"""Routes of the toy service that do what real ones should not: the border must hold all the same."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import text
from starlette.background import BackgroundTask

from libs.common.data.db import SessionDep
from libs.common.web.schemas import Body
from libs.common.web.strict import read_form

router = APIRouter(prefix="/api/odd")
streamed: list[int] = []


class Anything(Body):
    data: Any = None


@router.post("/anything/")
async def keep_anything(body: Anything, session: SessionDep) -> dict[str, Any]:
    """Whatever JSON there is, as the database holds it."""
    data = orjson.dumps(body.data).decode()
    return {"data": await session.scalar(text("SELECT CAST(:data AS jsonb)"), {"data": data})}


@router.post("/form/")
async def read_texts(request: Request) -> dict[str, Any]:
    async with read_form(request, max_files=1, max_fields=5) as form:
        return dict(form)


@router.get("/defect/")
async def meet_defect() -> dict[str, str]:
    raise ZeroDivisionError


@router.get("/late-defect/")
async def meet_defect_after_the_answer() -> Response:
    async def fail() -> None:
        raise ZeroDivisionError

    return Response("{}", media_type="application/json", background=BackgroundTask(fail))


@router.get("/stream/")
async def stream() -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            streamed.append(number)
            yield b"x" * 10

    return StreamingResponse(pieces(), media_type="text/plain", headers={"Content-Length": "30"})


@router.get("/where/")
async def tell_where(request: Request) -> dict[str, Any]:
    """What a route learns of its client."""
    headers = {name for name in request.headers if name.startswith(("x-forwarded", "x-lectern"))}
    return {
        "for": request.headers.get("x-forwarded-for"),
        "headers": sorted(headers),
        "peer": request.client.host if request.client else None,
    }


@router.put("/where/")
async def be_elsewhere() -> dict[str, str]:
    return {}

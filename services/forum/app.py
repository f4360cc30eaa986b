"""The application of forum."""

from typing import Any

from fastapi import FastAPI

from libs.common.live.hub import attach_hub
from libs.common.service.app import create_app
from services.forum.chat.presence import Attendance
from services.forum.routes import ROUTERS
from services.forum.settings import Settings
from services.forum.worker import SUBSCRIPTION


def make_app(settings: Settings | None = None, **parts: Any) -> FastAPI:
    app = create_app(settings or Settings(), ROUTERS, subscription=SUBSCRIPTION, **parts)
    app.state.attendance = attendance = Attendance(attach_hub(app))
    app.state.background.append(attendance.run)
    app.state.closers.append(attendance.end)
    return app

"""The learning service's application."""

from typing import Any

from fastapi import FastAPI

from libs.common.app import create_app
from libs.common.clock import system_clock
from libs.common.media import media_router
from libs.common.storage import Storage
from services.learning.hot import HOT, Groups
from services.learning.rights import may_read
from services.learning.routes import ROUTERS
from services.learning.settings import Settings
from services.learning.worker import SUBSCRIPTION


def make_app(settings: Settings | None = None, **parts: Any) -> FastAPI:
    """Routes, storage and clock on top of what every service has."""
    settings = settings or Settings()
    routers = [*ROUTERS, media_router(settings.service, may_read)]
    app = create_app(settings, routers, subscription=SUBSCRIPTION, hot=HOT, **parts)
    app.state.storage = Storage(settings)
    app.state.clock = system_clock
    app.state.groups = Groups(app)
    return app

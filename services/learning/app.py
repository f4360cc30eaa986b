"""The learning service's application."""

from typing import Any

from fastapi import FastAPI

from libs.common.files.media import media_router
from libs.common.files.storage import Storage
from libs.common.service.app import create_app
from services.learning.hot.handlers import Groups, shortcuts
from services.learning.rights import may_read
from services.learning.routes import ROUTERS
from services.learning.settings import Settings
from services.learning.worker import SUBSCRIPTION


def make_app(settings: Settings | None = None, **parts: Any) -> FastAPI:
    """Routes, storage and shortcuts on top of what every service has."""
    settings = settings or Settings()
    routers = [*ROUTERS, media_router(settings.service, may_read)]
    app = create_app(settings, routers, subscription=SUBSCRIPTION, shortcuts=shortcuts(), **parts)
    app.state.storage = Storage(settings)
    app.state.groups = Groups(app)
    return app

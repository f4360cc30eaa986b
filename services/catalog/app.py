"""The catalog service's application."""

from typing import Any

from fastapi import FastAPI

from libs.common.files.media import media_router
from libs.common.files.storage import Storage
from libs.common.service.app import create_app
from services.catalog.links import may_read
from services.catalog.media.hashes import RunningHashes
from services.catalog.pictures import Pictures
from services.catalog.routes import ROUTERS
from services.catalog.settings import Settings
from services.catalog.worker import SUBSCRIPTION


def make_app(settings: Settings | None = None, **parts: Any) -> FastAPI:
    """Routes, storage and a reader of lists on top of what every service has."""
    settings = settings or Settings()
    routers = [*ROUTERS, media_router(settings.service, may_read)]
    app = create_app(settings, routers, subscription=SUBSCRIPTION, **parts)
    app.state.storage = Storage(settings)
    app.state.hashes = RunningHashes()
    app.state.pictures = Pictures(settings.picture_workers)
    # The same pool without a transaction around each statement: for lists of one statement.
    app.state.reader = app.state.db.engine.execution_options(isolation_level="AUTOCOMMIT")
    return app

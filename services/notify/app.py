"""The application of notify."""

from typing import Any

from fastapi import FastAPI

from libs.common.live.hub import attach_hub
from libs.common.service.app import create_app
from services.notify import live, routes
from services.notify.settings import Settings
from services.notify.worker import SUBSCRIPTION


def make_app(settings: Settings | None = None, **parts: Any) -> FastAPI:
    app = create_app(
        settings or Settings(),
        [routes.router, live.router],
        subscription=SUBSCRIPTION,
        exempt={"/api/ws-ticket/"},
        **parts,
    )
    attach_hub(app)
    return app

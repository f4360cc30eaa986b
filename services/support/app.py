"""The application of support."""

from typing import Any

from fastapi import FastAPI

from libs.common.service.app import create_app
from services.support import status_routes
from services.support.routes import router
from services.support.settings import Settings
from services.support.worker import SUBSCRIPTION


def make_app(settings: Settings | None = None, **parts: Any) -> FastAPI:
    return create_app(
        settings or Settings(), [router, status_routes.router], subscription=SUBSCRIPTION, **parts
    )

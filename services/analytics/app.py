"""The application of analytics."""

from typing import Any

from fastapi import FastAPI

from libs.common.service.app import create_app
from services.analytics.routes import router
from services.analytics.settings import Settings
from services.analytics.worker import SUBSCRIPTION


def make_app(settings: Settings | None = None, **parts: Any) -> FastAPI:
    return create_app(settings or Settings(), [router], subscription=SUBSCRIPTION, **parts)

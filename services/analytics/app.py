"""The application of analytics."""

from typing import Any

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession

from libs.common.data.db import Database
from libs.common.files.media import media_router
from libs.common.files.storage import Storage
from libs.common.security.tokens import Principal
from libs.common.service.app import create_app
from services.analytics.dictionary import dictionary
from services.analytics.exports.routes import may_read as may_read_export
from services.analytics.exports.routes import router as exports
from services.analytics.jobs import router as jobs
from services.analytics.query.routes import router as queries
from services.analytics.rebuilds.routes import router as rebuilds
from services.analytics.reports.access import may_read as may_read_report
from services.analytics.reports.routes import router as reports
from services.analytics.routes import router
from services.analytics.settings import Settings
from services.analytics.worker import SUBSCRIPTION

# It answers a lot and changes nothing: its answers are not kept for an Idempotency-Key.
READS = ("/api/analytics/query/",)


async def may_read(session: AsyncSession, who: Principal | None, of: str, path: str) -> bool:
    """Whether a file of an export or a report is still for whoever has a link to it."""
    right = may_read_report if of.startswith("report:") else may_read_export
    return await right(session, who, of, path)


def make_app(settings: Settings | None = None, **parts: Any) -> FastAPI:
    """Raises DictionaryError when metrics.yml says what cannot be."""
    assert dictionary()
    settings = settings or Settings()
    routers = [router, queries, exports, reports, jobs, rebuilds, media_router(settings.service, may_read)]
    app = create_app(settings, routers, subscription=SUBSCRIPTION, exempt=READS, **parts)
    app.state.storage = Storage(settings)
    own = settings.model_copy(update={"database_pool": settings.query_pool})
    app.state.queries = Database(own, app.state.db.queue)
    app.state.closers.append(app.state.queries.close)
    return app

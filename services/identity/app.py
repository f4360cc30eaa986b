"""The application of identity."""

from datetime import datetime
from typing import Any

from fastapi import FastAPI

from libs.common.files.media import media_router
from libs.common.files.storage import Storage
from libs.common.security.tokens import KeySet
from libs.common.service.app import create_app
from services.identity.avatars.pictures import Pictures
from services.identity.crypto import Crypto
from services.identity.keys import KeyRing
from services.identity.passwords import Passwords
from services.identity.privacy.queries import may_read
from services.identity.privacy.routes import ROUTERS as PRIVACY_ROUTERS
from services.identity.routes import EXEMPT, ROUTERS
from services.identity.sessions import Identity
from services.identity.settings import Settings
from services.identity.worker import SUBSCRIPTION


def make_app(settings: Settings | None = None, keys: KeySet | None = None, **parts: Any) -> FastAPI:
    """Identity signs and verifies with keys of its own database."""
    settings = settings or Settings()
    own = keys or KeySet(jwks={"keys": []})
    app = create_app(
        settings,
        [*ROUTERS, *PRIVACY_ROUTERS, media_router(settings.service, may_read)],
        subscription=SUBSCRIPTION,
        keys=own,
        exempt=EXEMPT,
        **parts,
    )
    crypto = Crypto(settings.secret)

    def clock() -> datetime:
        now: datetime = app.state.clock()
        return now

    ring = KeyRing(app.state.db, crypto, own, clock)
    passwords, pictures = Passwords(settings.hash_workers), Pictures(settings.picture_workers)
    app.state.storage = Storage(settings)
    app.state.identity = Identity(settings, crypto, ring, passwords, app.state.storage, pictures, clock)
    app.state.background.append(ring.run)
    app.state.closers += [passwords.close, pictures.close]
    return app

"""The application of identity."""

from typing import Any

from fastapi import FastAPI

from libs.common.app import create_app
from libs.common.tokens import KeySet
from services.identity.keys import KeyRing
from services.identity.passwords import Passwords
from services.identity.routes import router, well_known
from services.identity.secrets_at_rest import Vault
from services.identity.sessions import Identity
from services.identity.settings import Settings


def make_app(settings: Settings | None = None, keys: KeySet | None = None, **parts: Any) -> FastAPI:
    """Identity signs and verifies with keys of its own database."""
    settings = settings or Settings()
    own = keys or KeySet(jwks={"keys": []})
    app = create_app(
        settings,
        [router, well_known],
        keys=own,
        exempt=["/api/accounts/refresh", "/api/accounts/l", "/api/accounts/change-password"],
        **parts,
    )
    vault = Vault(settings.secret)
    ring = KeyRing(app.state.db, vault, own)
    passwords = Passwords(settings.hash_workers)
    app.state.identity = Identity(settings, vault, ring, passwords)
    app.state.background.append(ring.run)
    app.state.closers.append(passwords.close)
    return app

"""What identity derives from the suite's secret: HMACs of codes, refresh tokens, encryption of keys."""

import base64
import hashlib
import hmac
import secrets
from uuid import UUID

from cryptography.fernet import Fernet
from pydantic import SecretStr


class Crypto:
    """Purpose-bound keys of one secret."""

    def __init__(self, secret: SecretStr) -> None:
        self._secret = secret.get_secret_value().encode()
        self._fernet = Fernet(base64.urlsafe_b64encode(self._mac(b"encryption")))

    def _mac(self, *parts: bytes) -> bytes:
        return hmac.new(self._secret, b"\0".join(parts), hashlib.sha256).digest()

    def code_hmac(self, mail: UUID, purpose: str, email: str, code: str) -> bytes:
        """Bound to this mail, its purpose and its address."""
        return self._mac(b"code", mail.bytes, purpose.encode(), email.lower().encode(), code.encode())

    def account_hmac(self, account: str) -> bytes:
        """What failed tries are counted under: an address, or a user's id."""
        return self._mac(b"account", account.lower().encode())

    def recovery_hmac(self, user: UUID, code: str) -> bytes:
        return self._mac(b"recovery", user.bytes, code.encode())

    def successor(self, salt: bytes, token: str) -> str:
        """The refresh token that follows `token`: always the same one, known to nobody without the secret."""
        return base64.urlsafe_b64encode(self._mac(b"refresh", salt, token.encode())).decode().rstrip("=")

    def encrypt(self, data: bytes) -> bytes:
        return self._fernet.encrypt(data)

    def decrypt(self, data: bytes) -> bytes:
        return self._fernet.decrypt(data)


def new_refresh_token() -> str:
    """Opaque, 256 bits."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def new_code() -> str:
    """Six digits."""
    return f"{secrets.randbelow(1_000_000):06d}"

"""Access tokens: the only module that touches python-jose.

The library is permissive by default (a token without `exp` or `aud` passes, every key of a set is tried,
`kid`, `typ` and `crit` are ignored, an empty HMAC key verifies), so only its keys and its signing are used.
Every decision about a token is taken here; `tests/test_tokens.py` shows each unsafe default beside ours.
"""

import asyncio
import base64
import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Self
from uuid import UUID

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jose import jws
from jose.backends.cryptography_backend import CryptographyECKey

from libs.common.runtime.clock import Clock, system_clock
from libs.common.runtime.logs import get_logger
from libs.common.runtime.roles import ROLES, rank

log = get_logger(__name__)

"""From least to most."""

ALGORITHM = "ES256"
TOKEN_TYPE = "at+jwt"
LIFETIME = 600
"""Seconds that a token lives at most. A longer one is refused: revocations are remembered only this long."""
LEEWAY = 5
"""Seconds by which clocks may differ: added to `exp`, allowed for `iat` and `nbf`."""
MOST_BYTES = 8192
CACHE_SECONDS = 60.0
CACHE_ENTRIES = 20_000
REFRESH_SECONDS = 180.0
REFETCH_SECONDS = 30.0
_SEGMENT = re.compile(r"[A-Za-z0-9_-]+\Z")


class InvalidToken(Exception):
    """The token is refused. `reason` is a stable code for logs and tests; the token is never repeated."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a verified token speaks for."""

    user: UUID
    session: UUID
    role: str
    version: int
    expires_at: int
    token_id: str | None = None

    def at_least(self, role: str) -> bool:
        return rank(self.role) >= rank(role)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(segment: str) -> bytes:
    """Strict base64url: no padding, no foreign characters, no second spelling of the same bytes."""
    if not _SEGMENT.match(segment) or len(segment) % 4 == 1:
        raise InvalidToken("malformed")
    data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    if _encode(data) != segment:
        raise InvalidToken("malformed")
    return data


def _object(data: bytes) -> dict[str, Any]:
    """A JSON object in which no member occurs twice, at any depth."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            raise InvalidToken("duplicate_member")
        return members

    def no_constant(_: str) -> NoReturn:
        raise InvalidToken("malformed")

    try:
        value = json.loads(data.decode(), object_pairs_hook=unique, parse_constant=no_constant)
    except (ValueError, RecursionError):
        raise InvalidToken("malformed") from None
    if not isinstance(value, dict):
        raise InvalidToken("malformed")
    return value


def thumbprint(jwk: Mapping[str, str]) -> str:
    """RFC 7638: the same key has the same `kid` wherever it is computed."""
    members = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
    return _encode(
        hashlib.sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).digest()
    )


class SigningKey:
    """A private ES256 key; `kid` is its RFC 7638 thumbprint."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        if not isinstance(private.curve, ec.SECP256R1):
            raise ValueError("an ES256 key lies on P-256")
        self._private = private
        self._key = CryptographyECKey(private, ALGORITHM)
        public = CryptographyECKey(private.public_key(), ALGORITHM).to_dict()
        self.kid = thumbprint(public)
        self._public = {**public, "use": "sig", "kid": self.kid}

    @classmethod
    def generate(cls) -> Self:
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_pem(cls, pem: str) -> Self:
        private = serialization.load_pem_private_key(pem.encode(), None)
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise ValueError("not an elliptic curve key")
        return cls(private)

    def private_pem(self) -> str:
        """PKCS 8, not encrypted: whoever stores it encrypts it."""
        return self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    def public_jwk(self) -> dict[str, str]:
        return dict(self._public)

    def sign(self, claims: Mapping[str, Any], headers: Mapping[str, Any] | None = None) -> str:
        """Claims as they are, under this key; `headers` replaces the ordinary ones (tests forge with it)."""
        ordinary = {"typ": TOKEN_TYPE, "kid": self.kid}
        return str(jws.sign(dict(claims), self._key, dict(headers or ordinary), ALGORITHM))


def sign(claims: Mapping[str, Any], key: SigningKey) -> str:
    return key.sign(claims)


def mint(
    key: SigningKey,
    *,
    issuer: str,
    audience: str,
    user: UUID,
    session: UUID,
    role: str,
    version: int,
    clock: Clock = system_clock,
    lifetime: int = LIFETIME,
) -> str:
    """An access token as `TokenVerifier` wants it."""
    now = int(clock().timestamp())
    claims = {
        "iss": issuer, "aud": audience, "sub": str(user), "sid": str(session), "ver": version, "role": role,
        "iat": now, "exp": now + lifetime, "jti": secrets.token_hex(16),
    }  # fmt: skip
    return sign(claims, key)


def parse_jwks(document: Mapping[str, Any]) -> dict[str, CryptographyECKey]:
    """Keys by `kid`. What is not a public ES256 signing key with a `kid` is left out, not an error."""
    keys: dict[str, CryptographyECKey] = {}
    entries = document.get("keys")
    for jwk in entries if isinstance(entries, list) else []:
        if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str) or "d" in jwk:
            continue
        if (jwk.get("kty"), jwk.get("crv")) != ("EC", "P-256"):
            continue
        if jwk.get("alg", ALGORITHM) != ALGORITHM or jwk.get("use", "sig") != "sig":
            continue
        try:
            keys[jwk["kid"]] = CryptographyECKey(jwk, ALGORITHM)
        except Exception:  # the library lets many kinds of error out of a malformed key
            log.warning("jwk_unusable", kid=jwk["kid"])
    return keys


class KeySet:
    """Public keys by exact `kid`, kept fresh from a JWKS URL by a background task.

    When identity is down the known keys stay. An unknown `kid` causes at most one fetch per 30 s.
    """

    def __init__(self, url: str | None = None, jwks: Mapping[str, Any] | None = None) -> None:
        self._url = url
        self._keys = parse_jwks(jwks) if jwks is not None else {}
        self._last_fetch = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self._fetching: asyncio.Task[bool] | None = None
        self._loaded = asyncio.Event()
        self.on_change: list[Callable[[], None]] = []

    @classmethod
    def static(cls, keys: Iterable[SigningKey | Mapping[str, Any]]) -> Self:
        """For identity itself and for tests: the keys are given, nothing is fetched."""
        jwks = [key.public_jwk() if isinstance(key, SigningKey) else dict(key) for key in keys]
        return cls(jwks={"keys": jwks})

    @property
    def ready(self) -> bool:
        return bool(self._keys)

    def get(self, kid: str) -> CryptographyECKey | None:
        return self._keys.get(kid)

    def replace(self, jwks: Mapping[str, Any]) -> None:
        """Take over a whole set: a key that is gone from it no longer verifies anything."""
        keys = parse_jwks(jwks)
        # An unchanged key keeps its parsed object.
        self._keys = {kid: self._keys.get(kid, key) for kid, key in keys.items()}
        for callback in self.on_change:
            callback()

    def start(self) -> None:
        if self._url is not None and self._task is None:
            self._task = asyncio.create_task(self._keep_fresh(), name="jwks")

    async def stop(self) -> None:
        for task in (self._task, self._fetching):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._task = self._fetching = None

    async def wait_ready(self, timeout: float) -> bool:
        """Whether the first keys came within `timeout` seconds."""
        if self.ready:
            return True
        try:
            await asyncio.wait_for(self._loaded.wait(), timeout)
        except TimeoutError:
            return False
        return True

    async def refetch(self) -> bool:
        """Fetch now, because a `kid` is unknown; False when that was done less than 30 s ago, or failed.

        Requests that come together share one fetch, and one that is given up does not take it away."""
        if self._fetching is not None and not self._fetching.done():
            return await asyncio.shield(self._fetching)
        if self._url is None or time.monotonic() - self._last_fetch < REFETCH_SECONDS:
            return False
        self._fetching = asyncio.create_task(self._fetch(), name="jwks-refetch")
        return await asyncio.shield(self._fetching)

    async def _fetch(self) -> bool:
        assert self._url is not None
        self._last_fetch = time.monotonic()
        try:
            async with httpx.AsyncClient(timeout=2.0, trust_env=False) as client:
                response = await client.get(self._url)
                response.raise_for_status()
                document = response.json()
            if not isinstance(document, dict) or not parse_jwks(document):
                raise ValueError("no usable key in the set")
        except (httpx.HTTPError, ValueError, RecursionError) as error:
            log.warning("jwks_fetch_failed", error=repr(error), known=len(self._keys))
            return False
        self.replace(document)
        self._loaded.set()
        return True

    async def _keep_fresh(self) -> None:
        pause = 0.2
        while True:
            try:
                fetched = await self._fetch()
            except Exception as error:  # the task must outlive whatever a fetch can throw
                log.error("jwks_fetch_broken", exc_info=error)
                fetched = False
            if fetched:
                pause = 0.2
                await asyncio.sleep(REFRESH_SECONDS * (0.9 + secrets.randbelow(200) / 1000))
            else:
                await asyncio.sleep(pause)
                pause = min(pause * 2, 30.0 if self._keys else 2.0)


class TokenVerifier:
    """Verifies ES256 access tokens of one issuer for one audience. Raises `InvalidToken`, nothing else.

    A verified token is remembered for the shorter of a minute and its own life, under its SHA-256: revocation
    is asked separately, for every request.
    """

    def __init__(self, issuer: str, audience: str, keys: KeySet, clock: Clock = system_clock) -> None:
        self._issuer = issuer
        self._audience = audience
        self.keys = keys
        self._now: Callable[[], float] = time.time if clock is system_clock else lambda: clock().timestamp()
        self._cache: dict[bytes, tuple[float, Principal]] = {}
        keys.on_change.append(self._cache.clear)  # a withdrawn key must not live on in the cache

    def verify(self, token: str | bytes) -> Principal:
        data = token.encode("utf-8", "replace") if isinstance(token, str) else token
        if len(data) > MOST_BYTES:
            raise InvalidToken("too_long")
        digest = hashlib.sha256(data).digest()
        now = self._now()
        known = self._cache.get(digest)
        if known is not None and now < known[0]:
            return known[1]
        principal = self._verify(data, now)
        if len(self._cache) >= CACHE_ENTRIES:
            self._cache.clear()
        self._cache[digest] = (min(now + CACHE_SECONDS, principal.expires_at + LEEWAY), principal)
        return principal

    async def verify_fetching(self, token: str | bytes) -> Principal:
        """As `verify`, but an unknown `kid` first fetches the key set once (at most every 30 s)."""
        try:
            return self.verify(token)
        except InvalidToken as refused:
            if refused.reason != "unknown_key" or not await self.keys.refetch():
                raise
        return self.verify(token)

    def _verify(self, data: bytes, now: float) -> Principal:
        try:
            segments = data.decode("ascii").split(".")
        except UnicodeDecodeError:
            raise InvalidToken("malformed") from None
        if len(segments) != 3:
            raise InvalidToken("malformed")
        header_segment, claims_segment, signature_segment = segments
        header = _object(_decode(header_segment))
        if "crit" in header:
            raise InvalidToken("crit")
        if header.get("alg") != ALGORITHM:
            raise InvalidToken("algorithm")
        if header.get("typ") != TOKEN_TYPE:
            raise InvalidToken("type")
        kid = header.get("kid")
        if not isinstance(kid, str):
            raise InvalidToken("key_id_missing")
        key = self.keys.get(kid)
        if key is None:
            raise InvalidToken("unknown_key")
        payload, signature = _decode(claims_segment), _decode(signature_segment)
        if not key.verify(f"{header_segment}.{claims_segment}".encode(), signature):
            raise InvalidToken("signature")
        return self._principal(_object(payload), now)

    def _principal(self, claims: dict[str, Any], now: float) -> Principal:
        for name in ("exp", "iat", "iss", "aud", "sub", "sid", "ver", "role"):
            if name not in claims:
                raise InvalidToken(f"{name}_missing")
        if claims["iss"] != self._issuer:
            raise InvalidToken("issuer")
        if claims["aud"] != self._audience:  # a list of audiences is refused: the token is ours alone or not
            raise InvalidToken("audience")
        expires, issued, version = (_whole(claims[name]) for name in ("exp", "iat", "ver"))
        not_before = _whole(claims.get("nbf", issued))
        if expires + LEEWAY <= now:
            raise InvalidToken("expired")
        if max(issued, not_before) > now + LEEWAY:
            raise InvalidToken("not_yet_valid")
        if not 0 < expires - issued <= LIFETIME:
            raise InvalidToken("lifetime")
        if claims["role"] not in ROLES:
            raise InvalidToken("role")
        token_id = claims.get("jti")
        if token_id is not None and not isinstance(token_id, str):
            raise InvalidToken("claim_type")
        user, session = _uuid(claims["sub"]), _uuid(claims["sid"])
        return Principal(user, session, claims["role"], version, expires, token_id)


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise InvalidToken("claim_type")
    return value


def _uuid(value: Any) -> UUID:
    try:
        parsed = UUID(value)
    except (ValueError, TypeError, AttributeError):
        raise InvalidToken("claim_type") from None
    if str(parsed) != value:
        raise InvalidToken("claim_type")
    return parsed

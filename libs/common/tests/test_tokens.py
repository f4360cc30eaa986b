"""Every way in which a token may be wrong is an `InvalidToken`; nothing else ever comes out of `verify`.

Where python-jose's default is unsafe, the test first shows that the bare library accepts the token.
"""

import asyncio
import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jose import jwt

from libs.common.runtime.clock import SettableClock
from libs.common.security import tokens
from libs.common.security.tokens import (
    InvalidToken,
    KeySet,
    SigningKey,
    TokenVerifier,
    mint,
    parse_jwks,
    sign,
    thumbprint,
)

ISSUER, AUDIENCE = "lectern", "lectern-api"
KEY, OTHER = SigningKey.generate(), SigningKey.generate()
USER, SESSION = uuid4(), uuid4()
CLOCK = SettableClock()


@pytest.fixture(autouse=True)
def at_the_present():
    """python-jose looks at the machine's clock: what is minted here is valid there in a long run, too."""
    CLOCK.now = datetime.now(UTC)


def verifier(*keys: SigningKey, clock=CLOCK) -> TokenVerifier:
    return TokenVerifier(ISSUER, AUDIENCE, KeySet.static(keys or (KEY,)), clock)


def claims(**changed) -> dict:
    now = int(CLOCK().timestamp())
    whole = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": str(USER), "sid": str(SESSION), "ver": 3, "role": "teacher",
        "iat": now, "exp": now + 600, "jti": "t1",
    }  # fmt: skip
    whole.update(changed)
    return {name: value for name, value in whole.items() if value is not ...}


def segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(header: bytes | dict, payload: bytes | dict, key: SigningKey = KEY) -> str:
    """Signed with a real key over bytes that `sign` would never produce."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    text = f"{segment(parts[0])}.{segment(parts[1])}"
    return f"{text}.{segment(key._key.sign(text.encode()))}"


def hmac_token(secret: bytes, **header) -> str:
    whole = {"alg": "HS256", "typ": "at+jwt", "kid": KEY.kid, **header}
    text = f"{segment(json.dumps(whole).encode())}.{segment(json.dumps(claims()).encode())}"
    return f"{text}.{segment(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def refused(token: str | bytes, *keys: SigningKey) -> str:
    with pytest.raises(InvalidToken) as caught:
        verifier(*keys).verify(token)
    text = token.decode("latin-1") if isinstance(token, bytes) else token
    assert len(text) < 20 or text not in str(caught.value)
    return caught.value.reason


def accepted_by_bare_jose(token: str, key=None, **options) -> bool:
    return bool(jwt.decode(token, key or KEY.public_jwk(), audience=AUDIENCE, issuer=ISSUER, **options))


HEADER = {"alg": "ES256", "typ": "at+jwt", "kid": KEY.kid}


def test_a_minted_token_says_who_speaks():
    token = mint(
        KEY,
        issuer=ISSUER,
        audience=AUDIENCE,
        user=USER,
        session=SESSION,
        role="teacher",
        version=3,
        clock=CLOCK,
    )
    principal = verifier().verify(token)
    assert (principal.user, principal.session, principal.role, principal.version) == (
        USER,
        SESSION,
        "teacher",
        3,
    )
    assert principal.expires_at == int(CLOCK().timestamp()) + 600
    assert principal.token_id
    assert principal.at_least("student")
    assert not principal.at_least("moderator")


@pytest.mark.promise("tokens")
def test_without_exp_is_refused_though_jose_accepts_it():
    token = sign(claims(exp=...), KEY)
    assert accepted_by_bare_jose(token)
    assert refused(token) == "exp_missing"


@pytest.mark.promise("tokens")
def test_without_aud_is_refused_though_jose_accepts_it():
    token = sign(claims(aud=...), KEY)
    assert accepted_by_bare_jose(token)
    assert refused(token) == "aud_missing"


@pytest.mark.parametrize("name", ["iss", "sub", "iat"])
def test_without_iss_sub_or_iat_is_refused(name):
    token = sign(claims(**{name: ...}), KEY)
    if name != "iss":  # with `issuer=` given the library does look at a missing `iss`
        assert accepted_by_bare_jose(token)
    assert refused(token) == f"{name}_missing"


@pytest.mark.parametrize("name", ["sid", "ver", "role"])
def test_without_our_own_claims_is_refused(name):
    assert refused(sign(claims(**{name: ...}), KEY)) == f"{name}_missing"


def test_a_list_of_audiences_is_refused_though_jose_accepts_it():
    token = sign(claims(aud=["another-api", AUDIENCE]), KEY)
    assert accepted_by_bare_jose(token)
    assert refused(token) == "audience"


@pytest.mark.promise("tokens")
def test_the_wrong_type_is_refused_though_jose_accepts_it():
    token = KEY.sign(claims(), {"typ": "JWT", "kid": KEY.kid})
    assert accepted_by_bare_jose(token)
    assert refused(token) == "type"
    assert refused(forged({"alg": "ES256", "kid": KEY.kid}, claims())) == "type"


@pytest.mark.promise("tokens")
def test_crit_is_refused_though_jose_accepts_it():
    token = KEY.sign(claims(), {**HEADER, "crit": ["b64"], "b64": False})
    assert accepted_by_bare_jose(token)
    assert refused(token) == "crit"


@pytest.mark.promise("tokens")
def test_the_kid_of_another_key_is_refused_though_jose_tries_every_key():
    token = KEY.sign(claims(), {**HEADER, "kid": OTHER.kid})
    both = {"keys": [OTHER.public_jwk(), KEY.public_jwk()]}
    assert accepted_by_bare_jose(token, both)
    assert refused(token, KEY, OTHER) == "signature"


def test_a_missing_or_unknown_kid_is_refused_though_jose_ignores_it():
    for kid, reason in ((None, "key_id_missing"), (7, "key_id_missing"), ("unknown", "unknown_key")):
        token = KEY.sign(claims(), {**HEADER, "kid": kid})
        assert accepted_by_bare_jose(token)
        assert refused(token) == reason
    assert refused(forged({"alg": "ES256", "typ": "at+jwt"}, claims())) == "key_id_missing"


@pytest.mark.promise("tokens")
def test_an_empty_hmac_key_is_refused_though_jose_accepts_it():
    token = hmac_token(b"")
    assert jwt.decode(token, "", audience=AUDIENCE)
    assert refused(token) == "algorithm"


@pytest.mark.promise("tokens")
def test_the_public_key_as_hmac_secret_is_refused_though_jose_can_be_made_to_accept_it():
    # The library refuses a PEM as secret; the same key in DER is a secret like any other.
    public = tokens.CryptographyECKey(KEY.public_jwk(), "ES256")
    der = base64.b64decode(b"".join(public.to_pem().splitlines()[1:-1]))
    assert jwt.decode(hmac_token(der), der, audience=AUDIENCE)
    assert refused(hmac_token(der)) == "algorithm"
    assert refused(hmac_token(public.to_pem())) == "algorithm"


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "RS256", "ES384", "", None, ["ES256"], {}])
def test_any_other_algorithm_is_refused(algorithm):
    assert refused(forged({**HEADER, "alg": algorithm}, claims())) == "algorithm"
    unsigned = f"{segment(json.dumps({**HEADER, 'alg': algorithm}).encode())}.{segment(b'{}')}."
    assert refused(unsigned) in {"malformed", "algorithm"}


@pytest.mark.promise("tokens")
def test_a_duplicate_member_is_refused_though_jose_takes_the_last():
    twice = json.dumps(claims())[:-1].encode() + b',"role":"admin"}'
    token = forged(HEADER, twice)
    assert jwt.decode(token, KEY.public_jwk(), audience=AUDIENCE)["role"] == "admin"
    assert refused(token) == "duplicate_member"
    header = json.dumps(HEADER)[:-1].encode() + b',"alg":"ES256"}'
    assert refused(forged(header, claims())) == "duplicate_member"
    nested = json.dumps(claims())[:-1].encode() + b',"x":{"a":1,"a":2}}'
    assert refused(forged(HEADER, nested)) == "duplicate_member"


@pytest.mark.promise("tokens")
def test_a_token_above_8_kb_is_refused_though_jose_accepts_it():
    token = sign(claims(pad="x" * 8192), KEY)
    assert accepted_by_bare_jose(token)
    assert refused(token) == "too_long"


def test_a_token_that_outlives_the_memory_of_revocations_is_refused_though_jose_accepts_it():
    token = sign(claims(exp=claims()["iat"] + 601), KEY)
    assert accepted_by_bare_jose(token)
    assert refused(token) == "lifetime"
    assert refused(sign(claims(exp=claims()["iat"]), KEY)) == "lifetime"


def test_time_is_kept_with_a_leeway_of_five_seconds():
    clock = SettableClock(CLOCK.now)
    tester = verifier(clock=clock)
    token = sign(claims(), KEY)
    clock.advance(seconds=604)
    assert tester.verify(token)
    clock.advance(seconds=1)
    with pytest.raises(InvalidToken, match="expired"):
        tester.verify(token)
    now = claims()["iat"]
    assert verifier().verify(sign(claims(iat=now + 5), KEY))
    assert refused(sign(claims(iat=now + 7, exp=now + 60), KEY)) == "not_yet_valid"
    assert refused(sign(claims(nbf=now + 60), KEY)) == "not_yet_valid"
    assert refused(sign(claims(iat=now - 700, exp=now - 100), KEY)) == "expired"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("iss", "another", "issuer"), ("iss", [ISSUER], "issuer"), ("aud", "another", "audience"),
        ("aud", None, "audience"), ("role", "root", "role"), ("role", ["admin"], "role"),
        ("exp", "2000000000", "claim_type"), ("exp", 2e9, "claim_type"), ("exp", True, "claim_type"),
        ("exp", 10**400, "claim_type"), ("exp", None, "claim_type"), ("iat", -1, "claim_type"),
        ("ver", 1.5, "claim_type"), ("ver", True, "claim_type"), ("ver", "3", "claim_type"),
        ("sub", "someone", "claim_type"), ("sub", 7, "claim_type"), ("sub", [], "claim_type"),
        ("sub", f"urn:uuid:{USER}", "claim_type"), ("sid", USER.hex, "claim_type"),
        ("sid", str(SESSION).upper(), "claim_type"), ("nbf", "soon", "claim_type"), ("jti", 5, "claim_type"),
    ],
)  # fmt: skip
def test_a_claim_of_the_wrong_kind_is_refused(name, value, reason):
    if name in ("sid", "sub") and isinstance(value, str) and value == value.lower() == str(SESSION):
        pytest.skip("a UUID without letters has no second spelling")
    assert refused(sign(claims(**{name: value}), KEY)) == reason


def test_garbage_is_refused_and_never_anything_worse():
    good = sign(claims(), KEY)
    header, payload, signature = good.split(".")
    deep = segment(b"[" * 5000)
    for token in (
        "", ".", "..", "...", "a.b.c", "a.b", good + ".x", good + "=", good + "\n", " " + good, "\ud800.a.b",
        "ü.ü.ü", f"{header}.{payload}.", f"{header}.{payload}.AAAA", f".{payload}.{signature}",
        f"{segment(b'null')}.{payload}.{signature}", f"{segment(b'[]')}.{payload}.{signature}",
        f"{segment(b'{')}.{payload}.{signature}", f"{segment(bytes([255, 254]))}.{payload}.{signature}",
        f"{deep}.{payload}.{signature}", forged(HEADER, b"[" * 3000), forged(HEADER, b'{"exp": NaN}'),
        forged(HEADER, b'{"exp": 1' + b"0" * 5000 + b"}"), forged(HEADER, b"null"), forged(HEADER, b"\xff"),
    ):  # fmt: skip
        refused(token)
    refused(bytes(range(256)))
    refused(b"\xff.\xff.\xff")


def test_a_second_spelling_of_the_same_bytes_is_refused_though_jose_accepts_it():
    good = sign(claims(), KEY)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    respelled = good[:-1] + alphabet[alphabet.index(good[-1]) + 1]  # 64 bytes leave four unused bits
    assert accepted_by_bare_jose(respelled)
    assert refused(respelled) == "malformed"
    assert accepted_by_bare_jose(good + "==")
    assert refused(good + "==") == "malformed"


@pytest.mark.promise("tokens")
@given(
    st.one_of(st.text(), st.binary(max_size=300), st.from_regex(r"\A[\w-]{1,40}\.[\w-]{1,40}\.[\w-]{1,90}\Z"))
)
def test_no_input_causes_another_exception(token):
    refused(token)


STRANGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5), st.lists, max_leaves=5
)


@given(st.dictionaries(st.sampled_from([*claims(), "nbf", "x"]), STRANGE, max_size=10))
def test_no_claims_under_a_good_signature_cause_another_exception(strange):
    refused(forged(HEADER, json.dumps(strange).encode("utf-8", "replace")))


def test_a_changed_byte_anywhere_is_refused():
    good = sign(claims(), KEY)
    for position in range(0, len(good), 7):
        changed = good[:position] + ("A" if good[position] != "A" else "B") + good[position + 1 :]
        refused(changed)


def test_a_verified_token_is_remembered_only_briefly_and_never_beyond_its_key():
    clock = SettableClock(CLOCK.now)
    keys = KeySet.static([KEY])
    tester = TokenVerifier(ISSUER, AUDIENCE, keys, clock)
    token = sign(claims(), KEY)
    first = tester.verify(token)
    assert tester.verify(token.encode()) is first
    clock.advance(seconds=tokens.CACHE_SECONDS + 0.1)
    assert tester.verify(token) is not first
    keys.replace({"keys": [OTHER.public_jwk()]})
    with pytest.raises(InvalidToken, match="unknown_key"):
        tester.verify(token)


def test_the_memory_of_verified_tokens_is_bounded(monkeypatch):
    monkeypatch.setattr(tokens, "CACHE_ENTRIES", 5)
    tester = verifier()
    oldest = sign(claims(jti="oldest"), KEY)
    first = tester.verify(oldest)
    for number in range(4):
        tester.verify(sign(claims(jti=str(number)), KEY))
    assert tester.verify(oldest) is first
    for number in range(6):
        tester.verify(sign(claims(jti=f"later-{number}"), KEY))
    assert tester.verify(oldest) is not first


def test_a_signing_key_survives_its_pem_and_its_kid_is_the_rfc_7638_thumbprint():
    again = SigningKey.from_pem(KEY.private_pem())
    assert again.kid == KEY.kid == thumbprint(KEY.public_jwk())
    assert verifier().verify(sign(claims(), again))
    assert "d" not in KEY.public_jwk()
    jwk = {"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
           "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}  # fmt: skip
    assert thumbprint(jwk) == "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"


def test_unusable_keys_of_a_set_are_left_out():
    good = KEY.public_jwk()
    changes = (
        {"kid": None}, {"kid": "a", "use": "enc"}, {"kid": "b", "alg": "ES384"}, {"kid": "c", "x": "AAAA"},
        {"kid": "d", "crv": "P-384"}, {"kid": "e", "d": "AAAA"}, {"kid": "f", "kty": "oct"},
        {"kid": "g", "x": 5},
    )  # fmt: skip
    document = {"keys": [good, 7, {}, *({**good, **changed} for changed in changes)]}
    assert set(parse_jwks(document)) == {KEY.kid}
    assert parse_jwks({"keys": "x"}) == {}


class Identity:
    """A tiny JWKS server that tests take down and bring back."""

    def __init__(self) -> None:
        self.keys: list[SigningKey] = [KEY]
        self.broken = False
        self.fetches = 0

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/jwks.json"

    async def stop(self) -> None:
        self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.fetches += 1
        body = json.dumps({"keys": [key.public_jwk() for key in self.keys]}).encode()
        status = b"500 Broken" if self.broken else b"200 OK"
        writer.write(
            b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)
        )
        await writer.drain()
        writer.close()


@pytest.fixture
async def identity():
    server = Identity()
    server.url = await server.start()
    yield server
    await server.stop()


async def test_keys_are_fetched_in_the_background_with_retries(identity):
    identity.broken = True
    keys = KeySet(identity.url)
    keys.start()
    assert not await keys.wait_ready(0.05)
    identity.broken = False
    assert await keys.wait_ready(5)
    assert keys.get(KEY.kid)
    await keys.stop()


async def test_an_unknown_kid_fetches_once_in_30_seconds(identity, monkeypatch):
    keys = KeySet(identity.url)
    tester = TokenVerifier(ISSUER, AUDIENCE, keys, CLOCK)
    known, unknown = sign(claims(), KEY), sign(claims(), OTHER)
    principals = await asyncio.gather(*(tester.verify_fetching(known) for _ in range(20)))
    assert {principal.user for principal in principals} == {USER}
    assert identity.fetches == 1
    for _ in range(5):
        with pytest.raises(InvalidToken, match="unknown_key"):
            await tester.verify_fetching(unknown)
    assert identity.fetches == 1
    identity.keys = [KEY, OTHER]
    monkeypatch.setattr(tokens, "REFETCH_SECONDS", 0)
    assert (await tester.verify_fetching(unknown)).user == USER
    assert identity.fetches == 2
    await keys.stop()


async def test_known_keys_stay_while_identity_is_down(identity, monkeypatch):
    keys = KeySet(identity.url)
    tester = TokenVerifier(ISSUER, AUDIENCE, keys, CLOCK)
    assert await keys.refetch()
    identity.broken = True
    monkeypatch.setattr(tokens, "REFETCH_SECONDS", 0)
    assert not await keys.refetch()
    await identity.stop()
    assert not await keys.refetch()
    assert tester.verify(sign(claims(), KEY)).user == USER
    await keys.stop()


def test_ids_are_uuid_objects():
    assert isinstance(verifier().verify(sign(claims(), KEY)).user, UUID)

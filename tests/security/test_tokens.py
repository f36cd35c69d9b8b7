"""Tokens open what their claims say, and only those that the configured key has signed, as it signs."""

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from api.errors import Forbidden, Unauthenticated
from api.http.fetching import fetch
from api.security.gate import Gate, open_gate
from api.security.identity import Scope
from api.security.key_store import open_keys
from api.security.quotas import LocalQuotas
from api.security.token_keys import read_token_keys
from api.security.tokens import Tokens
from api.settings import load_settings

SECRET = "a-secret-that-is-shared-with-the-provider-of-identities-and-nobody-else-knows"
PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_PEM = PRIVATE.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
FAR = 4_000_000_000
CLAIMS = {
    "sub": "ada",
    "exp": FAR,
    "scope": "openid embedd:write",
    "iss": "https://id.example.org",
    "aud": "embedd",
}


def tokens(folder: Path, content: bytes) -> Tokens:
    path = folder / "key"
    path.write_bytes(content)
    return Tokens(read_token_keys(path), issuer="https://id.example.org", audience="embedd")


def signed(claims: dict[str, Any], **options: Any) -> str:
    return jwt.encode(claims, SECRET, algorithm="HS256", **options)


async def test_claims_are_scopes_collections_and_tags(tmp_path: Path) -> None:
    verifier = tokens(tmp_path, SECRET.encode())
    ada = await verifier.identity(signed(CLAIMS))
    assert ada is not None
    assert (ada.name, ada.scopes, ada.collections, ada.acl) == ("jwt:ada", Scope.WRITE.included(), None, None)
    limits = {"embedd_collections": ["open"], "embedd_acl": ["sea"]}
    limited = await verifier.identity(signed(CLAIMS | limits))
    assert limited is not None
    assert (limited.collections, limited.acl) == (frozenset({"open"}), ("sea",))
    assert limited.scopes == {Scope.READ}, "who has tags only reads"
    nobody = await verifier.identity(signed(CLAIMS | {"scope": "read write admin"}))
    assert nobody is not None
    assert nobody.scopes == frozenset()


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"exp": None},
        {"exp": "soon"},
        {"sub": None},
        {"sub": 7},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"nbf": FAR - 1},
        {"embedd_acl": "sea"},
        {"embedd_collections": [1]},
    ],
)
async def test_claims_that_are_missing_or_wrong_open_nothing(tmp_path: Path, changes: dict[str, Any]) -> None:
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not None}
    assert await tokens(tmp_path, SECRET.encode()).identity(signed(claims)) is None


async def test_a_public_key_takes_what_its_private_one_signed_and_is_no_secret_itself(tmp_path: Path) -> None:
    verifier = tokens(tmp_path, PUBLIC_PEM)
    assert await verifier.identity(jwt.encode(CLAIMS, PRIVATE, algorithm="RS256")) is not None
    head, body, _ = signed(CLAIMS).split(".")
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    forged = jwt.utils.base64url_encode(mac.sign(f"{head}.{body}".encode(), PUBLIC_PEM)).decode()
    assert await verifier.identity(f"{head}.{body}.{forged}") is None
    assert await verifier.identity(jwt.encode(CLAIMS, "", algorithm="none")) is None


async def test_a_set_of_keys_is_asked_by_the_name_of_the_key(tmp_path: Path) -> None:
    key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(PRIVATE.public_key())) | {
        "kid": "one",
        "alg": "RS256",
    }
    verifier = tokens(tmp_path, json.dumps({"keys": [key]}).encode())
    good = jwt.encode(CLAIMS, PRIVATE, algorithm="RS256", headers={"kid": "one"})
    assert await verifier.identity(good) is not None
    for header in ({"kid": "two"}, {}):
        assert await verifier.identity(jwt.encode(CLAIMS, PRIVATE, algorithm="RS256", headers=header)) is None


@pytest.mark.parametrize("token", ["..", "a.b.c", "é.é.é", signed(CLAIMS)[:-2], "x" * 5000 + ".."])
async def test_what_is_no_token_opens_nothing(tmp_path: Path, token: str) -> None:
    assert await tokens(tmp_path, SECRET.encode()).identity(token) is None


@pytest.mark.parametrize("content", [b"", b"short", b"{}", b"{", b"-----BEGIN PUBLIC KEY-----\nx\n"])
def test_a_file_that_holds_no_key_stops_the_start(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(OSError, match="jwt_key_file"):
        tokens(tmp_path, content)


async def test_the_gate_takes_tokens_beside_keys(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(SECRET)
    (tmp_path / "data").mkdir()
    settings = load_settings({"data": tmp_path / "data", "jwt_key_file": tmp_path / "key"})
    async with open_keys(settings.data) as keys, open_gate(settings, keys, LocalQuotas(), fetch) as gate:
        await check_gate(gate)


async def check_gate(gate: Gate) -> None:
    assert not gate.is_open
    claims = {name: value for name, value in CLAIMS.items() if name != "aud"}
    ada = await gate.identify(signed(claims))
    gate.check(ada, Scope.WRITE)
    gate.check_still_valid(ada)
    with pytest.raises(Forbidden):
        gate.check(ada, Scope.ADMIN)
    with pytest.raises(Unauthenticated):
        await gate.identify("a.b.c")

"""sign_request, verified by somebody else's RFC 9421 and by a gateway."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import socket
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from http_message_signatures import HTTPMessageVerifier, InvalidSignature, MappingKeyResolver, VerifyResult, algorithms

from loopback import serving
from sealwire import Identity, Malformed, Misuse, TooLarge, sign_request
from sealwire.asgi import SealwireMiddleware, Verify, sender

URL = "https://api.example.com/notes/17?a=%20b&c"
FIELDS = [("content-type", "application/vnd.sealwire"), ("authorization", "Bearer x"), ("if-match", '"1"'), ("x-other", "y")]
ALWAYS = ['"@method"', '"@authority"', '"@path"', '"@query"']


@dataclass(frozen=True)
class Request:
    method: str
    url: str
    fields: tuple[tuple[str, str], ...]

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.fields)


def signed(identity: Identity, method: str = "PUT", url: str = URL, **options: Any) -> Request:
    return Request(method, url, tuple(sign_request(method, url, identity, **options)))


def key_id_of(identity: Identity) -> str:
    """RFC 7638 over RFC 8037."""
    x = base64.urlsafe_b64encode(bytes.fromhex(identity.signer)).rstrip(b"=").decode()
    thumbprint = hashlib.sha256(json.dumps({"crv": "Ed25519", "kty": "OKP", "x": x}, separators=(",", ":")).encode())
    return base64.urlsafe_b64encode(thumbprint.digest()).rstrip(b"=").decode()


def verified(request: Request, identity: Identity, body: bytes = b"") -> VerifyResult:
    keys = {key_id_of(identity): Ed25519PublicKey.from_public_bytes(bytes.fromhex(identity.signer))}
    verifier = HTTPMessageVerifier(
        signature_algorithm=algorithms.ED25519, key_resolver=MappingKeyResolver(public_keys=keys, private_keys={})
    )
    result, *others = verifier.verify(request, expect_tag="sealwire-origin-v1", max_age=datetime.timedelta(minutes=5), body=body)
    assert others == []
    return result


def covered(result: VerifyResult) -> list[str]:
    return [name for name in result.covered_components if name != '"@signature-params"']


def test_another_implementation_verifies_it(device: Identity) -> None:
    request = signed(device, fields=FIELDS, body=b"sealed", cover=["If-Match"])
    result = verified(request, device, b"sealed")
    assert result.body == b"sealed"
    assert covered(result) == [*ALWAYS, '"content-type"', '"content-digest"', '"authorization"', '"if-match"']
    assert result.covered_components['"@query"'] == "?a=%20b&c"
    assert result.parameters["keyid"] == device.signer.key_id == key_id_of(device)
    assert result.parameters["alg"] == "ed25519"
    # What was given comes first, as it was given.
    assert list(request.fields[: len(FIELDS)]) == FIELDS
    assert [name for name, _ in request.fields[len(FIELDS) :]] == ["content-digest", "signature-input", "signature"]
    # Each has a nonce of its own.
    assert verified(signed(device), device).nonce != verified(signed(device), device).nonce


def test_without_a_body(device: Identity) -> None:
    request = signed(device, "GET")
    assert covered(verified(request, device)) == ALWAYS
    assert [name for name, _ in request.fields] == ["signature-input", "signature"]


@pytest.mark.parametrize(
    ("url", "authority", "path", "query"),
    [
        ("https://api.example.com", "api.example.com", "/", "?"),
        ("https://api.example.com/?", "api.example.com", "/", "?"),
        ("https://api.example.com/a%2Fb//c#part?x", "api.example.com", "/a%2Fb//c", "?"),
        ("https://api.example.com/a?#part", "api.example.com", "/a", "?"),
        ("https://api.example.com/a?b?c", "api.example.com", "/a", "?b?c"),
        ("https://api.example.com:8443/a", "api.example.com:8443", "/a", "?"),
        ("http://127.0.0.1:8080/a", "127.0.0.1:8080", "/a", "?"),
    ],
)
def test_what_of_a_url_is_covered(device: Identity, url: str, authority: str, path: str, query: str) -> None:
    signature = signed(device, "GET", url)
    # The other implementation takes no fragment, which is not sent either.
    result = verified(replace(signature, url=url.partition("#")[0]), device)
    assert [result.covered_components[name] for name in ALWAYS] == ["GET", authority, path, query]


def test_what_was_changed_is_refused(device: Identity, stranger: Identity) -> None:
    request = signed(device, fields=FIELDS, body=b"sealed")

    def changed(name: str, value: str) -> Request:
        return replace(request, fields=tuple((at, value if at == name else was) for at, was in request.fields))

    bad = [
        (replace(request, method="POST"), b"sealed"),
        (replace(request, url=URL.replace("17", "18")), b"sealed"),
        (replace(request, url=URL.replace("api", "other")), b"sealed"),
        (replace(request, url=URL.replace("%20", "+")), b"sealed"),
        (changed("authorization", "Bearer y"), b"sealed"),
        (changed("content-type", "text/plain"), b"sealed"),
        (request, b"other!"),
        (signed(stranger, fields=FIELDS, body=b"sealed"), b"sealed"),
        (signed(device, now=1_700_000_000), b""),
    ]
    for one, body in bad:
        with pytest.raises(InvalidSignature):
            verified(one, device, body)
    assert verified(changed("x-other", "z"), device, b"sealed").body == b"sealed"


def test_a_gateway_lets_it_in_once(device: Identity, stranger: Identity) -> None:
    seen: list[tuple[str | None, bytes]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        seen.append((sender(scope), message["body"]))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    origin = f"http://127.0.0.1:{port}"
    gateway = SealwireMiddleware(app, origin=origin, verify=Verify([device.signer], require=["if-match"]))

    async def without_lifespan(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await gateway(scope, receive, send)

    url = f"{origin}/notes/17?a=%20b"
    with serving(without_lifespan, port), httpx.Client() as calls:

        def status(fields: list[tuple[str, str]], body: bytes = b"sealed", at: str = url) -> int:
            return calls.put(at, content=body, headers=fields).status_code

        good = sign_request("PUT", url, device, fields=FIELDS, body=b"sealed", cover=["if-match"])
        assert status(good, b"other!") == 401
        assert status(good, at=f"{origin}/notes/18?a=%20b") == 401
        assert seen == []
        assert status(good) == 204
        assert seen == [(device.signer, b"sealed")]
        assert status(good) == 401
        assert status(sign_request("PUT", url, device, fields=FIELDS, body=b"sealed")) == 401
        assert status(sign_request("PUT", url, stranger, fields=FIELDS, body=b"sealed", cover=["if-match"])) == 401
        old = sign_request("PUT", url, device, fields=FIELDS, body=b"sealed", cover=["if-match"], now=1_700_000_000)
        assert status(old) == 401
    assert len(seen) == 1


def test_what_cannot_be_signed(device: Identity) -> None:
    closed = Identity.generate()
    closed.close()
    twice = [("authorization", "a"), ("authorization", "b")]
    bad: list[tuple[type[Exception], str, str, Identity, dict[str, Any]]] = [
        (Misuse, "GET", URL, closed, {}),
        (Malformed, "GET", "/notes/17", device, {}),
        (Malformed, "GET", "ftp://api.example.com/notes/17", device, {}),
        (Malformed, "GET", "https://me:secret@api.example.com/notes/17", device, {}),
        (Malformed, "GET", "https://api.example.com/a/../b", device, {}),
        (Malformed, "G T", URL, device, {}),
        (Malformed, "GET", URL, device, {"fields": twice}),
        (Malformed, "GET", URL, device, {"fields": [("x", "a\nb")]}),
        (Misuse, "GET", URL, device, {"cover": ["signature"]}),
        (Misuse, "GET", URL, device, {"now": 1 << 62}),
        (TooLarge, "GET", URL, device, {"fields": [(f"x-{at}", "1") for at in range(40)], "cover": [f"x-{at}" for at in range(40)]}),
    ]
    for error, method, url, identity, options in bad:
        with pytest.raises(error):
            sign_request(method, url, identity, **options)

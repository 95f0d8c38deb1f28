"""Against the Rust layer and the Rust client, whose program SEALWIRE_PEER names."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests

from loopback import Service
from sealwire import Identity, Policy, Rule, SealedResource, Unsealed, sign_request
from sealwire.httpx import SealedTransport, sealed_info
from sealwire.requests import SealedAdapter

PEER = os.environ.get("SEALWIRE_PEER", "")
if not PEER:
    pytest.skip("SEALWIRE_PEER is not set: bindings/python/build sets it", allow_module_level=True)


@pytest.fixture(scope="module")
def rust(device: Identity) -> Iterator[dict[str, str]]:
    with subprocess.Popen([PEER, "serve", device.signer], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as serving:
        assert serving.stdout is not None and serving.stdin is not None
        yield json.loads(serving.stdout.readline())
        serving.stdin.close()
        serving.wait(10)


def policy(rust: dict[str, str], **rule: Any) -> Policy:
    return Policy([Rule(rust["origin"], "/{rest..}", **rule)], {rust["origin"]: rust["pin"]})


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("sign", [False, True])
def test_httpx_calls_rust(rust: dict[str, str], device: Identity, streamed: bool, sign: bool) -> None:
    transport = SealedTransport(policy(rust, exchange=True, streamed=streamed, sign=sign), identity=device)
    with httpx.Client(transport=transport) as calls:
        for method, body in (("GET", b""), ("POST", b"hello"), ("PUT", b"x" * 100_000), ("DELETE", b"")):
            answer = calls.request(method, f"{rust['origin']}/notes/1?a=b%20c", content=body or None)
            assert answer.status_code == 200
            assert answer.text.startswith(method) and "/notes/1?a=b%20c" in answer.text and answer.content.endswith(body)
        assert calls.get(f"{rust['origin']}/status/404").status_code == 404
        if streamed and not sign:
            with calls.stream("GET", f"{rust['origin']}/events") as answer:
                assert answer.read().count(b"data:") == 2
            upload = calls.post(f"{rust['origin']}/upload", content=iter([bytes(50_000)] * 20))
            assert upload.status_code == 200


def test_requests_calls_rust(rust: dict[str, str], device: Identity) -> None:
    with requests.Session() as calls:
        calls.mount("http://", SealedAdapter(policy(rust, exchange=True, sign=True), identity=device))
        answer = calls.post(f"{rust['origin']}/notes/1", b"hello")
        assert answer.text.startswith("POST") and answer.text.endswith("hello")


def test_rust_stores_what_python_seals(rust: dict[str, str], device: Identity, stranger: Identity) -> None:
    resource = SealedResource("store", "id", [device.recipient], [device.signer])
    rules = Policy([Rule(rust["origin"], "/store/{id}", seal=resource, sign=True)])
    with httpx.Client(transport=SealedTransport(rules, identity=device)) as calls:
        assert calls.put(f"{rust['origin']}/store/1", content=b"for me").is_success
        answer = calls.get(f"{rust['origin']}/store/1")
        assert answer.content == b"for me" and sealed_info(answer).signer == device.signer
    with httpx.Client(transport=SealedTransport(rules, identity=stranger)) as other, pytest.raises(Unsealed):
        other.get(f"{rust['origin']}/store/1")


def test_rust_verifies_what_python_signs(rust: dict[str, str], device: Identity, stranger: Identity) -> None:
    url = f"{rust['origin']}/store/signed?a=%20b"
    kind = [("content-type", "application/vnd.sealwire")]

    def put(identity: Identity, body: bytes = b"sealed") -> int:
        return httpx.put(url, content=body, headers=sign_request("PUT", url, identity, fields=kind, body=b"sealed")).status_code

    assert put(device, b"other!") == put(stranger) == 401
    assert put(device) in (200, 201, 204)
    answer = httpx.get(url, headers=sign_request("GET", url, device))
    assert answer.content == b"sealed"


def test_rust_calls_asgi(device: Identity) -> None:
    with Service(device, unsigned=["/{rest..}"]).running() as service:

        def call(*arguments: str, pin: str = service.pin) -> dict[str, Any]:
            done = subprocess.run([PEER, "call", service.origin, pin, *arguments], capture_output=True, check=True, timeout=30)
            said: dict[str, Any] = json.loads(done.stdout)
            return said

        assert call("GET", "/echo?a=b%20c") == {"status": 200, "body": "GET /echo?a=b%20c "}
        assert call("POST", "/echo", "hello") == {"status": 200, "body": "POST /echo hello"}
        assert call("GET", "/status/404") == {"status": 404, "body": ""}
        assert call("GET", "/breaks")["status"] == 500
        assert call("GET", "/echo", pin=device.recipient.pin) == {"error": "Rejected"}
        assert len(service.echo.calls) == 2

"""The requests adapter against the ASGI middleware, over loopback."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import requests.auth
from starlette.responses import PlainTextResponse

import sealwire
from loopback import TUNNEL, Service, free_port, serving
from sealwire import (
    CallOptions, Identity, Kem, MemoryStore, Misuse, NotRecipient, Policy, Rejected, Rule, SealContext, SealedResource, SealwireError, Truncated,
    Tunnel, Unsealed,
)  # fmt: skip
from sealwire.requests import SealedAdapter, SealedConnectionError, SealedTimeout, sealed_info


def session(service: Service, adapter: requests.adapters.HTTPAdapter | None = None, **rule: Any) -> requests.Session:
    made = requests.Session()
    made.trust_env = False
    made.mount(f"{service.origin}/", SealedAdapter(service.policy(**rule), identity=service.device, adapter=adapter))
    return made


@pytest.mark.parametrize("kind", ["whole", "streamed", "tunnel"])
def test_calls(service: Service, kind: str) -> None:
    rule: dict[str, Any] = {"exchange": Tunnel(f"{service.origin}{TUNNEL}") if kind == "tunnel" else True, "streamed": kind == "streamed", "sign": True}
    with session(service, **rule) as calls:
        for method, path, body in [
            ("GET", "/echo?a=b%20c&d=%27", None),
            ("POST", "/echo", b"hello"),
            ("POST", "/echo", b""),
            ("PUT", "/echo/1?x", "hello"),
            ("DELETE", "/echo", None),
        ]:
            answer = calls.request(method, service.origin + path, data=body, headers={"authorization": "Bearer 1"})
            assert answer.status_code == 200 and answer.reason == "OK"
            assert answer.text == f"{method} {path} {body.decode() if isinstance(body, bytes) else body or ''}"
            assert answer.headers["x-signer"] == service.device.signer and answer.headers["x-authorization"] == "Bearer 1"
            assert answer.cookies.get_dict() == {"a": "1", "b": "2"}
        assert calls.cookies.get_dict() == {"a": "1", "b": "2"}
        assert calls.head(f"{service.origin}/echo").content == b""
        for status in (204, 304, 404, 500):
            assert calls.get(f"{service.origin}/status/{status}").status_code == status
        assert calls.post(f"{service.origin}/length", data=bytes(3 << 20)).text == str(3 << 20)
        assert calls.post(f"{service.origin}/length", data=io.BytesIO(bytes(1000))).text == "1000"
        assert calls.post(f"{service.origin}/echo", json={"a": 1}).text == 'POST /echo {"a": 1}'
        assert int(calls.post(f"{service.origin}/length", files={"file": b"x" * 1000}).text) > 1000


def test_streams(device: Any) -> None:
    with Service(device, stream=["/upload"]).running() as service, session(service, exchange=True, streamed=True, sign=True) as calls:
        answer = calls.get(f"{service.origin}/events", stream=True)
        assert answer.raw.read(9) == b"data: 1\n\n"
        service.echo.go.set()  # The second event is made when the first one was read.
        assert answer.raw.read(9) == b"data: 2\n\n" and answer.raw.read(9) == b""
        for size in (None, 1000):
            service.echo.go.clear()
            events = calls.get(f"{service.origin}/events", stream=True).iter_content(size)
            assert next(events) == b"data: 1\n\n"
            service.echo.go.set()
            assert list(events) == [b"data: 2\n\n"]
        service.echo.go.clear()
        lines = calls.get(f"{service.origin}/events", stream=True).iter_lines()
        assert next(lines) == b"data: 1"
        service.echo.go.set()
        assert [line for line in lines if line] == [b"data: 2"]
        assert sum(map(len, calls.get(f"{service.origin}/large", stream=True).iter_content(10_000))) == 64 * 65_536
        with calls.get(f"{service.origin}/large", stream=True) as half:
            next(half.iter_content(1000))

        def pieces() -> Iterator[bytes]:
            yield bytes(1000)
            # The app has the first piece before the second is made.
            while not service.echo.uploaded:
                threading.Event().wait(0.01)
            for _ in range(64):
                yield bytes(65_536)

        assert calls.post(f"{service.origin}/upload", data=pieces()).text == str(1000 + 64 * 65_536)
        assert service.echo.uploaded[0] == 1000
        broken = calls.get(f"{service.origin}/breaks", stream=True)
        for _ in range(2):
            with pytest.raises((Truncated, SealedConnectionError)):
                broken.raw.read()
        for _ in range(2):
            with pytest.raises((Truncated, SealedConnectionError)):
                list(calls.get(f"{service.origin}/breaks", stream=True).iter_content(None))


def test_a_whole_answer_is_read_in_every_way(service: Service) -> None:
    with session(service) as calls:
        url = f"{service.origin}/large"
        assert [sum(map(len, calls.get(url, stream=True).iter_content(size))) for size in (None, 1000)] == [64 * 65_536] * 2
        assert len(calls.get(url, stream=True).raw.read()) == 64 * 65_536


def test_redirects_inside_are_requests_own(service: Service) -> None:
    with session(service) as calls:
        answer = calls.get(f"{service.origin}/redirect")
        assert answer.text == "GET /echo/there " and len(answer.history) == 1
    with pytest.raises(Misuse):
        SealedAdapter(service.policy()).send(requests.Request("GET", "http://127.0.0.1:1/other").prepare())


class Bent(requests.adapters.HTTPAdapter):
    """Somebody in between."""

    def __init__(self, status: int = 200, body: bytes | None = None, headers: dict[str, str] | None = None) -> None:
        super().__init__()
        self.bent = (status, body, headers or {})
        self.passed: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, **sending: Any) -> requests.Response:  # type: ignore[override]
        answer = super().send(request, **sending)
        if request.path_url == "/.well-known/sealwire-keys":
            return answer
        self.passed.append(request)
        status, body, headers = self.bent
        content = bytearray(answer.raw.read())
        content[-1] ^= 1
        answer.raw.headers.pop("content-length", None)
        answer.status_code = status
        answer.raw.headers.update(headers)
        kept = bytes(content) if body is None else body
        answer.raw.stream = lambda *_, **__: iter([kept])  # type: ignore[method-assign]
        return answer


def test_hostile_answers(service: Service) -> None:
    for bent, code in (
        (Bent(), "Rejected"),
        (Bent(502, b"<h1>Bad Gateway</h1>", {"content-type": "text/html"}), "Unsealed"),
        (Bent(200, b"trust me", {"content-type": "text/plain"}), "Unsealed"),
        (Bent(302, b"", {"location": "http://127.0.0.1:1/", "content-type": "text/plain"}), "Unsealed"),
    ):
        with session(service, bent) as calls, pytest.raises(SealwireError) as raised:
            calls.post(f"{service.origin}/echo", data=b"secret-body", headers={"authorization": "secret-token"})
        assert raised.value.code == code
        (passed,) = bent.passed
        assert isinstance(passed.body, bytes)
        assert b"secret" not in passed.body + str(passed.headers).encode()


def test_replay_and_signatures(service: Service) -> None:
    class Watching(requests.adapters.HTTPAdapter):
        passed: list[requests.PreparedRequest] = []

        def send(self, request: requests.PreparedRequest, **sending: Any) -> requests.Response:  # type: ignore[override]
            self.passed.append(request)
            return super().send(request, **sending)

    with session(service, Watching()) as calls:
        calls.post(f"{service.origin}/echo", data=b"once")
    again = requests.Session().send(Watching.passed[-1])
    assert again.status_code != 200 and len(service.echo.calls) == 1
    assert requests.get(f"{service.origin}/echo").status_code == 401
    with requests.Session() as unsigned:
        unsigned.mount("http://", SealedAdapter(service.policy(exchange=True)))
        with pytest.raises(Unsealed) as raised:
            unsigned.get(f"{service.origin}/echo")
        assert raised.value.status == 401


def test_sealed_resources(service: Service) -> None:
    device = service.device
    policy = Policy([Rule(service.origin, "/store/{id}", seal=SealedResource("store", "id", [device.recipient], [device.signer]), sign=True)])
    with requests.Session() as calls:
        calls.mount("http://", SealedAdapter(policy, identity=device, last_seen=MemoryStore()))
        url = f"{service.origin}/store/17"
        taken = calls.put(url, b"for me", auth=SealedAdapter.options(CallOptions(version=1)))
        # What the server says to it is its own word, and so is how long that was.
        assert (taken.status_code, taken.content, "content-length" in taken.headers) == (201, b"", False)
        old = service.echo.store["17"]
        answer = calls.get(url)
        info = sealed_info(answer)
        assert answer.content == b"for me" and info.signer == device.signer and info.about is not None and info.about.version == 1
        calls.put(url, b"newer", auth=SealedAdapter.options(CallOptions(version=2)))
        service.echo.store["17"] = old
        with pytest.raises(Rejected):
            calls.get(url)


def test_what_a_request_says_of_itself_goes_where_it_is_redirected(service: Service) -> None:
    device, bob = service.device, Identity.generate(kem=Kem.X25519)
    resource = SealedResource("store", "id", [device.recipient], [device.signer])
    policy = Policy([Rule(service.origin, "/store/{id}", seal=resource, sign=True)])
    options = CallOptions(to=[bob.recipient])
    prepared = requests.Request("PUT", f"{service.origin}/store/17", data=b"for bob", auth=SealedAdapter.options(options)).prepare()
    adapter = SealedAdapter(policy, identity=device)
    # A copy is what requests redirects, and what repeats a request.
    assert adapter.send(prepared.copy()).status_code == 201
    context = SealContext("store", "17")
    assert sealwire.open(service.echo.store["17"], bob, context).plaintext == b"for bob"
    with pytest.raises(NotRecipient):
        sealwire.open(service.echo.store["17"], device, context)


def test_a_redirect_does_not_take_a_body_into_the_clear(service: Service) -> None:
    async def elsewhere(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["path"])
        await PlainTextResponse("thanks")(scope, receive, send)

    reached: list[str] = []
    port = free_port()
    other = f"http://127.0.0.1:{port}/"
    with serving(elsewhere, port), session(service) as calls:
        for status in (307, 308):
            with pytest.raises(Misuse):
                calls.post(f"{service.origin}/redirect?{status}{other}", data=b"secret")
        assert reached == []
        # Without the body it is the session's to follow.
        assert calls.get(f"{service.origin}/redirect?307{other}").text == "thanks"
        assert calls.post(f"{service.origin}/redirect?307/echo/there", data=b"a").text == "POST /echo/there a"


def test_digest_is_sealed_too(service: Service) -> None:
    class Watching(requests.adapters.HTTPAdapter):
        passed: list[requests.PreparedRequest] = []

        def send(self, request: requests.PreparedRequest, **sending: Any) -> requests.Response:  # type: ignore[override]
            self.passed.append(request)
            return super().send(request, **sending)

    with session(service, Watching()) as calls:
        answer = calls.post(f"{service.origin}/digest", data=b"secret", auth=requests.auth.HTTPDigestAuth("alice", "password"))
    assert answer.status_code == 200 and answer.text == "secret"
    assert len([request for request in Watching.passed if request.method == "POST"]) == 2
    for request in Watching.passed:
        assert b"secret" not in (request.body or b"") and "Digest" not in str(request.headers)


def test_the_network_fails(service: Service) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        origin = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with requests.Session() as calls:
            calls.mount("http://", SealedAdapter(Policy([Rule(origin, "/{rest..}", exchange=True)], {origin: service.pin})))
            with pytest.raises(requests.ConnectionError) as raised:
                calls.get(f"{origin}/x")
        assert isinstance(raised.value, SealedConnectionError) and raised.value.code == "Network"
    with session(service, exchange=True, streamed=True, sign=True) as calls, pytest.raises(requests.Timeout) as timeout:
        calls.get(f"{service.origin}/events", timeout=0.3)
    assert isinstance(timeout.value, SealedTimeout)
    service.echo.go.set()


def test_a_chunk_of_a_negative_length(service: Service) -> None:
    """What urllib3 has no error of its own for is the network's failure, too."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nx\r\n")

        answering = threading.Thread(target=answer)
        answering.start()
        origin = f"http://127.0.0.1:{listening.getsockname()[1]}"
        policy = Policy([Rule(origin, "/{id}", seal=SealedResource("store", "id", senders=[service.device.signer]))])
        with requests.Session() as calls:
            calls.mount("http://", SealedAdapter(policy, identity=service.device))
            with pytest.raises(SealedConnectionError):
                calls.get(f"{origin}/17")
        answering.join()

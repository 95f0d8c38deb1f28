"""The middleware as a gateway, around FastAPI, with other people's caches, and with what it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import time
from collections.abc import Awaitable
from typing import Annotated, Any

import anyio
import anyio.to_thread
import fastapi
import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from loopback import Between, EchoApp, Service, serving
from sealwire import Expired, Identity, Kem, Malformed, Misuse, Policy, Rule, Signer, TooLarge, Truncated, Unsealed, sign_request
from sealwire._ffi import sealwire as ffi
from sealwire.asgi import MemoryReplayCache, Message, Mounted, Receive, Scope, SealwireMiddleware, ServiceKeys, Verify, sender
from sealwire.httpx import AsyncSealedTransport, SealedTransport


def calling(service: Service, between: httpx.BaseTransport | None = None, **rule: Any) -> httpx.Client:
    return httpx.Client(transport=SealedTransport(service.policy(**rule), identity=service.device, transport=between), timeout=60)


def test_a_gateway_in_front(device: Identity, stranger: Identity) -> None:
    """It verifies with public keys alone; behind it the exchange stays closed, and is opened by the service."""
    service = Service(device)
    events: list[Any] = []

    async def forward(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        seen.append(sender(scope))
        request = Request(scope, receive)
        async with httpx.AsyncClient() as onward:
            target = scope["raw_path"].decode() + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
            headers = [(name, value) for name, value in scope["headers"] if name not in (b"host", b"content-length")]
            body = await request.body()
            answer = await onward.request(scope["method"], f"http://127.0.0.1:{service.port}{target}", headers=headers, content=body)
        fields = {name: value for name, value in answer.headers.items() if name not in ("transfer-encoding", "content-length")}
        await Response(answer.content, answer.status_code, fields)(scope, receive, send)

    seen: list[Signer | None] = []
    port = _port()
    outside = f"http://127.0.0.1:{port}"
    service = Service(device, origin=outside)
    gateway = SealwireMiddleware(forward, origin=outside, verify=Verify([device.signer]), plain=["/health"], observer=events.append)
    with service.running(), serving(gateway, port):
        between = Between()
        with calling(service, between) as calls:
            answer = calls.post(f"{outside}/echo", content=b"hello")
        assert answer.text == "POST /echo hello" and answer.headers["x-signer"] == device.signer
        assert device.signer in seen
        # The gateway lets it through once.
        request = between.passed[0]
        assert httpx.post(request.url, content=request.content, headers=request.headers).status_code != 200
        assert httpx.get(f"{outside}/echo").status_code == 401
        assert httpx.get(f"{outside}/health").text == "well"
        with httpx.Client(transport=SealedTransport(service.policy(), identity=stranger)) as other, pytest.raises(Unsealed):
            other.get(f"{outside}/echo")
    assert len(service.echo.calls) == 1
    assert {"ok", "Replayed"} <= {event.code for event in events}


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_fastapi(device: Identity) -> None:
    app = fastapi.FastAPI()
    notes: dict[str, str] = {}

    @app.put("/notes/{id}", status_code=204)
    async def put(id: str, text: Annotated[str, fastapi.Body(embed=True)], request: Request) -> None:
        notes[id] = f"{text} by {sender(request)}"

    @app.get("/notes/{id}")
    async def get(id: str) -> dict[str, str]:
        return {"text": notes[id]}

    @app.get("/url")
    async def url(request: Request) -> str:
        return str(request.url_for("get", id="1"))

    port = _port()
    origin = f"http://127.0.0.1:{port}"
    identity = Identity.generate(kem=Kem.X25519)
    app.add_middleware(
        SealwireMiddleware, origin=origin, keys=ServiceKeys.generate(kem=Kem.X25519), identity=identity, verify=Verify([device.signer])
    )
    policy = Policy([Rule(origin, "/{rest..}", exchange=True, sign=True)], {origin: identity.recipient.pin})
    with serving(app, port), httpx.Client(transport=SealedTransport(policy, identity=device)) as calls:
        assert calls.put(f"{origin}/notes/1", json={"text": "noon"}).status_code == 204
        assert calls.get(f"{origin}/notes/1").json() == {"text": f"noon by {device.signer}"}
        assert calls.get(f"{origin}/url").json() == f"{origin}/notes/1"
        assert calls.put(f"{origin}/notes/1", json={}).status_code == 422
        # What the app raises is said sealed: the framework's own page, further out, would be plain.
        assert calls.get(f"{origin}/notes/2").status_code == 500
        assert httpx.get(f"{origin}/notes/1").status_code == 401
        assert httpx.get(f"{origin}/.well-known/sealwire-keys").headers["content-type"] == "application/vnd.sealwire-keys"


def test_lifespans_pass_and_websockets_do_not(device: Identity) -> None:
    import websockets.exceptions
    import websockets.sync.client

    with Service(device).running() as service:
        assert service.echo.lifespans == ["up"]
        address = f"ws://127.0.0.1:{service.port}"
        with pytest.raises(websockets.exceptions.InvalidStatus) as raised, websockets.sync.client.connect(f"{address}/ws"):
            pass
        assert raised.value.response.status_code == 403
        # Where nothing is demanded nothing is refused.
        with websockets.sync.client.connect(f"{address}/health") as plain:
            assert plain.recv() == "hello"
    assert service.echo.lifespans == ["up", "down"]


def test_own_replay_caches(device: Identity) -> None:
    class Sync:
        def __init__(self) -> None:
            self.ids: set[bytes] = set()
            self.error: Exception | None = None

        def insert(self, id: bytes, made: int, until: int, now: int) -> bool | Awaitable[bool]:
            assert len(id) == 32 and until > now >= made - 30
            if self.error is not None:
                raise self.error
            fresh = id not in self.ids
            self.ids.add(id)
            return fresh

    class Async(Sync):
        async def later(self, fresh: bool) -> bool:
            await asyncio.sleep(0)
            return fresh

        def insert(self, id: bytes, made: int, until: int, now: int) -> Awaitable[bool]:
            fresh = super().insert(id, made, until, now)
            assert isinstance(fresh, bool)
            return self.later(fresh)

    for cache in (Sync(), Async()):
        with Service(device, replay=cache).running() as service:
            between = Between()
            with calling(service, between) as calls:
                assert calls.get(f"{service.origin}/echo").status_code == 200
                request = between.passed[0]
                assert httpx.get(request.url, headers=request.headers).status_code != 200
                for cache.error, code in ((ConnectionError("down"), 503), (Expired("before my time"), None)):
                    with pytest.raises((Unsealed, Expired)) as raised:
                        calls.post(f"{service.origin}/echo")
                    assert code is None or (isinstance(raised.value, Unsealed) and raised.value.status == code)
        assert len(service.echo.calls) == 1 and len(cache.ids) >= 1


def test_an_empty_cache_is_a_cache(device: Identity) -> None:
    class Empty(MemoryReplayCache):
        """What has a length is false while it is empty."""

        asked = 0

        def __len__(self) -> int:
            return 0

        def insert(self, id: bytes, made: int, until: int, now: int) -> bool:
            type(self).asked += 1
            return super().insert(id, made, until, now)

    for options in ({"replay": Empty()}, {"replay_unsigned": Empty()}):
        Empty.asked = 0
        with Service(device, unsigned=["/{rest..}"], **options).running() as service:
            with httpx.Client(transport=SealedTransport(service.policy(exchange=True))) as calls:
                assert calls.get(f"{service.origin}/echo").status_code == 200
        assert Empty.asked == 1


def test_the_memory_cache() -> None:
    now = int(time.time())
    cache = MemoryReplayCache(2)
    assert cache.insert(b"a" * 32, now, now + 10, now) is True
    assert cache.insert(b"a" * 32, now, now + 10, now) is False
    with pytest.raises(Expired):
        cache.insert(b"b" * 32, now - 100, now + 10, now)
    with pytest.raises(Misuse):
        cache.insert(b"short", now, now, now)
    with pytest.raises(Misuse):
        MemoryReplayCache(0)


def raw(service: Service, content: bytes, close: bool = True) -> bytes:
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as connection:
        connection.sendall(content)
        if close:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65_536):
                answer += piece
                if answer.startswith(b"HTTP/1.1") and not close:
                    break
        return answer


def test_an_answer_that_is_too_large_is_the_apps_error(device: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sealwire.asgi._MAX_RESPONSE", 100_000)
    service = Service(device)
    inner, raised = service.app._app, list[BaseException]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await inner(scope, receive, send)
        except BaseException as error:
            raised.append(error)
            raise

    service.app._app = app
    with service.running(), calling(service) as calls:
        answer = calls.get(f"{service.origin}/large")
    assert (answer.status_code, answer.content) == (500, b"")
    assert [type(error) for error in raised] == [TooLarge]


def test_slow_and_large_bodies(device: Identity) -> None:
    with Service(device, body_timeout=5, memory=100_000, max_body=50_000).running() as service:
        between = Between()
        with calling(service, between) as calls:
            calls.post(f"{service.origin}/echo", content=bytes(20_000))
            with pytest.raises(Unsealed) as raised:
                calls.post(f"{service.origin}/echo", content=bytes(60_000))
            assert raised.value.status == 413
        fields = b"".join(b"%s: %s\r\n" % line for line in between.passed[0].headers.raw if line[0].lower() != b"content-length")
        answer = raw(service, b"POST /echo HTTP/1.1\r\n" + fields + b"content-length: 20500\r\n\r\nhalf", close=False)
        assert b"408" in answer.split(b"\r\n")[0] or b"problem+json" in answer
        # A client that goes away.
        raw(service, b"POST /echo HTTP/1.1\r\n" + fields + b"content-length: 20500\r\n\r\nhalf")
        # The memory was given back.
        with calling(service) as calls:
            for _ in range(8):
                assert calls.post(f"{service.origin}/length", content=bytes(40_000)).text == "40000"
        assert len(service.echo.calls) == 1
    with Service(device, memory=1000).running() as service, calling(service) as calls, pytest.raises(Unsealed) as raised:
        calls.post(f"{service.origin}/echo", content=bytes(5000))
    assert raised.value.status == 503


class Buffering(Between):
    """A proxy that reads a request before it passes it on, whole or not: the server then has the end together with the beginning."""

    def __init__(self, cut: int = 0, flipped: bool = False) -> None:
        super().__init__()
        self.cut, self.flipped = cut, flipped

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        content = bytearray(request.read())
        del content[len(content) - self.cut :]
        if self.flipped and content:
            content[-1] ^= 1
        fields = [line for line in request.headers.raw if line[0].lower() not in (b"content-length", b"transfer-encoding")]
        return super().handle_request(httpx.Request(request.method, request.url, headers=fields, content=bytes(content) or None))


@pytest.mark.parametrize(("buffering", "failures"), [(Buffering(), []), (Buffering(cut=24), ["Truncated"]), (Buffering(flipped=True), ["Rejected"])])
def test_an_upload_that_comes_at_once(device: Identity, buffering: Buffering, failures: list[str]) -> None:
    # It would come after the client has given up, if anybody waited for more.
    with Service(device, stream=["/upload"], body_timeout=3600).running() as service:
        with calling(service, buffering, exchange=True, streamed=True, sign=True) as calls:
            for content in (b"hello", bytes(1000)):
                service.echo.failures.clear()
                answer = calls.post(f"{service.origin}/upload", content=iter([content]))
                assert (answer.status_code, answer.text) == ((500, "Internal Server Error") if failures else (200, str(len(content))))
                assert service.echo.failures == failures


def test_look_ups_that_need_a_thread(device: Identity, stranger: Identity) -> None:
    """Strangers' requests, as many as there are threads: a look-up that waits for a thread is not what holds it."""

    async def look_up(_: str) -> None:
        # All of them are here before the first goes on.
        looking.add(object())
        while len(looking) < requests:
            await asyncio.sleep(0.01)
        await anyio.to_thread.run_sync(lambda: None)

    async def all_at_once() -> list[int]:
        fields = [(name.encode(), value.encode()) for name, value in sign_request("GET", f"{origin}/x", stranger)]
        transport = httpx.ASGITransport(SealwireMiddleware(EchoApp().app(), origin=origin, verify=Verify(look_up)))
        async with httpx.AsyncClient(transport=transport) as calls:
            answers = await asyncio.wait_for(asyncio.gather(*(calls.get(f"{origin}/x", headers=fields) for _ in range(requests))), 60)
        return [answer.status_code for answer in answers]

    origin, requests, looking = "https://api.example.com", 40, set[object]()
    assert asyncio.run(all_at_once()) == [401] * requests


@pytest.mark.parametrize("status", [70_000, -1, None, "200", 2.5])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_status_that_is_none(device: Identity, status: Any, streamed: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [(b"x-secret", b"1")]})
        await send({"type": "http.response.body", "body": b"secret"})

    origin = "https://api.example.com"
    identity = Identity.generate(kem=Kem.X25519)
    service = SealwireMiddleware(app, origin=origin, keys=ServiceKeys.generate(kem=Kem.X25519), identity=identity)
    policy = Policy([Rule(origin, "/{rest..}", exchange=True, streamed=streamed)], {origin: identity.recipient.pin})

    async def asked() -> httpx.Response:
        transport = AsyncSealedTransport(policy, transport=httpx.ASGITransport(service))
        async with httpx.AsyncClient(transport=transport) as calls:
            return await calls.get(f"{origin}/x")

    answer = asyncio.run(asked())
    assert answer.status_code == 500 and answer.content == b"" and "x-secret" not in answer.headers


def test_strangers_hold_half_of_the_memory(device: Identity) -> None:
    def holds(length: int) -> None:
        deadline = time.monotonic() + 60
        while service.app._memory != 100_000 - length:
            assert time.monotonic() < deadline, service.app._memory
            time.sleep(0.01)

    with Service(device, memory=100_000, body_timeout=3600, unsigned=["/open/{rest..}"]).running() as service:
        between = Between()
        with calling(service, between, exchange=True) as calls:
            assert calls.post(f"{service.origin}/open/length", content=bytes(40_000)).status_code == 200
        sent = between.passed[0]
        fields = b"".join(b"%s: %s\r\n" % line for line in sent.headers.raw)
        with socket.create_connection(("127.0.0.1", service.port), timeout=60) as slow:
            # All but the end.
            slow.sendall(b"POST /open/length HTTP/1.1\r\n" + fields + b"\r\n" + sent.content[:40_000])
            holds(40_000)
            with calling(service, exchange=True) as calls, pytest.raises(Unsealed) as raised:
                calls.post(f"{service.origin}/open/length", content=bytes(40_000))
            assert raised.value.status == 503
            with calling(service) as calls:
                assert calls.post(f"{service.origin}/length", content=bytes(40_000)).text == "40000"
        # It is given back when the client has gone.
        holds(0)
        with calling(service, exchange=True) as calls:
            assert calls.post(f"{service.origin}/open/length", content=bytes(40_000)).status_code == 200


def test_pages_of_other_origins(device: Identity) -> None:
    page = {"origin": "https://app.example.com"}
    with Service(device, allow_origins=["https://app.example.com"]).running() as service:
        asked = {**page, "access-control-request-method": "POST", "access-control-request-headers": "signature"}
        preflight = httpx.options(f"{service.origin}/echo", headers=asked)
        assert preflight.headers["access-control-allow-origin"] == "https://app.example.com"
        assert httpx.get(f"{service.origin}/health", headers=page).headers["access-control-allow-origin"] == "https://app.example.com"
        assert httpx.get(f"{service.origin}/echo", headers=page).headers["access-control-allow-origin"] == "https://app.example.com"
        other = httpx.get(f"{service.origin}/health", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
        assert service.echo.calls == []


def test_mounted(device: Identity) -> None:
    """A gateway in front takes the prefix off: what is demanded is what everybody outside names."""

    class Stripping(Between):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            request.url = request.url.copy_with(raw_path=request.url.raw_path.removeprefix(b"/api"))
            return super().handle_request(request)

    with Service(device, mounted=Mounted("/api", ""), verify=None, signed_only=[]).running() as service:
        with calling(service, Stripping(), exchange=True) as calls:
            assert calls.get(f"{service.origin}/api/echo?x=1").text == "GET /echo?x=1 "


def test_idempotency_keys(device: Identity) -> None:
    with Service(device, enforce_idempotency_keys=True).running() as service:
        with calling(service, exchange=True, sign=True, idempotent=True) as calls:
            first = calls.post(f"{service.origin}/echo", headers={"idempotency-key": '"1"'})
            again = calls.post(f"{service.origin}/echo", headers={"idempotency-key": '"1"'}) if first.status_code == 200 else None
        assert len(service.echo.calls) == 1 and again is not None and again.status_code != 200


def test_unsigned_exchanges(device: Identity) -> None:
    with Service(device, unsigned=["/{rest..}"]).running() as service:
        with httpx.Client(transport=SealedTransport(service.policy(exchange=True))) as calls:
            assert calls.get(f"{service.origin}/echo").headers["x-signer"] == "nobody"
        with calling(service) as calls:
            assert calls.get(f"{service.origin}/echo").headers["x-signer"] == device.signer


def test_a_request_that_is_no_exchange(service: Service) -> None:
    junk = [
        {"method": "POST", "headers": {"content-type": "message/ohttp-req"}, "content": b"\0" * 100},
        {"method": "GET", "headers": {"sealwire-exchange": "AAAA"}},
        {"method": "POST", "content": b"plain"},
        {"method": "GET", "headers": {"signature": "x=:AA==:", "signature-input": "x=()"}},
    ]
    for one in junk:
        answer = httpx.request(url=f"{service.origin}/echo", **one)  # type: ignore[arg-type]
        assert 400 <= answer.status_code < 500
        assert answer.headers["content-type"] == "application/problem+json"
    assert service.echo.calls == []


def test_options_that_make_no_sense(device: Identity) -> None:
    app = EchoApp().app()
    keys = ServiceKeys.generate(kem=Kem.X25519)
    origin = "https://api.example.com"
    bad: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"origin": origin}, Misuse),
        ({"origin": origin, "keys": keys}, Misuse),
        ({"origin": origin, "identity": device}, Misuse),
        ({"origin": f"{origin}/", "keys": keys, "identity": device}, Malformed),
        ({"origin": origin, "keys": keys, "identity": device, "plain": "/health"}, Misuse),
        ({"origin": origin, "keys": keys, "identity": device, "plain": ["health"]}, Exception),
        ({"origin": origin, "verify": Verify(str(device.signer))}, Misuse),
        ({"origin": origin, "verify": Verify(["nobody"])}, Exception),
        ({"origin": origin, "verify": [device.signer]}, TypeError),
        ({"origin": origin, "keys": "keys", "identity": device}, TypeError),
        ({"origin": origin, "keys": keys, "identity": "me"}, TypeError),
        ({"origin": origin, "keys": keys, "identity": device, "mounted": ("/api", "")}, TypeError),
        ({"origin": origin, "keys": keys, "identity": device, "replay": "redis"}, TypeError),
        ({"origin": origin, "keys": keys, "identity": device, "replay_unsigned": "redis"}, TypeError),
        ({"origin": origin, "keys": keys, "identity": device, "observer": "log"}, TypeError),
        ({"origin": origin, "keys": keys, "identity": device, "body_timeout": float("nan")}, Misuse),
        ({"origin": origin, "keys": keys, "identity": device, "body_timeout": "30"}, TypeError),
    ]
    for options, error in bad:
        with pytest.raises(error):
            SealwireMiddleware(app, **options)
    # The keys are still free, and then they have a service.
    SealwireMiddleware(app, origin=origin, keys=keys, identity=device)
    with pytest.raises(Misuse):
        SealwireMiddleware(app, origin=origin, keys=keys, identity=device)


def test_keys_rotate_under_a_running_service(device: Identity) -> None:
    keys = ServiceKeys.generate(kem=Kem.X25519)
    with Service(device, keys=keys).running() as service, calling(service) as calls:
        assert calls.get(f"{service.origin}/echo").status_code == 200
        keys.rotate()
        assert calls.get(f"{service.origin}/echo").status_code == 200


def test_finalisers_in_any_order() -> None:
    """Garbage that refers to itself: whoever is finalised later than the library's object is told, and nothing crashes."""
    said: list[str] = []

    class Late:
        def __init__(self, key: ffi.Identity) -> None:
            self.key, self.me = key, self
            key.me = self  # type: ignore[attr-defined]

        def __del__(self) -> None:
            try:
                self.key.signer()
            except Misuse as error:
                said.append(error.code)
            else:
                said.append("ok")

    for _ in range(100):
        Late(ffi.Identity.generate(ffi.Kem.X25519))
    gc.collect()
    assert len(said) == 100 and set(said) <= {"ok", "Misuse"}


def arriving(*messages: Message, then: Message | None = None) -> Receive:
    """What a server has received, and then nothing more."""
    coming = iter(messages)

    async def receive() -> Message:
        for message in coming:
            return message
        if then is None:
            await anyio.sleep_forever()
        assert then is not None
        return then

    return receive


def heard(app: Any, scope: Scope, receive: Receive) -> list[Any]:
    """What an app sends for one request, without a server."""
    sent: list[Any] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def ask() -> None:
        with anyio.fail_after(20):
            await app(scope, receive, send)

    anyio.run(ask)
    return sent


class Direct(httpx.BaseTransport):
    """Asks an app without a server, as one that has another version of HTTP would; with ``cut`` the client goes away before the end."""

    def __init__(self, app: Any, version: str, cut: bool = False) -> None:
        self.app, self.version, self.cut = app, version, cut

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path, _, query = request.url.raw_path.partition(b"?")
        # HTTP/2 and later need not say how long a body is.
        framing = () if self.version == "1.1" else (b"content-length", b"transfer-encoding")
        scope = {
            "type": "http", "http_version": self.version, "method": request.method, "scheme": "http", "path": path.decode(), "raw_path": path,
            "query_string": query, "headers": [(name.lower(), value) for name, value in request.headers.raw if name.lower() not in framing],
        }  # fmt: skip
        body = request.read()
        pieces: list[Message] = [{"type": "http.request", "body": b"", "more_body": True}] * 2
        if self.cut and body:
            last: Message = {"type": "http.request", "body": body[:-30], "more_body": True}
        else:
            last = {"type": "http.request", "body": body, "more_body": False}
        sent = heard(self.app, scope, arriving(*pieces, last, then={"type": "http.disconnect"}))
        content = b"".join(message["body"] for message in sent[1:])
        return httpx.Response(sent[0]["status"], headers=sent[0]["headers"], content=content)


@pytest.mark.parametrize("version", ["1.1", "2", "3"])
def test_a_body_that_no_field_tells_of(device: Identity, version: str) -> None:
    """HTTP/2 and later frame bodies themselves: a request without one is not taken for one that has one, nor the other way round."""
    service = Service(device)
    with calling(service, Direct(service.app, version)) as calls:
        for method, body in [("GET", b""), ("HEAD", b""), ("DELETE", b""), ("DELETE", b"hello"), ("POST", b""), ("POST", b"hello"), ("OPTIONS", b"hello")]:
            answer = calls.request(method, f"{service.origin}/length" if method == "POST" else f"{service.origin}/echo", content=body)
            assert answer.status_code == (405 if method == "OPTIONS" else 200), (method, body)
    with calling(service, Direct(service.app, version), in_the_clear=True, sign=True) as calls:
        assert calls.put(f"{service.origin}/store/1", content=b"hello").status_code == 201
        assert calls.get(f"{service.origin}/store/1").content == b"hello"
    with httpx.Client(transport=Direct(service.app, version)) as calls:
        assert calls.get(f"{service.origin}/health").text == "well"


def test_a_path_that_no_bytes_are(device: Identity) -> None:
    """Of a server that hands on no raw path."""
    sent = heard(Service(device).app, {"type": "http", "method": "GET", "path": "/\udcff", "headers": []}, arriving())
    assert sent[0]["status"] == 401


def test_after_a_body_that_was_cut_off(device: Identity) -> None:
    """An app that has heard of it can still answer: what comes next is that the client has gone, as it is of any request."""
    heard_of: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Any) -> None:
        for _ in range(4):
            try:
                heard_of.append((await receive())["type"])
            except Truncated as error:
                heard_of.append(error.code)
        await Response("sorry", 422)(scope, receive, send)

    identity, origin = Identity.generate(kem=Kem.X25519), "https://api.example.com"
    keys = ServiceKeys.generate(kem=Kem.X25519)
    service = SealwireMiddleware(app, origin=origin, keys=keys, identity=identity, unsigned=["/upload"], stream=["/upload"])
    policy = Policy([Rule(origin, "/{rest..}", exchange=True, streamed=True)], {origin: identity.recipient.pin})
    with httpx.Client(transport=SealedTransport(policy, transport=Direct(service, "1.1", cut=True))) as calls:
        assert calls.post(f"{origin}/upload", content=iter([bytes(20_000)] * 2)).text == "sorry"
    assert heard_of == ["http.request", "Truncated", "http.disconnect", "http.disconnect"]

"""The httpx transports against the ASGI middleware, over loopback."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

import httpx
import pytest

from loopback import TUNNEL, Between, Service, serving
from sealwire import (
    CallEvent, CallOptions, Identity, InPlace, InvalidKey, Kem, Malformed, MemoryStore, Misuse, Policy, Rejected, Rule, SealContext, SealedResource, SealwireError,
    Truncated, TrustFirstUse, TrustKeys, TrustPins, Tunnel, Unsealed, seal,
)  # fmt: skip
from sealwire.asgi import Verify
from sealwire.httpx import AsyncSealedTransport, SealedNetworkError, SealedTimeout, SealedTransport, sealed_info


def client(service: Service, between: httpx.BaseTransport | None = None, follow_redirects: bool = False, **rule: Any) -> httpx.Client:
    transport = SealedTransport(service.policy(**rule), identity=service.device, transport=between)
    return httpx.Client(transport=transport, follow_redirects=follow_redirects, timeout=60)


INNER = "café".encode("latin-1")
FIELDS = {b"x-inner": INNER, b"authorization": b"Bearer 1"}

KINDS: dict[str, dict[str, Any]] = {
    "whole": {"exchange": True, "sign": True},
    "streamed": {"exchange": True, "streamed": True, "sign": True},
    "tunnel": {"exchange": Tunnel("TUNNEL"), "sign": True},
}


def kind_of(service: Service, name: str) -> dict[str, Any]:
    rule = dict(KINDS[name])
    if name == "tunnel":
        rule["exchange"] = Tunnel(f"{service.origin}{TUNNEL}")
    return rule


@pytest.mark.parametrize("kind", KINDS)
def test_calls(service: Service, kind: str) -> None:
    with client(service, **kind_of(service, kind)) as calls:
        for method, path, body in [
            ("GET", "/echo?a=b%20c&d=%27", b""),
            ("POST", "/echo", b"hello"),
            ("POST", "/echo", b""),
            ("PUT", "/echo/1?x", b"hello"),
            ("PATCH", "/echo/caf%C3%A9", b"hello"),
            ("DELETE", "/echo", b""),
        ]:
            answer = calls.request(method, service.origin + path, content=body, headers=FIELDS)
            assert answer.status_code == 200
            assert answer.content == f"{method} {path} ".encode() + body
            assert answer.headers["x-signer"] == service.device.signer
            assert answer.headers["x-authorization"] == "Bearer 1"
            assert answer.headers["x-host"] == service.origin.removeprefix("http://")
            assert (b"x-inner", INNER) in answer.headers.raw
            assert [value for name, value in answer.headers.multi_items() if name == "set-cookie"] == ["a=1; Path=/; SameSite=lax", "b=2; Path=/; SameSite=lax"]
        assert calls.cookies["a"] == "1"
        head = calls.head(f"{service.origin}/echo")
        assert (head.status_code, head.content) == (200, b"")
        for status in (204, 304, 404, 500):
            answer = calls.get(f"{service.origin}/status/{status}")
            assert (answer.status_code, answer.content) == (status, b"")
        assert calls.post(f"{service.origin}/length", content=bytes(3 << 20)).text == str(3 << 20)
        form = calls.post(f"{service.origin}/length", files={"file": b"x" * 1000})
        assert int(form.text) > 1000
    assert {event.code for event in service.events if event.operation == "open"} == {"ok"}


def test_nobody_on_the_way_reads(service: Service) -> None:
    between = Between()
    with client(service, between) as calls:
        calls.post(f"{service.origin}/echo?secret-query", content=b"secret-body", headers={"authorization": "secret-token"})
    (request,) = between.passed
    seen = str(request.url).encode() + request.content + b"".join(name + value for name, value in request.headers.raw)
    assert b"secret" not in seen
    assert request.url.path == "/echo"


def test_what_a_rule_exposes_is_exposed(service: Service) -> None:
    between = Between()
    with client(service, between, exchange=InPlace(expose=["authorization"], expose_query=True), sign=True) as calls:
        answer = calls.get(f"{service.origin}/echo?q=1", headers={"authorization": "token"})
    assert answer.headers["x-authorization"] == "token"
    assert between.passed[0].headers["authorization"] == "token"
    assert between.passed[0].url.query == b"q=1"


def test_answers_stream(service: Service) -> None:
    with client(service, exchange=True, streamed=True, sign=True) as calls:
        with calls.stream("GET", f"{service.origin}/events") as answer:
            pieces = answer.iter_raw()
            assert next(pieces) == b"data: 1\n\n"
            service.echo.go.set()  # The second event is made when the first one was read.
            assert next(pieces) == b"data: 2\n\n"
            with pytest.raises(StopIteration):
                next(pieces)
        with calls.stream("GET", f"{service.origin}/large") as answer:
            assert sum(map(len, answer.iter_raw())) == 64 * 65_536
        # Left half read: everything is released.
        with calls.stream("GET", f"{service.origin}/large") as answer:
            next(answer.iter_raw())
        assert calls.get(f"{service.origin}/echo").status_code == 200


def test_uploads_stream(device: Identity) -> None:
    with Service(device, stream=["/upload"]).running() as service:
        sent = threading.Event()

        def pieces() -> Iterator[bytes]:
            yield bytes(1000)
            # The app has the first piece before the second is made.
            while not service.echo.uploaded:
                threading.Event().wait(0.01)
            sent.set()
            for _ in range(64):
                yield bytes(65_536)

        with client(service, exchange=True, streamed=True, sign=True) as calls:
            answer = calls.post(f"{service.origin}/upload", content=pieces())
            assert answer.text == str(1000 + 64 * 65_536)
            assert sent.is_set() and service.echo.uploaded[0] == 1000
            assert calls.post(f"{service.origin}/length", content=iter([b"a", b"bc"])).text == "3"


def test_an_upload_that_breaks_is_not_whole(device: Identity) -> None:
    with Service(device, stream=["/upload"]).running() as service:

        def pieces() -> Iterator[bytes]:
            yield bytes(100_000)
            while not service.echo.uploaded:
                threading.Event().wait(0.01)
            raise RuntimeError("the app's own")

        with client(service, exchange=True, streamed=True, sign=True) as calls:
            with pytest.raises(RuntimeError, match="the app's own"):
                calls.post(f"{service.origin}/upload", content=pieces())
        for _ in range(200):
            if service.echo.failures:
                break
            threading.Event().wait(0.01)
        assert service.echo.failures == ["Truncated"]


def test_what_an_app_breaks_off_is_not_whole(service: Service) -> None:
    with client(service, exchange=True, streamed=True, sign=True) as calls:
        with pytest.raises((Truncated, SealedNetworkError)):
            calls.get(f"{service.origin}/breaks")
        mistake = calls.get(f"{service.origin}/mistake")
        assert mistake.status_code == 500
    with client(service) as calls:
        assert calls.get(f"{service.origin}/breaks").status_code == 500
        assert calls.get(f"{service.origin}/mistake").status_code == 500


def test_redirects_inside_are_httpx_own(service: Service) -> None:
    with client(service) as calls:
        assert calls.get(f"{service.origin}/redirect").status_code == 307
    between = Between()
    with client(service, between, follow_redirects=True) as calls:
        answer = calls.get(f"{service.origin}/redirect")
        assert answer.text == "GET /echo/there "
        assert len(answer.history) == 1
        # To where no rule is, nothing goes.
        with pytest.raises(Misuse):
            calls.get(f"{service.origin}/redirect?https://elsewhere.example/")
    assert all(request.url.host == "127.0.0.1" for request in between.passed)


def test_url_without_a_rule(service: Service) -> None:
    with client(service) as calls, pytest.raises(Misuse) as raised:
        calls.get("http://127.0.0.1:1/other")
    assert raised.value.code == "Misuse"


def changed(response: httpx.Response, at: int) -> httpx.Response:
    body = bytearray(response.read())
    body[at] ^= 1
    return httpx.Response(response.status_code, headers=response.headers.raw, stream=httpx.ByteStream(bytes(body)))


def cut(response: httpx.Response) -> httpx.Response:
    fields = [(name, value) for name, value in response.headers.raw if name.lower() != b"content-length"]
    return httpx.Response(response.status_code, headers=fields, stream=httpx.ByteStream(response.read()[:-20]))


HOSTILE: dict[str, tuple[Callable[[httpx.Request, Callable[[], httpx.Response]], httpx.Response], str]] = {
    "altered": (lambda _, forward: changed(forward(), -1), "Rejected"),
    "altered at the front": (lambda _, forward: changed(forward(), 0), "Rejected"),
    "cut off": (lambda _, forward: cut(forward()), "Rejected"),
    "a proxy's page": (lambda *_: httpx.Response(502, text="<h1>Bad Gateway</h1>"), "Unsealed"),
    "a plain answer": (lambda *_: httpx.Response(200, text="trust me"), "Unsealed"),
    "empty": (lambda *_: httpx.Response(204), "Unsealed"),
    "a redirect": (lambda *_: httpx.Response(302, headers={"location": "http://127.0.0.1:1/"}), "Unsealed"),
    "compressed": (
        lambda _, forward: httpx.Response(200, headers=[*forward().headers.raw, (b"content-encoding", b"br")], stream=httpx.ByteStream(b"x")),
        "Unsealed",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answers(service: Service, name: str) -> None:
    tamper, code = HOSTILE[name]
    with client(service, Between(tamper), follow_redirects=True) as calls, pytest.raises(SealwireError) as raised:
        calls.get(f"{service.origin}/echo")
    assert raised.value.code == code
    if isinstance(raised.value, Unsealed) and name == "a proxy's page":
        assert raised.value.status == 502


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answers_to_streams(service: Service, name: str) -> None:
    tamper, code = HOSTILE[name]
    with client(service, Between(tamper), exchange=True, streamed=True, sign=True) as calls, pytest.raises(SealwireError) as raised:
        calls.get(f"{service.origin}/echo")
    # What is cut off within a chunk is a chunk that does not open, or one that is missing.
    assert raised.value.code in ({code, "Truncated"} if name in ("cut off", "altered at the front") else {code})


@pytest.mark.parametrize("media_type", [b"application/vnd.sealwire-keys", b"text/html"])
def test_keys_without_an_end(service: Service, media_type: bytes) -> None:
    given = 0

    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            nonlocal given
            # Whoever reads on after 16 MiB would read for ever.
            while given < 16 << 20:
                given += 65536
                yield bytes(65536)

    def keys(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=[(b"content-type", media_type)], stream=Endless())

    with client(service, httpx.MockTransport(keys)) as calls, pytest.raises(SealwireError) as raised:
        calls.get(f"{service.origin}/echo")
    assert raised.value.code in ("TooLarge", "Unsealed") and given <= 1 << 20


def test_an_answer_to_another_request(service: Service) -> None:
    answers: list[httpx.Response] = []

    def first_again(_: httpx.Request, forward: Callable[[], httpx.Response]) -> httpx.Response:
        answers.append(forward())
        return httpx.Response(200, headers=answers[0].headers.raw, stream=httpx.ByteStream(answers[0].read()))

    with client(service, Between(first_again)) as calls:
        assert calls.get(f"{service.origin}/echo/1").status_code == 200
        with pytest.raises(Rejected):
            calls.get(f"{service.origin}/echo/2")


def test_another_service(service: Service, device: Identity) -> None:
    """The keys of a service that is not the pinned one are not believed, and nothing is sealed to them."""
    with Service(device).running() as other:
        policy = Policy([Rule(other.origin, "/{rest..}", exchange=True, sign=True)], {other.origin: service.pin})
        between = Between()
        with httpx.Client(transport=SealedTransport(policy, identity=device, transport=between)) as calls:
            with pytest.raises(SealwireError) as raised:
                calls.get(f"{other.origin}/echo")
        assert raised.value.code == "Rejected"
        assert between.passed == [] and other.echo.calls == []


def test_replay(service: Service) -> None:
    between = Between()
    with client(service, between) as calls:
        calls.post(f"{service.origin}/echo", content=b"once")
    (request,) = between.passed
    again = httpx.post(request.url, content=request.content, headers=request.headers)
    assert again.status_code != 200
    assert again.headers["content-type"] == "application/problem+json"
    assert len(service.echo.calls) == 1
    assert "Replayed" in [event.code for event in service.events]


def test_signatures(service: Service, device: Identity, stranger: Identity) -> None:
    assert httpx.get(f"{service.origin}/echo").status_code == 401
    with httpx.Client(transport=SealedTransport(service.policy(exchange=True))) as unsigned:
        with pytest.raises(Unsealed) as raised:
            unsigned.get(f"{service.origin}/echo")
        assert raised.value.status == 401
    with httpx.Client(transport=SealedTransport(service.policy(), identity=stranger)) as other:
        with pytest.raises(Unsealed) as raised:
            other.get(f"{service.origin}/echo")
        assert raised.value.status == 401
    # A signature over another body.
    between = Between()
    with client(service, between) as calls:
        calls.post(f"{service.origin}/echo", content=b"mine")
    request = between.passed[0]
    assert httpx.post(request.url, content=request.content[:-1] + b"!", headers=request.headers).status_code == 401
    assert httpx.get(f"{service.origin}/health").text == "well"
    assert len(service.echo.calls) == 1


def looked_up(device: Identity) -> list[Any]:
    async def later(key_id: str) -> str | None:
        await asyncio.sleep(0)
        return device.signer if key_id == device.signer.key_id else None

    return [
        lambda key_id: device.signer if key_id == device.signer.key_id else None,
        later,
    ]


@pytest.mark.parametrize("at", [0, 1])
def test_signers_are_looked_up(device: Identity, stranger: Identity, at: int) -> None:
    with Service(device, verify=Verify(looked_up(device)[at])).running() as service:
        with client(service) as calls:
            assert calls.get(f"{service.origin}/echo").status_code == 200
        with httpx.Client(transport=SealedTransport(service.policy(), identity=stranger)) as other, pytest.raises(Unsealed):
            other.get(f"{service.origin}/echo")


class Saying(httpx.HTTPTransport):
    """Somebody in between, who adds a field to answers."""

    def __init__(self, name: str, value: str) -> None:
        super().__init__()
        self.field = (name, value)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        response.headers[self.field[0]] = self.field[1]
        return response


def test_sealed_resources(service: Service, device: Identity, stranger: Identity) -> None:
    resource = SealedResource("store", "id", to=[device.recipient], senders=[device.signer])
    policy = Policy([Rule(service.origin, "/store/{id}", seal=resource, sign=True)])
    url = f"{service.origin}/store/17"
    with httpx.Client(transport=SealedTransport(policy, identity=device, last_seen=MemoryStore())) as calls:
        with pytest.raises(Unsealed) as raised:
            calls.get(url)
        assert raised.value.status == 404
        assert calls.put(url, content=b"for me", extensions={"sealwire": CallOptions(version=1)}).status_code == 201
        assert b"for me" not in service.echo.store["17"]
        answer = calls.get(url)
        info = sealed_info(answer)
        assert answer.content == b"for me" and info.signer == device.signer
        assert info.about is not None and info.about.version == 1
        # What is said of the envelope is not said of what was in it.
        bent = httpx.Client(transport=SealedTransport(policy, identity=device, transport=Saying("content-encoding", "gzip")))
        with bent:
            assert bent.get(url).content == b"for me"
        # An older version, served as new.
        old = service.echo.store["17"]
        calls.put(url, content=b"newer", extensions={"sealwire": CallOptions(version=2)})
        assert calls.get(url).text == "newer"
        service.echo.store["17"] = old
        with pytest.raises(Rejected):
            calls.get(url)
        # A note of the server's own.
        service.echo.store["18"] = seal("trust me", device.recipient, SealContext("store", "18"), sign=stranger)
        with pytest.raises(Rejected):
            calls.get(f"{service.origin}/store/18")
        # Another row's.
        service.echo.store["19"] = old
        with pytest.raises(Rejected):
            calls.get(f"{service.origin}/store/19")
        service.echo.store["20"] = b"no envelope"
        with pytest.raises(SealwireError):
            calls.get(f"{service.origin}/store/20")


def test_lists(device: Identity) -> None:
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from sealwire import ListMembers, to_text

    good = seal("one", device.recipient, SealContext("notes", "1"), sign=device)

    async def notes(_: Any) -> JSONResponse:
        return JSONResponse([{"id": "1", "sealed": to_text(good)}, {"id": "2", "sealed": to_text(good)}])

    with serving(Starlette(routes=[Route("/notes", notes)])) as origin:
        members = ListMembers(id="id", envelope="sealed")
        policy = Policy([Rule(origin, "/notes", seal=SealedResource("notes", "id", senders=[device.signer], list=members))])
        with httpx.Client(transport=SealedTransport(policy, identity=device)) as calls:
            items = sealed_info(calls.get(f"{origin}/notes")).list
    assert items is not None and [item.id for item in items] == ["1", "2"]
    assert items[0].opened is not None and items[0].opened.text() == "one"
    assert items[1].error is not None and items[1].error.code == "Rejected" and items[1].opened is None


def test_ways_to_trust(service: Service, device: Identity) -> None:
    rule = Rule(service.origin, "/{rest..}", exchange=True, sign=True)
    with httpx.Client(transport=SealedTransport(Policy([rule], {service.origin: TrustFirstUse()}), identity=device, last_seen=MemoryStore())) as calls:
        assert calls.get(f"{service.origin}/echo").status_code == 200
    pins = TrustPins([device.recipient.pin, service.identity.recipient.pin])
    with httpx.Client(transport=SealedTransport(Policy([rule], {service.origin: pins}), identity=device)) as calls:
        assert calls.get(f"{service.origin}/echo").status_code == 200
    with pytest.raises(SealwireError):
        SealedTransport(Policy([rule], {service.origin: TrustKeys(b"none", 0)}))


def test_the_network_fails(device: Identity) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        origin = f"http://127.0.0.1:{closed.getsockname()[1]}"
        policy = Policy([Rule(origin, "/{rest..}", exchange=True)], {origin: device.recipient.pin})
        events: list[CallEvent] = []
        with httpx.Client(transport=SealedTransport(policy, observer=events.append)) as calls:
            with pytest.raises(httpx.TransportError) as raised:
                calls.get(f"{origin}/x")
    assert isinstance(raised.value, SealedNetworkError) and raised.value.code == "Network"
    assert isinstance(raised.value.__cause__, httpx.ConnectError)
    assert events[-1].code == "Network"


def test_timeouts_are_httpx_own(service: Service) -> None:
    with client(service, exchange=True, streamed=True, sign=True) as calls:
        with pytest.raises(httpx.TimeoutException) as raised:
            calls.get(f"{service.origin}/events", timeout=0.3)
        assert isinstance(raised.value, SealedTimeout)
        service.echo.go.set()


def test_too_large(service: Service) -> None:
    transport = SealedTransport(service.policy(), identity=service.device, max_body=1000)
    with httpx.Client(transport=transport) as calls:
        with pytest.raises(SealwireError) as raised:
            calls.post(f"{service.origin}/echo", content=bytes(1001))
        assert raised.value.code == "TooLarge"
        with pytest.raises(SealwireError) as raised:
            calls.get(f"{service.origin}/large")
        assert raised.value.code == "TooLarge"


def test_observers_do_not_decide(service: Service) -> None:
    def raises(_: CallEvent) -> None:
        raise RuntimeError("on purpose")

    with httpx.Client(transport=SealedTransport(service.policy(), identity=service.device, observer=raises)) as calls:
        assert calls.get(f"{service.origin}/echo").status_code == 200

    def interrupts(_: CallEvent) -> None:
        raise KeyboardInterrupt

    with httpx.Client(transport=SealedTransport(service.policy(), identity=service.device, observer=interrupts)) as calls:
        with pytest.raises(KeyboardInterrupt):
            calls.get(f"{service.origin}/echo")


@pytest.mark.parametrize("kind", KINDS)
def test_async_calls(service: Service, kind: str) -> None:
    async def run() -> None:
        transport = AsyncSealedTransport(service.policy(**kind_of(service, kind)), identity=service.device)
        async with httpx.AsyncClient(transport=transport, timeout=60) as calls:
            answers = await asyncio.gather(*(calls.post(f"{service.origin}/echo/{at}", content=str(at).encode()) for at in range(16)))
            assert [answer.text for answer in answers] == [f"POST /echo/{at} {at}" for at in range(16)]
            assert (await calls.head(f"{service.origin}/echo")).content == b""
            with pytest.raises(Misuse):
                await calls.get("http://127.0.0.1:1/")

    asyncio.run(run())


def test_async_streams(device: Identity) -> None:
    async def run(service: Service) -> None:
        transport = AsyncSealedTransport(service.policy(exchange=True, streamed=True, sign=True), identity=device)
        async with httpx.AsyncClient(transport=transport, timeout=60) as calls:
            async with calls.stream("GET", f"{service.origin}/events") as answer:
                pieces = answer.aiter_raw()
                assert await pieces.__anext__() == b"data: 1\n\n"
                service.echo.go.set()
                assert await pieces.__anext__() == b"data: 2\n\n"

            async def source() -> AsyncIterator[bytes]:
                for _ in range(32):
                    yield bytes(65_536)

            assert (await calls.post(f"{service.origin}/upload", content=source())).text == str(32 * 65_536)
            with pytest.raises((Truncated, SealedNetworkError)):
                await calls.get(f"{service.origin}/breaks")
            # Cancelled: everything is released.
            service.echo.go.clear()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(calls.get(f"{service.origin}/events"), 0.3)
            service.echo.go.set()
            assert (await calls.get(f"{service.origin}/echo")).status_code == 200

    with Service(device, stream=["/upload"]).running() as service:
        asyncio.run(run(service))


def test_no_identity_of_another_kem_is_needed() -> None:
    """A post-quantum service and device."""
    device = Identity.generate(kem=Kem.X_WING)
    with Service(device).running() as service, client(service) as calls:
        assert calls.get(f"{service.origin}/echo").status_code == 200


ORIGIN = "https://api.example.com"
# Without a type checker.
RULE, POLICY, RESOURCE = cast("tuple[Any, Any, Any]", (Rule, Policy, SealedResource))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: RULE("api.example.com", "/x"), Malformed),
        (lambda: RULE(f"{ORIGIN}/", "/x"), Malformed),
        (lambda: RULE("https://API.example.com", "/x"), Malformed),
        (lambda: RULE(ORIGIN, "x"), Malformed),
        (lambda: RULE(ORIGIN, 5), TypeError),
        (lambda: RULE(ORIGIN, "/x", sign="no"), TypeError),
        (lambda: RULE(ORIGIN, "/x", exchange="yes"), Misuse),
        (lambda: RULE(ORIGIN, "/x", exchange=Tunnel("nowhere")), Malformed),
        (lambda: RULE(ORIGIN, "/x", seal="notes"), TypeError),
        (lambda: RULE(ORIGIN, "/x", seal=RESOURCE("notes", "id", to=["bob"])), TypeError),
        (lambda: RULE(ORIGIN, "/x", seal=RESOURCE("notes", "id", senders=["bob"])), InvalidKey),
        (lambda: RULE(ORIGIN, "/x", seal=RESOURCE("notes", "id", list=("id", "envelope"))), TypeError),
        (lambda: POLICY(ORIGIN, "sealwire-pin1"), Misuse),
        (lambda: POLICY(RULE(ORIGIN, "/x")), Misuse),
        (lambda: POLICY([RULE(ORIGIN, "/x")], [ORIGIN]), Misuse),
        (lambda: POLICY([ORIGIN]), TypeError),
        (lambda: POLICY([], {"api.example.com": TrustFirstUse()}), Malformed),
        (lambda: POLICY([], {ORIGIN: "sealwire-pin1"}), InvalidKey),
    ],
)
def test_a_policy_that_makes_no_sense(make: Callable[[], Any], error: type[Exception]) -> None:
    """It is said where it is written."""
    with pytest.raises(error):
        make()


def test_transports_of_wrong_kinds(device: Identity) -> None:
    policy = Policy([Rule(ORIGIN, "/{rest..}", in_the_clear=True)])
    wrong: Any = {
        "policy": [None, {}, ORIGIN], "identity": ["x", device.recipient], "keys": ["x", [device]], "last_seen": ["store"], "observer": ["x"],
        "transport": ["x"],
    }  # fmt: skip
    for kind, other in ((SealedTransport, httpx.AsyncHTTPTransport()), (AsyncSealedTransport, httpx.HTTPTransport())):
        for name, values in wrong.items():
            for value in [*values, other] if name == "transport" else values:
                with pytest.raises(TypeError):
                    kind(**{"policy": policy, name: value})
    with pytest.raises(TypeError), httpx.Client(transport=SealedTransport(policy)) as calls:
        calls.get(ORIGIN, extensions={"sealwire": CallOptions(to=["bob"])})  # type: ignore[list-item]


def test_clients_of_wrong_kinds() -> None:
    policy = Policy([Rule(ORIGIN, "/{rest..}", in_the_clear=True)])

    async def calls(enters: bool) -> None:
        client = httpx.AsyncClient(transport=SealedTransport(policy))  # type: ignore[arg-type]
        await (client.__aenter__() if enters else client.get(ORIGIN))

    for enters in (False, True):
        with pytest.raises(Misuse):
            asyncio.run(calls(enters))
        client = httpx.Client(transport=AsyncSealedTransport(policy))  # type: ignore[arg-type]
        with pytest.raises(Misuse):
            client.__enter__() if enters else client.get(ORIGIN)

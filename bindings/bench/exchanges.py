"""An exchange, both ends in this process: ours beside hpke-http, each as its README sets it up."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import hpke_http
import httpx
from hpke_http.middleware.fastapi import HPKEMiddleware
from hpke_http.middleware.httpx import DiscoveredEndpoint, HPKEAsyncClient

from sealwire import Identity, Kem, Policy, Rule
from sealwire._caller import Caller, Head, Send
from sealwire._clock import now
from sealwire._ffi import sealwire as ffi
from sealwire.asgi import MemoryReplayCache, SealwireMiddleware, ServiceKeys
from sealwire.httpx import AsyncSealedTransport

ORIGIN = "https://api.example.com"
URL = f"{ORIGIN}/items"
PSK = b"example pre-shared key with 32 bytes!!"
#: Noise: hpke-http compresses.
BODIES = {"1 KiB each way": os.urandom(1 << 10), "1 MiB each way": os.urandom(1 << 20)}
FIELDS = [(b"content-type", b"application/octet-stream")]

Exchange = Callable[[bytes], Awaitable[bytes]]
#: Row, then who: a column.
Measured = dict[str, dict[str, float]]


def exchanges(seconds: float, rounds: int) -> Measured:
    """Microseconds: medians of single runs, and of the rounds, in which everybody has a turn."""
    return asyncio.run(_exchanges(seconds, rounds))


async def _exchanges(seconds: float, rounds: int) -> Measured:
    pair = hpke_http.generate_key_pair()
    async with (
        DiscoveredEndpoint(f"{ORIGIN}/protected", transport=httpx.ASGITransport(_their_app(pair.private_key))) as endpoint,
        HPKEAsyncClient(endpoint, PSK, b"tenant-1") as their_client,
        httpx.AsyncClient(transport=httpx.ASGITransport(_echo)) as plain,
        httpx.AsyncClient(transport=_our_transport(Kem.X25519)) as x25519,
        httpx.AsyncClient(transport=_our_transport(Kem.X_WING)) as x_wing,
    ):
        levels: dict[str, dict[str, Exchange]] = {
            "the protocol alone": {
                "x25519": _our_protocol(Kem.X25519),
                "x-wing": _our_protocol(Kem.X_WING),
                "hpke-http": _their_protocol(pair),
            },
            "httpx to ASGI": {
                "plain": _posting(plain),
                "x25519": _posting(x25519),
                "x-wing": _posting(x_wing),
                "hpke-http": _posting(their_client),
            },
        }
        runs: dict[str, dict[str, list[float]]] = {}
        for _ in range(rounds):
            for level, contestants in levels.items():
                for name, body in BODIES.items():
                    for who, exchange in contestants.items():
                        if await exchange(body) != body:
                            raise RuntimeError(f"{who} gives another body")
                        runs.setdefault(f"{name}, {level}", {}).setdefault(who, []).append(await _median(seconds, exchange, body))
    return {what: {who: statistics.median(all) for who, all in by.items()} for what, by in runs.items()}


async def _median(seconds: float, exchange: Exchange, body: bytes) -> float:
    end = time.perf_counter() + seconds
    runs: list[float] = []
    while time.perf_counter() < end or len(runs) < 20:
        started = time.perf_counter_ns()
        await exchange(body)
        runs.append(time.perf_counter_ns() - started)
    return statistics.median(runs) / 1000


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    """The app."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": FIELDS})
    await send({"type": "http.response.body", "body": body})


def _posting(client: Any) -> Exchange:
    async def post(body: bytes) -> bytes:
        response = await client.post(URL, content=body, headers={"content-type": "application/octet-stream"})
        content: bytes = response.content
        return content

    return post


def _our_service(kem: Kem) -> tuple[SealwireMiddleware, Policy]:
    identity = Identity.generate(kem=kem)
    service = SealwireMiddleware(_echo, origin=ORIGIN, keys=ServiceKeys.generate(kem=kem), identity=identity)
    return service, Policy([Rule(ORIGIN, "/{rest..}", exchange=True)], {ORIGIN: identity.recipient.pin})


def _our_transport(kem: Kem) -> AsyncSealedTransport:
    service, policy = _our_service(kem)
    return AsyncSealedTransport(policy, transport=httpx.ASGITransport(service))


def _our_protocol(kem: Kem) -> Exchange:
    service, policy = _our_service(kem)
    caller = Caller(policy, identity=None, keys=None, last_seen=None, observer=None, max_body=64 << 20)
    gate, cache = service._gate, MemoryReplayCache()

    def serve(sent: Send) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        fields = [ffi.Field(name=name.decode(), value=value) for name, value in sent.fields]
        entered = gate.enter(sent.method, sent.url.removeprefix(ORIGIN), fields, bool(sent.body), now())
        passage, step = entered.passage, entered.step
        if isinstance(step, ffi.GateStep.READ):
            passage.push(sent.body, now())
            step = passage.finish(now())
        if isinstance(step, ffi.GateStep.REMEMBER):
            step = passage.inserted(cache.insert(step.id, step.made, step.until, now()), False, now())
        if isinstance(step, ffi.GateStep.ADMITTED):
            answer = passage.seal(200, [ffi.Field(name="content-type", value=FIELDS[0][1])], step.request.content)
            passage.served(200)
        else:
            assert isinstance(step, ffi.GateStep.ANSWER)
            answer = step.answer
        return answer.status, [(field.name.encode(), field.value) for field in answer.fields], answer.body

    async def exchange(body: bytes) -> bytes:
        steps = caller.steps("POST", URL, FIELDS, body, None)
        step = next(steps)
        while True:
            assert isinstance(step, Send)
            status, fields, answer = serve(step)
            steps.send(Head(status, fields))
            try:
                steps.send(answer)
                step = steps.send(None)
            except StopIteration as stopped:
                content: bytes = stopped.value.body
                return content

    return exchange


def _their_app(private_key: bytes) -> Any:
    seen = set()

    def admit(replay_id: bytes, _deadline: int, _scope: Any) -> bool:
        seen.add(replay_id)
        return True

    return HPKEMiddleware(_echo, private_key, b"key-1", lambda _id, _scope: PSK, admit, transport_path="/protected", key_use_for_s=3600)


def _their_protocol(pair: hpke_http.KeyPair) -> Exchange:
    client = hpke_http.Client(pair.public_key, b"key-1", PSK, b"tenant-1")
    server = hpke_http.Server(pair.private_key, b"key-1")
    headers = (hpke_http.Header("content-type", "application/octet-stream"),)

    async def exchange(body: bytes) -> bytes:
        protected = client.protect(hpke_http.Request(hpke_http.Method.POST, "api.example.com", "/items", headers, body))
        opened = server.preparse(protected.envelope).authenticate(PSK).admit(accepted=True)
        reply = opened.protect_response(hpke_http.Response(200, headers, opened.request.body))
        return protected.open_response(reply).body

    return exchange

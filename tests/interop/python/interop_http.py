"""The operations of interop.py for §18 to §21. Fields are pairs of name and value, bytes are base64url."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import sealwire_client as sc
import sealwire_fields as sf
import sealwire_hpke as hpke
import sealwire_http as sh
import sealwire_spec as sw

VECTORS = Path(__file__).parents[2] / "vectors/foreign"
KEM_IDS = {kem.name: kem_id for kem_id, kem in sw.KEMS.items()}
AEAD_IDS = {"AES-128-GCM": 1, "AES-256-GCM": 2, "ChaCha20-Poly1305": 3}

services: dict[int, sh.Service] = {}
clients: dict[int, sc.Client] = {}
under_way: dict[int, Any] = {}  # requests that were opened, or sealed, and wait for their response
numbers = count(1)


def put(where: dict[int, Any], what: Any) -> int:
    number = next(numbers)
    where[number] = what
    return number


def fields_from_json(fields: list) -> sh.Fields:
    return [(name, value.encode("latin-1")) for name, value in fields]


def fields_to_json(fields: sh.Fields) -> list:
    return [[name, value.decode("latin-1")] for name, value in fields]


def outer_from_json(ask: dict) -> sh.Outer:
    fields = fields_from_json(ask["fields"])
    return sh.Outer(ask["method"], ask["path"], ask.get("query"), fields, sw.from_text(ask["body"]))


def outer_to_json(outer: sh.Outer) -> dict:
    return {
        "method": outer.method,
        "path": outer.path,
        "query": outer.query,
        "fields": fields_to_json(outer.fields),
        "body": sw.to_text(outer.body),
    }


def options(ask: dict) -> dict:
    carriage = sh.Carriage(
        ask.get("mode", sh.IN_PLACE),
        ask.get("tunnel", ""),
        ask.get("expose_query", False),
        tuple(ask.get("expose", ())),
    )
    return {"form": sh.CHUNKED if ask.get("chunked") else sh.WHOLE, "carriage": carriage}


# ---- a service --------------------------------------------------------------------------------


def http_service(ask: dict) -> dict:
    identity, now = sw.generate(KEM_IDS[ask.get("identity_kem", "X25519")]), ask["now"]
    key = sh.make_key(KEM_IDS[ask["kem"]], AEAD_IDS[ask["aead"]], ask.get("key_id", 7), now + 3600)
    scheme, _, authority = ask["origin"].partition("://")
    service = sh.Service(scheme, authority, [key], ask.get("public", ""), ask.get("local", ""), ask.get("tunnel"))
    service.post_carrier = ask.get("post_carrier", False)
    return {
        "service": put(services, service),
        "pin": identity.recipient.pin,
        "document": sw.to_text(sh.write_document(identity, [ask["origin"]], now, now, [key])),
    }


def http_open(ask: dict) -> dict:
    service, outer = services[ask["service"]], outer_from_json(ask)
    signer = None
    if ask.get("signers"):
        keys = [bytes.fromhex(key) for key in ask["signers"]]
        signer = sh.verify_origin(outer, service.authority, keys, ask["now"]).key_id
    opened = sh.open_exchange(service, outer, ask["now"], signer)
    inner = opened.request
    return {
        "exchange": put(under_way, opened),
        "method": inner.method,
        "target": inner.target,
        "fields": fields_to_json(inner.fields),
        "content": sw.to_text(inner.content),
        "signer": signer,
        "replay_id": opened.exchange.replay_id.hex(),
    }


def http_answer(ask: dict) -> dict:
    response = sh.Response(ask["status"], fields_from_json(ask["fields"]), sw.from_text(ask.get("content", "")))
    pieces = [sw.from_text(piece) for piece in ask["pieces"]] if "pieces" in ask else None
    fields, body = sh.answer(under_way[ask["exchange"]], response, pieces)
    return {"fields": fields_to_json(fields), "pieces": [sw.to_text(piece) for piece in body]}


# ---- a client ---------------------------------------------------------------------------------


def http_client(ask: dict) -> dict:
    identity = sw.parse_identity(ask["identity"]) if ask.get("identity") else None
    pins = [sw.parse_pin(pin) for pin in ask["pins"]]
    client = sc.Client(ask["origin"], pins, identity, ask.get("connect", ""))
    if "clock" in ask:
        client.clock = lambda: ask["clock"]
    if "document" in ask:
        document = sw.from_text(ask["document"])
        client.keys = sh.read_document(document, client.origin, pins, client.memory, client.clock())
    return {"client": put(clients, client)}


def http_keys(ask: dict) -> dict:
    keys = clients[ask["client"]].fetch_keys()
    return {"serial": keys.serial, "kem": sw.KEMS[keys.key.kem].name, "aead": keys.key.aead}


def http_send(ask: dict) -> dict:
    """The pieces are those that came one by one."""
    args = (ask["method"], ask["target"], fields_from_json(ask["fields"]), sw.from_text(ask.get("content", "")))
    client = clients[ask["client"]]
    if ask.get("pieces"):
        with client.stream(*args, **options(ask)) as (head, pieces):
            came = [sw.to_text(piece) for piece in pieces]
        return {"status": head.status, "fields": fields_to_json(head.fields), "pieces": came}
    response = client.send(*args, **options(ask))
    content = sw.to_text(response.content)
    return {"status": response.status, "fields": fields_to_json(response.fields), "content": content}


def http_seal(ask: dict) -> dict:
    args = (ask["method"], ask["target"], fields_from_json(ask["fields"]), sw.from_text(ask.get("content", "")))
    sealed = clients[ask["client"]].seal(*args, **options(ask))
    return {"exchange": put(under_way, sealed)} | outer_to_json(sealed.outer)


def http_read(ask: dict) -> dict:
    """A response to what `http_seal` made."""
    sealed = under_way[ask["exchange"]]
    fields = fields_from_json(ask["fields"])
    response = sh.open_response(sealed, ask["status"], fields, sw.from_text(ask["body"]))
    content = sw.to_text(response.content)
    return {"status": response.status, "fields": fields_to_json(response.fields), "content": content}


# ---- single parts -----------------------------------------------------------------------------


def http_document(ask: dict) -> dict:
    memory = sh.Memory(ask.get("serial", 0))
    pins = [sw.parse_pin(pin) for pin in ask["pins"]]
    keys = sh.read_document(sw.from_text(ask["document"]), ask["origin"], pins, memory, ask["now"])
    return {"serial": keys.serial, "expires": keys.expires, "key_id": keys.key.key_id}


def http_seal_raw(ask: dict) -> dict:
    """Any bytes as the message of a request to that method and path, and what this side says to them."""
    client, message = clients[ask["client"]], sw.from_text(ask["message"])
    exchange = sh.begin(client.keys.key, sh.WHOLE)
    body = sh.seal_request(exchange, [message])
    outer = sh.Outer(ask["method"], ask["path"], None, [("content-type", sh.WHOLE.request_type)], body)
    scheme, _, authority = client.origin.partition("://")
    service = sh.Service(scheme, authority, [], tunnel_path="/gateway", post_carrier=True)
    try:
        sh.check_inner(service, outer, sh.read_request(message), client.clock(), None)
        verdict = "ok"
    except sw.SealwireError as error:
        verdict = error.code
    return {"verdict": verdict} | outer_to_json(outer)


def origin_sign(ask: dict) -> dict:
    outer, identity = outer_from_json(ask), sw.parse_identity(ask["identity"])
    head = sw.from_text(ask.get("head", ""))
    sh.sign_origin(outer, ask["authority"], identity, ask["now"], head=head, also=tuple(ask.get("also", ())))
    return outer_to_json(outer)


def origin_verify(ask: dict) -> dict:
    keys = [bytes.fromhex(key) for key in ask["signers"]]
    policy = sh.Policy(demanded=tuple(ask.get("demanded", ())))
    verified = sh.verify_origin(outer_from_json(ask), ask["authority"], keys, ask["now"], policy)
    replay_id = None if verified.replay_id is None else verified.replay_id.hex()
    return {"key_id": verified.key_id, "replay_id": replay_id, "until": verified.until}


# ---- others' vectors, and the worked examples -------------------------------------------------


def http_vectors(_: dict) -> dict:
    def read(name: str) -> Any:
        return json.loads((VECTORS / name).read_text())

    return {
        "hpke": sum(hpke.check_vectors(read(f"hpke/{name}.json")) for name in ("rfc9180-x25519", "hpke-pq")),
        "x_wing": hpke.check_xwing_vectors(read("hpke/x-wing.json")),
        "fields": sf.check_vectors([v for path in sorted((VECTORS / "structured-fields").glob("*.json"))
                                    for v in read(f"structured-fields/{path.name}")]),
    }


def _counter(first: int) -> Any:
    """The random bytes of the worked example of §19: 00 01 02 …"""
    numbers = count(first)
    return lambda size: bytes(next(numbers) & 0xFF for _ in range(size))


def worked_exchange(_: dict) -> dict:
    random, now, origin = _counter(0), 1750000000, "https://api.example.com"
    identity = sw.Identity(sw.X25519, random(32), random(32))
    key_id = random(1)[0] + 1 & 0xFF
    key = sh.make_key(sw.X25519, AEAD_IDS["ChaCha20-Poly1305"], key_id, now + 86400, random(32))
    request = sh.Request(
        "POST", "https", "api.example.com", "/notes?tag=a", [("content-type", b"text/plain")], b"hello"
    )
    ephemeral = hpke.derive_x25519(random(32))
    sealed = sh.seal(key, request, now, ephemeral=ephemeral)
    inner = sh.Request(request.method, request.scheme, request.authority, request.target,
                       sh.inner_fields(request, sh.IN_PLACE, None, now), request.content)  # fmt: skip
    service = sh.Service("https", "api.example.com", [key])
    opened = sh.open_exchange(service, sealed.outer, now)
    response = sh.Response(201, [], b"17")
    body = sh.seal_response(opened.exchange, [sh.write_known(response)], random(32))
    return {
        "fingerprint of the identity": identity.recipient.fingerprint.hex(),
        "configurations": sh.write_configurations([key]).hex(),
        "key document": sh.write_document(identity, [origin], now, now, [key]).hex(),
        "request, before its zeros": sh.known_unpadded(inner).hex(),
        "encapsulated request": sealed.outer.body.hex(),
        "replay id": opened.exchange.replay_id.hex(),
        "response, before its zeros": sh.known_unpadded(response).hex(),
        "encapsulated response": b"".join(body).hex(),
    }


def worked_signature(_: dict) -> dict:
    seed, now = bytes(range(0x20, 0x40)), 1700000000
    identity = sw.Identity(sw.X25519, bytes(32), seed)
    outer = sh.Outer("PUT", "/notes/17", "draft=1", [("content-type", b"application/vnd.sealwire")], b"hello")
    sh.sign_origin(outer, "api.example.com", identity, now, nonce=bytes(range(0x40, 0x50)))
    verified = sh.verify_origin(outer, "api.example.com", [identity.signing_public], now)
    params, _ = sh.which_signature(outer)
    return {
        "signing key, 32-byte seed": seed.hex(),
        "public key": identity.signing_public.hex(),
        "key id": verified.key_id,
        "signature base": sh.signature_base(outer, "api.example.com", params).decode(),
        "fields": "\n".join(f"{name}: {value.decode()}" for name, value in outer.fields),
        "replay id": verified.replay_id.hex(),
    }


OPERATIONS = {
    operation.__name__: operation
    for operation in (
        http_service, http_open, http_answer, http_client, http_keys, http_send, http_seal, http_read, http_document,
        http_seal_raw, origin_sign, origin_verify, http_vectors, worked_exchange, worked_signature,
    )
}  # fmt: skip

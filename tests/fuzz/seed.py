"""Makes the seed corpora from the test vectors: tests/fuzz/seed.py. One file per case, named like the case.

What the exchange targets take in front of the bytes stands in their fuzz_target! line: integers are little-endian.
"""

import base64
import json
import pathlib

here = pathlib.Path(__file__).parent
vectors = here.parent / "vectors" / "envelope"
for path in sorted(vectors.glob("*.json")):
    case = json.loads(path.read_text())
    operation = case["operation"]
    if operation == "open":
        text = case["envelope"]
        seed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        targets = ["header", "open", "rewrap"]
    else:
        seed = case["text"].encode()
        targets = ["text"] if operation == "text" else ["keys"]
    if len(seed) > 2500:
        continue
    for target in targets:
        folder = here / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / path.stem).write_bytes(seed)


def seed(target, name, content):
    folder = here / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def string(text):
    return bytes([len(text)]) + text


def message(framing, control, fields, content):
    """Binary HTTP with strings below 64 bytes; framings 2 and 3 have no lengths of sections, but ends."""
    written = b"".join(string(part) for field in fields for part in field)
    if framing < 2:
        written, end = string(written), b""
    else:
        written, end = written + b"\0", b"\0\0"
    return bytes([framing]) + control + written + string(content) + end


target = b"".join(map(string, [b"POST", b"https", b"a.b", b"/n?q"]))
date = [(b"date", b"Fri, 15 Jan 2027 08:00:00 GMT")]
mode = [(b"sealwire-mode", b"tunnel")]
messages = {
    "request-known": message(0, target, date, b"body"),
    "request-padded": message(0, target, date + mode, b"") + bytes(40),
    "request-indeterminate": message(2, target, date, b"body"),
    "request-length": message(0, target, date + [(b"content-length", b"4")], b"body"),
    "response-known": message(1, b"\x41\x94", [(b"etag", b"5")], b"body"),
    "response-interim": message(1, b"\x40\x67" + string(b"\1a\1b") + b"\x40\xc8", [], b""),
    "response-indeterminate": message(3, b"\x40\xc8", [(b"etag", b"5")], b"body"),
}
for name, content in messages.items():
    seed("binary_http", name, b"\x07" + content)
    if name.startswith("request"):
        seed("exchange_request", name, b"\x07\0" + content)
seed("exchange_request", "field", b"\x07\1:AQAgAAEAAw==:;chunked")
for at, cut, change in [(0, 0, b""), (0, 1, b"x"), (33, 1, b"\x40"), (60, 200, b""), (1000, 0, b"\0")]:
    for chunked in (0, 1):
        head = bytes([chunked]) + at.to_bytes(2, "little") + bytes([cut, 9])
        seed("exchange_response", f"{chunked}-{at}-{cut}", head + change)
for path in sorted((vectors.parent / "foreign" / "ohttp").glob("*.json")):
    vector = json.loads(path.read_text())
    config = bytes.fromhex(vector["key_config"])
    seed("key_document", path.stem, b"\0\0\0" + len(config).to_bytes(2, "big") + config)
    request = bytes.fromhex(vector["encapsulated_request"])
    seed("exchange_request", path.stem, bytes([7, "chunked" in vector]) + request)
for at, cut, change in [(0, 0, b""), (3, 1, b"x"), (200, 10, b"")]:
    seed("key_document", f"{at}-{cut}", at.to_bytes(2, "little") + bytes([cut]) + change)
for name, text in {
    "list": '[{"id":17,"sealed":"c2VhbHdpcmUB"},{"id":"18","x":[null,-1.5e3,{}]}]',
    "escapes": '"\\ud83d\\ude00\\n\\/"',
    "lone": '"\\udafa"',
    "numbers": "[0,-0,1e5,01]",
}.items():
    seed("json", name, text.encode())
for name, lines in {
    "public": ["GET", "/public/a", "host:a.b"],
    "climbs": ["GET", "/public/..%2Fnotes", ""],
    "dots": ["GET", "/public/a..b", ""],
    "exchange": ["POST", "/notes", "content-type:message/ohttp-req", "", "\0\0"],
    "preflight": ["OPTIONS", "/notes", "origin:https://page.example", "access-control-request-method:PUT"],
    "keys": ["GET", "/.well-known/sealwire-keys", ""],
}.items():
    seed("gate", name, b"\0\x07" + "\n".join(lines).encode())

"""seal, open, rewrap, reseal, keys and their errors."""

from __future__ import annotations

import contextlib
import copy
import gc
import importlib.metadata
import inspect as reflection
import pickle
import re
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sealwire
from sealwire import (
    Aead, Anonymous, ContentKey, Identity, InvalidKey, Kem, Keyring, Malformed, Misuse, NotRecipient, Passphrase, Pin, Policy, Recipient,
    Rejected, Rule, SealContext, SealwireError, Signer, SymmetricKey, Unsealed, from_text, header_len, inspect, join, open_detached, reseal, rewrap,
    rewrap_header, seal, seal_parts, sign_request, split, to_text,
)  # fmt: skip
from sealwire._ffi import sealwire as ffi
from sealwire.httpx import SealedTransport

NOTE = SealContext("notes", "17")
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def bob() -> Identity:
    return Identity.generate()


@pytest.fixture(scope="module")
def alice() -> Identity:
    return Identity.generate()


@pytest.fixture(scope="module")
def quick() -> Identity:
    return Identity.generate(kem=Kem.X25519)


def code_of(does: Callable[[], object]) -> str:
    with pytest.raises(SealwireError) as raised:
        does()
    return raised.value.code


def test_version_is_the_workspaces() -> None:
    workspace = (ROOT / "Cargo.toml").read_text()
    assert (found := re.search(r'^version = "(.+)"', workspace, re.MULTILINE))
    assert sealwire.__version__ == found[1] == importlib.metadata.version("sealwire")


def test_every_code_has_its_exception() -> None:
    classes = {kind.code: kind for kind in vars(sealwire).values() if reflection.isclass(kind) and issubclass(kind, SealwireError)}
    assert classes.keys() - {"internal"} == set(ffi.error_codes())
    for code in ffi.error_codes():
        failure = getattr(ffi.Failure, code)("a sentence", *([502] if code == "Unsealed" else []))

        def fails(failure: Exception = failure) -> None:
            raise failure

        with pytest.raises(classes[code], match="a sentence") as raised:
            sealwire._error.call(fails)
        assert raised.value.code == code
        if isinstance(raised.value, Unsealed):
            assert raised.value.status == 502

    def panics() -> None:
        raise ffi.InternalError("secret")

    with pytest.raises(sealwire.Internal) as broken:
        sealwire._error.call(panics)
    assert broken.value.code == "internal" and "secret" not in str(broken.value)


def test_round_trip_of_every_option(alice: Identity, bob: Identity) -> None:
    context = SealContext("wiki/page", 4, "history", b"\0\1", 2**64 - 1)
    for aead in (None, *Aead):
        for padded in (True, False):
            envelope = seal(
                "grüße", bob.recipient, context, sign=alice, metadata={"version": 2**53 + 1, "policy": "p", "blob": b"\1"}, created=1_800_000_000,
                content_type="text/plain", filename="ü.txt", aead=aead, padded=padded, part="title",
            )  # fmt: skip
            opened = sealwire.open(envelope, bob, context, expect=alice.signer, part="title")
            assert opened.text() == "grüße" and bytes(opened) == opened.plaintext
            assert opened.signer == alice.signer
            about = opened.about
            assert (about.created, about.content_type, about.filename, about.addressed_to_me) == (1_800_000_000, "text/plain", "ü.txt", True)
            assert about.metadata == {"version": 2**53 + 1, "policy": "p", "blob": b"\1"} and about.version == 2**53 + 1
            header = inspect(envelope)
            assert header.unverified_padded is padded
            assert aead is None or header.unverified_aead is aead
            assert header.unverified_metadata == about.metadata
            assert header.length == header_len(envelope) == len(split(envelope)[0])
    unsigned = sealwire.open(seal(b"", bob.recipient, NOTE), bob, NOTE)
    assert (unsigned.plaintext, unsigned.signer, unsigned.about.addressed_to_me) == (b"", None, None)


def test_whatever_is_bytes_is_taken(bob: Identity) -> None:
    for payload in (b"abc", bytearray(b"abc"), memoryview(b"abc"), memoryview(b"xabcx")[1:4], "abc"):
        envelope = seal(payload, bob.recipient, NOTE)
        for kind in (bytes, bytearray, memoryview):
            assert sealwire.open(kind(envelope), bob, NOTE).plaintext == b"abc"
    for other in (3, None, [1], object()):
        with pytest.raises(TypeError):
            seal(other, bob.recipient, NOTE)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            sealwire.open(other, bob, NOTE)  # type: ignore[arg-type]


def test_every_kind_of_reader(bob: Identity, quick: Identity) -> None:
    passphrase, key = Passphrase("seven words", memory=8192, passes=1, lanes=1), SymmetricKey.generate()
    envelope = seal(b"x", [bob.recipient, Anonymous(bob.recipient), passphrase, key], NOTE)
    for keys in (bob, passphrase, key, Keyring(quick, key)):
        assert sealwire.open(envelope, keys, NOTE).plaintext == b"x"
    assert [slot.kind for slot in inspect(envelope).unverified_slots] == ["hpke", "hpke", "passphrase", "symmetric"]
    hpke, anonymous, by_passphrase, symmetric = inspect(envelope).unverified_slots
    assert hpke.kem is Kem.X_WING and hpke.hint is not None and anonymous.hint is None
    assert by_passphrase.costs == (8192, 1, 1) and symmetric.key_id == key.id
    assert code_of(lambda: sealwire.open(envelope, quick, NOTE)) == "NotRecipient"
    assert code_of(lambda: sealwire.open(envelope, Passphrase("other"), NOTE)) == "NotRecipient"
    assert code_of(lambda: seal(b"x", [bob.recipient, quick.recipient], NOTE)) == "Misuse"
    mixed = seal(b"x", (bob.recipient, quick.recipient), NOTE, allow_classical=True)
    assert sealwire.open(mixed, quick, NOTE).plaintext == b"x"
    assert code_of(lambda: seal(b"x", [], NOTE)) == "Misuse"
    with pytest.raises(TypeError):
        seal(b"x", "bob", NOTE)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        sealwire.open(envelope, "bob", NOTE)  # type: ignore[arg-type]


def test_expecting(alice: Identity, bob: Identity, quick: Identity) -> None:
    signed, unsigned = seal(b"x", bob.recipient, NOTE, sign=alice), seal(b"x", bob.recipient, NOTE)
    assert sealwire.open(signed, bob, NOTE, expect=[quick.signer, alice.signer]).signer == alice.signer
    assert sealwire.open(signed, bob, NOTE, expect=str(alice.signer)).signer == alice.signer
    assert code_of(lambda: sealwire.open(signed, bob, NOTE, expect=quick.signer)) == "Rejected"
    assert code_of(lambda: sealwire.open(signed, bob, NOTE, expect=[])) == "Rejected"
    assert code_of(lambda: sealwire.open(unsigned, bob, NOTE, expect=alice.signer)) == "Rejected"
    assert code_of(lambda: sealwire.open(unsigned, bob, NOTE, expect="nobody")) == "InvalidKey"


def test_envelopes_that_were_bent(bob: Identity) -> None:
    envelope = seal(bytes(range(256)) * 200, bob.recipient, NOTE, aead=Aead.AES_256_GCM)
    length = inspect(envelope).length
    expected = {"Malformed", "Unsupported", "NotRecipient", "Rejected", "Truncated", "TooLarge"}
    for at in [*range(0, length, 97), *range(length, len(envelope), 1999)]:
        flipped = bytearray(envelope)
        flipped[at] ^= 1
        assert code_of(lambda flipped=flipped: sealwire.open(flipped, bob, NOTE)) in expected
    for at in [0, 1, 10, length - 1, length, length + 55, length + 56, len(envelope) - 1]:
        assert code_of(lambda at=at: sealwire.open(envelope[:at], bob, NOTE)) in {"Truncated", "Rejected"}
    chunk = 16 * 1024 + 16
    first = length + 56
    swapped = envelope[:first] + envelope[first + chunk : first + 2 * chunk] + envelope[first : first + chunk] + envelope[first + 2 * chunk :]
    doubled = envelope[: first + chunk] + envelope[first:]
    for bent in (swapped, doubled, envelope + envelope, envelope + b"\0"):
        assert code_of(lambda bent=bent: sealwire.open(bent, bob, NOTE)) == "Rejected"
    assert code_of(lambda: sealwire.open(b"no envelope at all, whatever it is", bob, NOTE)) == "Malformed"
    assert code_of(lambda: sealwire.open(envelope, bob, SealContext("notes", "18"))) == "Rejected"
    assert code_of(lambda: sealwire.open(envelope, bob, NOTE, part="other")) == "Rejected"


def test_contexts_and_options_over_their_limits(bob: Identity) -> None:
    for context in (SealContext(""), SealContext("x" * 129), SealContext("n", *range(17)), SealContext("n", "x" * 1025), SealContext("n", 2**64), SealContext("n", -1), SealContext("\ud800")):
        with pytest.raises(Misuse):
            seal(b"x", bob.recipient, context)
    with pytest.raises(Misuse):
        SealContext("n", True)
    with pytest.raises(Misuse):
        seal(b"x", bob.recipient, NOTE, created=-1)
    with pytest.raises(Misuse):
        seal(b"x", bob.recipient, NOTE, metadata={"x": True})
    with pytest.raises(TypeError):
        SealContext("n", 1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        seal(b"x", bob.recipient, ("notes", "17"))  # type: ignore[arg-type]
    assert code_of(lambda: seal(b"x", [bob.recipient] * 1025, NOTE)) in {"TooLarge", "Misuse"}
    assert SealContext("n", "1") != SealContext("n", 1) and SealContext("n", 1) == SealContext("n", 1)


def test_rewrap_and_reseal(alice: Identity, bob: Identity, quick: Identity) -> None:
    envelope = seal(b"x", bob.recipient, NOTE, sign=alice, created=5)
    wrapped = rewrap(envelope, bob, NOTE, alice.recipient)
    assert sealwire.open(wrapped, alice, NOTE).signer == alice.signer
    assert code_of(lambda: sealwire.open(wrapped, bob, NOTE)) == "NotRecipient"
    assert code_of(lambda: rewrap(envelope, bob, SealContext("notes", "18"), alice.recipient)) == "Rejected"
    assert code_of(lambda: rewrap(envelope, quick, NOTE, alice.recipient)) == "NotRecipient"
    header, body = split(envelope)
    assert split(wrapped)[1] == body and join(header, body) == envelope
    new = rewrap_header(header, body[:56], bob, NOTE, alice.recipient)
    assert open_detached(new, body, alice, NOTE).plaintext == b"x"
    assert code_of(lambda: rewrap_header(header, body[:55], bob, NOTE, alice.recipient)) == "Truncated"
    assert code_of(lambda: reseal(envelope, bob, NOTE, alice.recipient)) == "Misuse"
    sealed = reseal(envelope, bob, NOTE, alice.recipient, sign=bob)
    opened = sealwire.open(sealed, alice, NOTE)
    assert (opened.plaintext, opened.signer, opened.about.created) == (b"x", bob.signer, 5)
    assert inspect(sealed).unverified_id != inspect(envelope).unverified_id


def test_parts(bob: Identity) -> None:
    sealed = seal_parts({"title": "t", "text": b"x" * 20_000}, bob.recipient, NOTE)
    for name, body, payload in zip(("title", "text"), sealed.bodies, (b"t", b"x" * 20_000), strict=True):
        assert open_detached(sealed.header, body, bob, NOTE, part=name).plaintext == payload
    assert code_of(lambda: open_detached(sealed.header, sealed.bodies[0], bob, NOTE, part="text")) == "Rejected"


def test_text_form(bob: Identity) -> None:
    envelope = seal(b"x", bob.recipient, NOTE)
    assert from_text(to_text(envelope)) == envelope
    for bad in (to_text(envelope) + "=", "a b", "ü"):
        assert code_of(lambda bad=bad: from_text(bad)) == "Malformed"


def test_unlocking_in_two_steps(bob: Identity) -> None:
    class Hsm:
        """It has the key; the app has not."""

        service = "hsm"

        def wrap_key(self, content_key: bytes, binding: bytes) -> bytes:
            return content_key[::-1]

        def unwrap_key(self, wrapped: bytes, binding: bytes) -> bytes | None:
            return wrapped[::-1]

    envelope = seal(b"x", Hsm(), NOTE)
    (slot,) = inspect(envelope).unverified_slots
    assert slot.kind == "external" and slot.service == "hsm" and slot.ct is not None and len(slot.binding) > 0
    with ContentKey(envelope, slot.ct[::-1]) as key:
        assert sealwire.open(envelope, key, NOTE).plaintext == b"x"
        assert code_of(lambda: sealwire.open(seal(b"y", Hsm(), NOTE), key, NOTE)) == "NotRecipient"
    assert sealwire.open(envelope, Hsm(), NOTE).plaintext == b"x"
    assert code_of(lambda: ContentKey(envelope, slot.ct or b"")) in {"Rejected", "NotRecipient"}
    assert code_of(lambda: ContentKey(envelope, b"short")) == "InvalidKey"


def test_what_a_key_service_raises_is_the_cause() -> None:
    class Down:
        service = "kms"
        error: Exception = ConnectionError("down")

        def wrap_key(self, content_key: bytes, binding: bytes) -> bytes:
            raise self.error

        def unwrap_key(self, wrapped: bytes, binding: bytes) -> bytes | None:
            raise self.error

    with pytest.raises(sealwire.StoreFailed) as raised:
        seal(b"x", Down(), NOTE)
    assert raised.value.__cause__ is Down.error
    Down.error = Rejected("no")
    assert code_of(lambda: seal(b"x", Down(), NOTE)) == "Rejected"


def test_identities(alice: Identity, quick: Identity) -> None:
    text = quick.reveal().decode()
    assert text.startswith("sealwire-identity1") and len(text) == 130
    assert Identity.parse(text).recipient == quick.recipient
    assert [one.signer for one in Identity.parse_file(f"# mine\n{text}\n\n{alice.reveal().decode()}\n")] == [quick.signer, alice.signer]
    assert code_of(lambda: Identity.parse(text[:-1] + ("x" if text[-1] != "x" else "y"))) == "InvalidKey"
    assert code_of(lambda: Identity.parse_file("# nobody\n")) == "Malformed"


def test_recipients(alice: Identity, quick: Identity) -> None:
    recipient = Recipient.parse(str(quick.recipient))
    assert recipient == quick.recipient and hash(recipient) == hash(quick.recipient) and recipient != alice.recipient
    assert recipient.kem is Kem.X25519 and alice.recipient.kem is Kem.X_WING
    assert recipient.signer == quick.signer and len(recipient.fingerprint) == 32
    assert recipient.fingerprint_text in repr(recipient)
    assert pickle.loads(pickle.dumps(recipient)) == copy.copy(recipient) == recipient
    assert Pin(recipient.pin) == recipient.pin
    recipient.pin.check(quick.recipient)
    assert code_of(lambda: recipient.pin.check(alice.recipient)) == "InvalidKey"
    for bad in ("", "sealwire1", str(recipient)[:-1], str(recipient) + "q"):
        assert code_of(lambda bad=bad: Recipient.parse(bad)) in {"InvalidKey", "Unsupported", "Malformed"}
    with pytest.raises(InvalidKey):
        Signer("nobody")
    assert Signer(str(quick.signer)) == quick.signer and len(quick.signer.key_id) == 43
    with pytest.raises(SealwireError):
        Pin("sealwire-pin1")


def test_symmetric_keys_and_passphrases() -> None:
    key = SymmetricKey.generate()
    assert SymmetricKey.from_bytes(key.reveal()).id == key.id
    assert code_of(lambda: SymmetricKey.from_bytes(b"short")) == "InvalidKey"
    for text, costs in (("", {}), ("x", {"memory": 1, "passes": 1, "lanes": 1}), ("x", {"memory": 1 << 20, "passes": 1, "lanes": 1})):
        with pytest.raises(SealwireError):
            Passphrase(text, **costs)
    with pytest.raises(TypeError):
        Passphrase("x", memory=8192)


def test_secrets_show_nowhere(quick: Identity) -> None:
    secret = quick.reveal().decode()
    for one in (quick, Passphrase("seven words"), SymmetricKey.generate(), Keyring(quick)):
        for text in (repr(one), str(one), f"{one!r:s}"):
            assert secret[20:40] not in text and "seven" not in text
        for copies in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                copies(one)
    opened = sealwire.open(seal(b"a secret", quick.recipient, NOTE), quick, NOTE)
    assert "secret" not in repr(opened)


def test_secrets_are_not_in_errors(quick: Identity) -> None:
    """Not even where only a debugger or a crash reporter looks: in the error that an error was raised from or after."""
    secret = "the secret\ud800"
    envelope = seal(b"the secret\xff", quick.recipient, NOTE)
    opened = sealwire.open(envelope, quick, NOTE)
    uses: list[Callable[[], object]] = [
        lambda: seal(secret, quick.recipient, NOTE),
        lambda: sealwire.seal_parts({"a": secret}, quick.recipient, NOTE),
        lambda: seal(b"x", quick.recipient, SealContext("notes", secret)),
        lambda: seal(b"x", quick.recipient, NOTE, filename=secret),
        lambda: Passphrase(secret),
        lambda: Identity.parse(secret),
        lambda: sealwire.sign_request("GET", "https://api.example.com/", quick, fields=[("authorization", secret)]),
        lambda: sealwire.sign_request("GET", f"https://api.example.com/{secret}", quick),
        lambda: sealwire.sign_request("GET", "https://the secret[/", quick),
        opened.text,
    ]
    for use in uses:
        with pytest.raises(SealwireError) as raised:
            use()
        errors: list[BaseException] = [raised.value]
        while errors:
            error = errors.pop()
            assert "secret" not in f"{error!r}{vars(error)}{getattr(error, 'object', '')!r}"
            errors += [other for other in (error.__cause__, error.__context__) if other is not None]


def test_what_readers_alone_see_is_in_no_repr(quick: Identity) -> None:
    context = SealContext("notes", "secret")
    opened = sealwire.open(
        seal(b"secret", quick.recipient, context, filename="secret", content_type="text/secret"), quick, context
    )
    assert opened.about.filename == "secret" and opened.about.content_type == "text/secret"
    assert "secret" not in repr(opened) + repr(opened.about) + repr(context)


def test_a_bool_is_a_bool(bob: Identity, quick: Identity) -> None:
    origin = "https://api.example.com"
    uses: list[Callable[[Any], object]] = [
        lambda no: seal(b"x", [bob.recipient, quick.recipient], NOTE, allow_classical=no),
        lambda no: seal(b"x", bob.recipient, NOTE, padded=no),
        lambda no: SealedTransport(Policy([Rule(origin, "/x", exchange=True, sign=no)], {origin: bob.recipient.pin})),
        lambda no: SealedTransport(Policy([Rule(origin, "/x", in_the_clear=no)])),
    ]
    for use in uses:
        for no in ("false", "", None, 0, 1):
            with pytest.raises(TypeError, match="a bool is wanted"):
                use(no)
    with pytest.raises(TypeError):
        seal(b"x", bob.recipient, NOTE, aead="AES-256-GCM")  # type: ignore[arg-type]


def test_use_after_close_is_misuse() -> None:
    key = Identity.generate(kem=Kem.X25519)
    envelope = seal(b"x", key.recipient, NOTE)
    ring = Keyring(key)
    with key as same:
        assert same is key
    key.close()
    for use in (lambda: key.recipient, key.reveal, lambda: sealwire.open(envelope, key, NOTE), lambda: seal(b"", Recipient.parse("x"), NOTE, sign=key)):
        with pytest.raises((Misuse, InvalidKey)):
            use()
    with pytest.raises(Misuse), key:
        pass
    # Whoever has it still has it.
    assert sealwire.open(envelope, ring, NOTE).plaintext == b"x"
    ring.close()
    with pytest.raises(Misuse):
        sealwire.open(envelope, ring, NOTE)
    with pytest.raises(ValueError, match="closed"):
        ring._raw  # noqa: B018


@pytest.mark.parametrize("kind", [Identity, Recipient, SymmetricKey])
def test_what_is_made_is_made_by_name(kind: Any) -> None:
    with pytest.raises(TypeError):
        kind()


def test_an_error_keeps_nothing_until_a_collector_comes_by() -> None:
    key = SymmetricKey.generate()
    envelope = seal(b"hello", key, NOTE)
    gone = weakref.ref(key)
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(Rejected):
            sealwire.open(envelope, key, SealContext("notes", "18"))
        del key
        assert gone() is None
    finally:
        gc.enable()


def test_what_is_of_another_kind(alice: Identity) -> None:
    """It is said as such, and not as an attribute that something inside has not."""
    context = SealContext("notes", "17")
    wrong: list[Callable[[], object]] = [
        lambda: seal("x", Anonymous("bob"), context),  # type: ignore[arg-type]
        lambda: seal("x", alice.recipient, context, sign="alice"),  # type: ignore[arg-type]
        lambda: alice.recipient.pin.check("bob"),  # type: ignore[arg-type]
        lambda: Identity.generate(kem="x25519"),  # type: ignore[arg-type]
        lambda: sign_request("GET", "https://api.example.com/", "alice"),  # type: ignore[arg-type]
        lambda: sign_request("GET", None, alice),  # type: ignore[arg-type]
    ]
    for one in wrong:
        with pytest.raises(TypeError, match="is wanted, not"):
            one()
    with pytest.raises(Misuse):
        seal("x", alice.recipient, context, metadata=5)  # type: ignore[arg-type]
    with pytest.raises(Misuse):
        sign_request("GET", "https://api.example.com/", alice, fields={"te": "x"})  # type: ignore[dict-item]

"""What is done with the requests of an app, in plain Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Union

from ._bytes import BytesLike, as_bytes, wanted
from ._error import SealwireError, call, misuse
from ._ffi import sealwire as ffi
from .context import SealContext
from .keys import Pin, Recipient, Signer
from .seal import About, Opened

__all__ = [
    "CallEvent", "CallOptions", "InPlace", "ListItem", "ListMembers", "Policy", "Rule", "SealedInfo", "SealedResource", "Trust",
    "TrustFirstUse", "TrustKeys", "TrustPins", "Tunnel",
]  # fmt: skip


@dataclass(frozen=True)
class TrustPins:
    """The pins of a service's identities, which the app carries: a list, so that they can rotate."""

    pins: Sequence[Pin | str]


@dataclass(frozen=True)
class TrustKeys:
    """A service's keys, which the app has by another way, believed until ``expires`` without asking anybody."""

    ohttp_keys: BytesLike
    """A key configuration in the media type ``application/ohttp-keys`` (RFC 9458 §3)."""
    expires: int
    """Unix seconds."""


@dataclass(frozen=True)
class TrustFirstUse:
    """Believes whatever key the network shows first, and afterwards only that identity and those that it names.

    **Whoever ends TLS at that first moment can read everything.** Needs ``last_seen``.
    """


Trust = Union[TrustPins, TrustKeys, TrustFirstUse, Pin, str]
"""Whose keys to believe. A text is one pin."""


@dataclass(frozen=True)
class InPlace:
    """What an exchange in place shows besides method, host and path."""

    expose: Sequence[str] = ()
    """Names of fields that are also written outside, where a gateway reads them. **Whoever ends TLS can then steal them.**"""
    expose_query: bool = False
    """Also writes the query outside, into every access log on the way."""
    post_carrier: bool = False
    """Lets requests without a body travel as POST when they are too long for a header field (6 KiB)."""


@dataclass(frozen=True)
class Tunnel:
    """Hides everything: a POST to one gateway resource of the same service (plain RFC 9458)."""

    url: str
    """The URL of that resource."""


@dataclass(frozen=True)
class ListMembers:
    """Where the items of a list, a JSON array of objects, have their id and the text form of their envelope."""

    id: str
    envelope: str


@dataclass(frozen=True)
class SealedResource:
    """One kind of resource whose bodies are sealed to people and signed: the service only stores them.

    Its context is the namespace and the id, never the URL. Recipients' keys are public, so whoever reads says whose writing they take: without
    that a server could write a note of its own. Source: SPEC §20.
    """

    namespace: str
    """The namespace of its `SealContext`."""
    id: str
    """The parameter of the rule's ``path`` that is the resource's id."""
    to: Sequence[Recipient] = ()
    """Who can read what is written, unless a request says otherwise."""
    senders: Sequence[Signer | str] = ()
    """Whose writing is believed. Without any, nothing opens."""
    list: ListMembers | None = None
    """Responses to GET are lists: `SealedInfo.list` has the items; the response's own body is empty."""


@dataclass(frozen=True)
class Rule:
    """What is done with the requests to one kind of URL. It says ``seal``, ``exchange`` or ``in_the_clear``; else it covers nothing (`Misuse`).

    Raises `Malformed` for an origin, a path or a tunnel's URL that is none, and `InvalidKey` for a sender that is none.
    """

    origin: str
    """``https://host``, with the port unless it is the scheme's own."""
    path: str
    """A segment ``{name}`` stands for any one segment that is not empty; ``{name..}`` at the end for all that follow."""
    seal: SealedResource | None = None
    """Seals bodies to people: the service only stores them."""
    exchange: bool | InPlace | Tunnel = False
    """Seals request and response to the service: `True` is in place, with nothing shown but method, host and path."""
    streamed: bool = False
    """Exchanges in the chunked form: response bodies can be read while they arrive, without a limit."""
    idempotent: bool = False
    """Says that the service refuses a second request with the same ``Idempotency-Key``: then every request carries one, and is repeated by itself
    if the service could not open it."""
    sign: bool = False
    """Signs requests with the identity, so that a gateway can check who sent them."""
    in_the_clear: bool = False
    """**Sends and takes everything in the clear**: for what is public anyway."""

    def __post_init__(self) -> None:
        # Said where it is written, and not where it is first used.
        call(ffi.Caller, ffi.Policy(services=[], rules=[_raw_rule(self)]), ffi.CallerOptions())


@dataclass(frozen=True)
class Policy:
    """What is done with the requests of an app. A URL that no rule covers is refused (`Misuse`), not sent in the clear. Raises `Malformed` and `InvalidKey` for an
    origin and a pin that is none. Source: SPEC §18, §20.

        Policy(
            services={"https://api.example.com": "sealwire-pin1…"},
            rules=[
                Rule("https://api.example.com", "/notes/{id}", seal=SealedResource("notes", "id", to=[bob], senders=[alice.signer])),
                Rule("https://api.example.com", "/assistant/{rest..}", exchange=True, streamed=True),
            ],
        )
    """

    rules: Sequence[Rule]
    """The rules. The first that covers a URL counts."""
    services: Mapping[str, Trust] = field(default_factory=dict)
    """Whose keys to believe for exchanges, by origin."""

    def __post_init__(self) -> None:
        call(ffi.Caller, raw_policy(self), ffi.CallerOptions())


@dataclass(frozen=True)
class CallOptions:
    """What one request says of itself: ``extensions={"sealwire": CallOptions(…)}`` in httpx."""

    to: Sequence[Recipient] | None = None
    """Who can read a sealed resource, in place of the rule's recipients: the complete list."""
    version: int | None = None
    """The version of a sealed resource, for readers to compare: count it up with every change. Once the service has taken it, this client takes no
    older one; `Rejected` then says that a higher one was seen before."""
    context: SealContext | None = None
    """The context of a sealed resource, where the URL does not name its id: a POST to a collection."""


@dataclass(frozen=True)
class ListItem:
    """One item of a list: what it holds, or why it does not open."""

    id: str
    """The resource's id, as the list says; if the item opened, it is right."""
    opened: Opened | None = None
    error: SealwireError | None = None


@dataclass(frozen=True)
class SealedInfo:
    """What is known of a response beside what HTTP can say: ``response.extensions["sealwire"]`` in httpx."""

    signer: Signer | None = None
    """Who wrote a sealed resource: one of the rule's senders."""
    about: About | None = None
    """What its writer said about a sealed resource."""
    list: Sequence[ListItem] | None = None
    """The items of a list of sealed resources."""


@dataclass(frozen=True)
class CallEvent:
    """What an operator may know of one thing that was done. Every member has few values, so that nothing of a request can be told from it."""

    operation: str
    """``call`` and ``keys`` of a client; ``verify``, ``open`` and ``serve`` of a service."""
    code: str
    """``ok``, an error's code, or of ``serve`` ``app`` if the app answered with a server error."""
    protection: str
    """``envelope``, ``exchange``, ``signature``, several of them joined by ``+``, or ``none``."""
    size: int
    """The size of the request's body, rounded up to a power of four bytes; 0 if there is none or it is a stream."""
    duration: float
    """In seconds."""
    key_id: int | None
    """Which of the service's keys was used."""


def raw_policy(policy: Policy) -> ffi.Policy:
    """The policy for the library."""
    given, rules = wanted(Policy, policy).services, policy.rules
    if isinstance(rules, (str, Rule)) or not isinstance(given, Mapping):
        raise misuse("a policy has a list of rules, and says whose keys to believe by origin")
    services = [ffi.TrustedService(origin=origin, trust=_raw_trust(trust)) for origin, trust in given.items()]
    return ffi.Policy(services=services, rules=[_raw_rule(wanted(Rule, rule)) for rule in rules])


def _raw_trust(trust: Trust) -> ffi.Trust:
    made: ffi.Trust
    if isinstance(trust, str):
        made = ffi.Trust.PINS([str(trust)])  # type: ignore[assignment]
    elif isinstance(trust, TrustPins):
        if isinstance(trust.pins, str):
            raise misuse("pins are a list")
        made = ffi.Trust.PINS([str(pin) for pin in trust.pins])  # type: ignore[assignment]
    elif isinstance(trust, TrustKeys):
        made = ffi.Trust.KEYS(as_bytes(trust.ohttp_keys), trust.expires)  # type: ignore[assignment]
    elif isinstance(trust, TrustFirstUse):
        made = ffi.Trust.FIRST_USE()  # type: ignore[assignment, no-untyped-call]
    else:
        raise misuse("a service has pins, keys, or TrustFirstUse()")
    return made


def _raw_rule(rule: Rule) -> ffi.Rule:
    return ffi.Rule(
        origin=rule.origin,
        path=rule.path,
        exchange=_raw_exchange(rule.exchange),
        seal=None if rule.seal is None else _raw_resource(wanted(SealedResource, rule.seal)),
        sign=rule.sign,
        streamed=rule.streamed,
        idempotent=rule.idempotent,
        in_the_clear=rule.in_the_clear,
    )


def _raw_exchange(exchange: bool | InPlace | Tunnel) -> ffi.Exchange | None:
    made: ffi.Exchange
    if exchange is False:
        return None
    if isinstance(exchange, Tunnel):
        made = ffi.Exchange.TUNNEL(exchange.url)  # type: ignore[assignment]
        return made
    way = InPlace() if exchange is True else exchange
    if not isinstance(way, InPlace) or isinstance(way.expose, str):
        raise misuse("an exchange is True, InPlace(…) or Tunnel(…), and what it exposes a list")
    made = ffi.Exchange.IN_PLACE(list(way.expose), way.expose_query, way.post_carrier)  # type: ignore[assignment]
    return made


def _raw_resource(resource: SealedResource) -> ffi.Resource:
    if isinstance(resource.senders, str):
        raise misuse("senders are a list")
    members = None if resource.list is None else wanted(ListMembers, resource.list)
    return ffi.Resource(
        namespace=resource.namespace,
        id=resource.id,
        to=[wanted(Recipient, recipient)._raw for recipient in resource.to],
        senders=[str(sender) for sender in resource.senders],
        list=None if members is None else ffi.ListMembers(id=members.id, envelope=members.envelope),
    )

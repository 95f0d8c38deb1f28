"""Structured Field Values (RFC 9651): dictionaries and items, read as §4.2 and written as §4.1 say."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sealwire_spec import MALFORMED, SealwireError, need


class Token(str):
    pass


class Date(int):
    pass


class DisplayString(str):
    pass


@dataclass(frozen=True)
class ByteSequence:
    raw: bytes


@dataclass(frozen=True)
class Item:
    value: Any  # bool, int, Decimal, str, Token, ByteSequence, Date, DisplayString
    params: dict[str, Any]


@dataclass(frozen=True)
class InnerList:
    items: list[Item]
    params: dict[str, Any]


KEY = re.compile(r"[a-z*][a-z0-9_.*-]*")
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")
BYTES = re.compile(r":([A-Za-z0-9+/=]*):")
DISPLAY = re.compile(r'%"((?:[ !#$&-~]|%[0-9a-f]{2})*)"')
INTEGER = 10**15


def malformed() -> SealwireError:
    return SealwireError(MALFORMED, "not a structured field")


class _Parser:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def more(self) -> bool:
        return self.at < len(self.text)

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def eat(self, c: str) -> bool:
        found = self.peek() == c
        self.at += found
        return found

    def match(self, pattern: re.Pattern) -> re.Match:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise malformed()
        self.at = match.end()
        return match

    def skip(self, spaces: str) -> None:
        while self.more() and self.peek() in spaces:
            self.at += 1

    def dictionary(self) -> dict[str, Item | InnerList]:
        members: dict[str, Item | InnerList] = {}
        self.skip(" ")
        while self.more():
            key = self.match(KEY)[0]
            if self.eat("="):
                members[key] = self.inner_list() if self.peek() == "(" else self.item()
            else:
                members[key] = Item(True, self.params())
            self.skip(" \t")
            if not self.more():
                return members
            need(self.eat(","), MALFORMED, "no comma")
            self.skip(" \t")
            need(self.more(), MALFORMED, "a comma at the end")
        return members

    def inner_list(self) -> InnerList:
        items = []
        self.eat("(")
        while True:
            self.skip(" ")
            if self.eat(")"):
                return InnerList(items, self.params())
            items.append(self.item())
            need(self.peek() in (" ", ")") and self.more(), MALFORMED, "an inner list")

    def item(self) -> Item:
        return Item(self.bare(), self.params())

    def params(self) -> dict[str, Any]:
        params: dict[str, Any] = {}
        while self.eat(";"):
            self.skip(" ")
            key = self.match(KEY)[0]
            params[key] = self.bare() if self.eat("=") else True
        return params

    def bare(self) -> Any:
        c = self.peek()
        if c == '"':
            return re.sub(r"\\(.)", r"\1", self.match(STRING)[1])
        if c == ":":
            return self.byte_sequence()
        if c == "?":
            self.at += 1
            need(self.peek() in ("0", "1") and self.more(), MALFORMED, "a boolean")
            return self.eat("1") or not self.eat("0")
        if c == "@":
            self.at += 1
            number = self.number()
            need(type(number) is int, MALFORMED, "a date")
            return Date(number)
        if c == "%":
            return self.display_string()
        if c and (c.isdigit() or c == "-"):
            return self.number()
        return Token(self.match(TOKEN)[0])

    def number(self) -> int | Decimal:
        text = self.match(NUMBER)
        digits = text[0].lstrip("-").partition(".")
        if text[1] is None:
            need(len(digits[0]) <= 15, MALFORMED, "an integer")
            return int(text[0])
        need(len(digits[0]) <= 12 and len(digits[2]) <= 3, MALFORMED, "a decimal")
        return Decimal(text[0])

    def byte_sequence(self) -> ByteSequence:
        text = self.match(BYTES)[1]
        try:
            return ByteSequence(base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
        except binascii.Error:
            raise malformed() from None

    def display_string(self) -> DisplayString:
        raw = re.sub(r"%([0-9a-f]{2})", lambda m: chr(int(m[1], 16)), self.match(DISPLAY)[1])
        try:
            return DisplayString(raw.encode("latin-1").decode())
        except UnicodeDecodeError:
            raise malformed() from None


def parse_dictionary(text: str) -> dict[str, Item | InnerList]:
    need(text.isascii(), MALFORMED, "not ASCII")
    return _Parser(text).dictionary()


def parse_item(text: str) -> Item:
    need(text.isascii(), MALFORMED, "not ASCII")
    parser = _Parser(text)
    parser.skip(" ")
    item = parser.item()
    parser.skip(" ")
    need(not parser.more(), MALFORMED, "something behind the item")
    return item


def write_dictionary(members: dict[str, Item | InnerList]) -> str:
    written = []
    for key, member in members.items():
        if isinstance(member, InnerList):
            written.append(f"{key}={write_inner_list(member)}")
        elif member.value is True:
            written.append(key + write_params(member.params))
        else:
            written.append(f"{key}={write_bare(member.value)}{write_params(member.params)}")
    return ", ".join(written)


def write_inner_list(member: InnerList) -> str:
    items = " ".join(write_bare(item.value) + write_params(item.params) for item in member.items)
    return f"({items}){write_params(member.params)}"


def write_params(params: dict[str, Any]) -> str:
    return "".join(f";{key}" if value is True else f";{key}={write_bare(value)}" for key, value in params.items())


def write_bare(value: Any) -> str:
    if isinstance(value, bool):
        return "?1" if value else "?0"
    if isinstance(value, ByteSequence):
        return f":{base64.b64encode(value.raw).decode()}:"
    if isinstance(value, Token):
        return str(value)
    if isinstance(value, Date):
        return f"@{int(value)}"
    if isinstance(value, DisplayString):
        raw = value.encode()
        return '%"' + "".join(chr(b) if 0x20 <= b <= 0x7E and b not in b'%"' else f"%{b:02x}" for b in raw) + '"'
    if isinstance(value, Decimal):
        text = f"{value:.3f}".rstrip("0")
        return text + "0" if text.endswith(".") else text
    if isinstance(value, int):
        return str(value)
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


# ---- others' vectors --------------------------------------------------------------------------


def check_vectors(vectors: list[dict]) -> int:
    """How many of them (dictionaries and items) were read and refused as they say, and written canonically."""
    done = 0
    for vector in vectors:
        kind = vector["header_type"]
        if kind == "list" or "raw" not in vector:
            continue
        text = ", ".join(vector["raw"])
        try:
            parsed = parse_dictionary(text) if kind == "dictionary" else parse_item(text)
        except SealwireError:
            assert vector.get("must_fail") or vector.get("can_fail"), vector["name"]
        else:
            assert not vector.get("must_fail"), vector["name"]
            written = write_dictionary(parsed) if kind == "dictionary" else write_item(parsed)
            canonical = vector.get("canonical", vector["raw"])
            assert written == ", ".join(canonical), (vector["name"], written, canonical)
        done += 1
    return done


def write_item(item: Item) -> str:
    return write_bare(item.value) + write_params(item.params)

"""XML request bodies: bounded, without document types, namespaces kept as they were written.

The parser is expat itself. A document type is refused before any entity could be used, so
neither expansion bombs nor external entities exist here (RFC 4918, sections 20.6 and 17). What is
said once and holds for many elements, namespaces and languages, is bounded as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol
from xml.parsers import expat
from xml.sax.saxutils import escape

from dav.status import HttpError

BODY_LIMIT: Final = 1024 * 1024
"""Bytes of an XML request body."""
DEPTH_LIMIT: Final = 100
"""Elements inside each other."""
ELEMENT_LIMIT: Final = 20_000
"""Elements in one body."""
NAMESPACE_LIMIT: Final = 1024
"""Characters of a namespace: each name in it is spelled with it."""
LANGUAGE_LIMIT: Final = 100
"""Characters of an `xml:lang`: it is written with each property that it is in force for."""
SCOPE_LIMIT: Final = 200_000
"""Declarations in force, summed over the elements that declare any."""

_XML_NAMESPACE: Final = "http://www.w3.org/XML/1998/namespace"
_RESERVED: Final = frozenset({_XML_NAMESPACE, "http://www.w3.org/2000/xmlns/"})
_NAME: Final = re.compile(r"(?:([^:\s]+):)?([^:\s]+)")
_NO_NAME: Final = re.compile(r"[\s<>&\"']")
_ATTRIBUTE_ESCAPES: Final = {'"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}


class Readable(Protocol):
    """A request body."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end."""


@dataclass(slots=True)
class Element:
    """An element of a body.

    `name` is its Clark name, `{namespace}local`, or `local` where it has no namespace. `tag` is
    the name as written. `attributes` keeps the names as written, without namespace declarations:
    these are in `declared`, and `scope` holds all that are in force. `children` mixes elements
    and text. `language` is the `xml:lang` in force.
    """

    name: str
    tag: str
    attributes: list[tuple[str, str]]
    declared: dict[str, str]
    scope: dict[str, str]
    language: str
    children: list[Element | str] = field(default_factory=list)

    def elements(self) -> Iterator[Element]:
        """Yield the child elements."""
        return (child for child in self.children if isinstance(child, Element))

    def find(self, name: str) -> Element | None:
        """Return the first child element with this Clark name."""
        return next((child for child in self.elements() if child.name == name), None)

    @property
    def text(self) -> str:
        """The text directly in this element."""
        return "".join(child for child in self.children if isinstance(child, str))


def read_body(stream: Readable, content_length: int | None) -> bytes:
    """Return a whole body.

    Raises:
        HttpError: 413 where it is longer than `BODY_LIMIT`; a longer body is not read.
    """
    too_long = HttpError(413, f"an XML body may have {BODY_LIMIT} bytes")
    if content_length is not None and content_length > BODY_LIMIT:
        raise too_long
    pieces: list[bytes] = []
    missing = BODY_LIMIT + 1
    while missing and (piece := stream.read(missing)):
        pieces.append(piece)
        missing -= len(piece)
    if not missing:
        raise too_long
    return b"".join(pieces)


def parse_xml(body: bytes) -> Element:
    """Return the root element.

    Raises:
        HttpError: 400 where the body is not well-formed, has a document type or is too deep;
            403 (no-external-entities) where it points outside itself.
    """
    if len(body) > BODY_LIMIT:
        raise HttpError(413, f"an XML body may have {BODY_LIMIT} bytes")
    builder = _Builder()
    try:
        builder.parser.Parse(body, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise HttpError(400, f"the body is not well-formed XML: {error}") from error
    if builder.root is None:
        raise HttpError(400, "the body has no element")
    return builder.root


class _Builder:
    """Expat's handlers: resolves namespaces and builds the elements."""

    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._count = 0
        self._declarations = 0
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.ordered_attributes = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.EndDoctypeDeclHandler = self._doctype_end
        self.parser.EntityDeclHandler = self._entity

    def _start(self, tag: str, attributes: list[str]) -> None:
        self._count += 1
        if len(self._open) >= DEPTH_LIMIT or self._count > ELEMENT_LIMIT:
            raise HttpError(400, "the body has too many elements, or they are too deep")
        parent = self._open[-1] if self._open else None
        pairs = list(zip(attributes[::2], attributes[1::2], strict=True))
        declared = dict(_declarations(pairs))
        scope = parent.scope if parent else {"xml": _XML_NAMESPACE}
        if declared:
            scope = {**scope, **declared}
            self._declarations += len(scope)
            if self._declarations > SCOPE_LIMIT:
                raise HttpError(400, "the body declares too many namespaces")
        plain = [pair for pair in pairs if pair[0] != "xmlns" and not pair[0].startswith("xmlns:")]
        language = dict(plain).get("xml:lang", parent.language if parent else "")
        if len(language) > LANGUAGE_LIMIT:
            raise HttpError(400, f"a language may have {LANGUAGE_LIMIT} characters")
        element = Element(
            name=_clark(tag, scope, is_attribute=False),
            tag=tag,
            attributes=plain,
            declared=declared,
            scope=scope,
            language=language,
        )
        names = [_clark(name, scope, is_attribute=True) for name, _ in plain]
        if len(set(names)) != len(names):
            raise HttpError(400, f"<{tag}> has the same attribute twice")
        if parent:
            parent.children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def _end(self, tag: str) -> None:
        del tag  # expat has compared it
        self._open.pop()

    def _characters(self, text: str) -> None:
        self._open[-1].children.append(text)

    def _doctype(
        self, name: str, system_id: str | None, public_id: str | None, has_internal_subset: int
    ) -> None:
        del name, has_internal_subset
        if system_id or public_id:
            raise _external()

    def _doctype_end(self) -> None:
        raise HttpError(400, "the body has a document type")

    def _entity(
        self,
        _name: str,
        _is_parameter: int,
        value: str | None,
        _base: str | None,
        *rest: str | None,
    ) -> None:
        """Expat's last arguments are system id, public id and notation name."""
        if value is None or rest[0]:
            raise _external()
        raise HttpError(400, "the body declares entities")


def _external() -> HttpError:
    return HttpError(403, "the body names external entities", condition="no-external-entities")


def _declarations(attributes: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield prefix and namespace of each declaration; the default namespace's prefix is empty."""
    for name, value in attributes:
        if name == "xmlns":
            yield "", _checked(value)
        elif name.startswith("xmlns:"):
            prefix = name.removeprefix("xmlns:")
            if (
                not value
                or prefix in {"", "xmlns"}
                or (prefix == "xml") != (value == _XML_NAMESPACE)
            ):
                raise HttpError(400, f"the namespace prefix {prefix!r} cannot be bound like this")
            yield prefix, _checked(value)


def _checked(namespace: str) -> str:
    """Return a namespace: no URI has braces, and {namespace}local could not be taken apart."""
    if len(namespace) > NAMESPACE_LIMIT:
        raise HttpError(400, f"a namespace may have {NAMESPACE_LIMIT} characters")
    if "{" in namespace or "}" in namespace:
        raise HttpError(400, f"{namespace!r} is not the URI of a namespace")
    return namespace


def _clark(tag: str, scope: dict[str, str], *, is_attribute: bool) -> str:
    found = _NAME.fullmatch(tag)
    if found is None:
        raise HttpError(400, f"{tag!r} is not a qualified name")
    prefix, local = found.groups()
    if prefix is None:
        namespace = "" if is_attribute else scope.get("", "")
    elif prefix in scope:
        namespace = scope[prefix]
    else:
        raise HttpError(400, f"the namespace prefix {prefix!r} is not declared")
    return f"{{{namespace}}}{local}" if namespace else local


def serialise(element: Element) -> str:
    """Return the element as XML text that stands by itself.

    Prefixes stay as they were written, and so do `xml:lang` and declarations that only text
    uses (a QName in content). Comments and processing instructions are not kept.
    """
    used = _used_prefixes(element)
    declared = {prefix: uri for prefix, uri in element.scope.items() if prefix in used and uri}
    declared.pop("xml", None)
    attributes = list(element.attributes)
    if element.language and "xml:lang" not in dict(attributes):
        attributes.append(("xml:lang", element.language))
    pieces: list[str] = []
    _write(element, declared, attributes, pieces)
    return "".join(pieces)


def _write(
    element: Element,
    declared: dict[str, str],
    attributes: list[tuple[str, str]],
    pieces: list[str],
) -> None:
    pieces.append(f"<{element.tag}")
    for prefix, uri in declared.items():
        name = f"xmlns:{prefix}" if prefix else "xmlns"
        pieces.append(f' {name}="{escape(uri, _ATTRIBUTE_ESCAPES)}"')
    for name, value in attributes:
        pieces.append(f' {name}="{escape(value, _ATTRIBUTE_ESCAPES)}"')
    if not element.children:
        pieces.append("/>")
        return
    pieces.append(">")
    for child in element.children:
        if isinstance(child, str):
            pieces.append(escape(child, {"\r": "&#13;"}))
        else:
            _write(child, child.declared, child.attributes, pieces)
    pieces.append(f"</{element.tag}>")


def _used_prefixes(element: Element) -> set[str]:
    """Prefixes that the element or anything in it uses, or that its text seems to use."""
    used: set[str] = set()
    waiting = [element]
    while waiting:
        one = waiting.pop()
        used.add(one.tag.rpartition(":")[0])
        for name, value in one.attributes:
            used.update((name.rpartition(":")[0],) if ":" in name else ())
            used.update(_prefixes_in(value))
        used.update(_prefixes_in(one.text))
        waiting.extend(one.elements())
    return used


def _prefixes_in(text: str) -> Iterator[str]:
    """Yield what stands before colons: in a QName that is a prefix. Linear in the text."""
    for before in text.split(":")[:-1]:
        yield _NO_NAME.split(before)[-1]

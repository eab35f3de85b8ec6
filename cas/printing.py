"""Names and messages as a terminal or a log may show them.

A name may hold any byte but NUL and `/`: line ends, terminal controls, what turns the order of
letters round, bytes that are not UTF-8. Escaped, it can neither break a line nor steer a terminal.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_PLAIN: Final = re.compile(r"[ -\[\]-~]*\Z")
_UNSAFE_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_SHORT_ESCAPES: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\\": r"\\"}
_FIRST_ESCAPED_BYTE: Final = 0xDC80
_LAST_ESCAPED_BYTE: Final = 0xDCFF


def printable(name: str) -> str:
    r"""Return the name with everything but visible characters and spaces as `\`-escapes."""
    if _PLAIN.match(name):
        return name
    return "".join(map(_printable_character, name))


def printable_line(text: str) -> str:
    """Return a message as one line that cannot steer the terminal."""
    return printable(text).replace("\\\\", "\\")


def _printable_character(character: str) -> str:
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    if _FIRST_ESCAPED_BYTE <= ord(character) <= _LAST_ESCAPED_BYTE:
        return f"\\x{ord(character) - 0xDC00:02x}"
    # A joiner makes emoji families; it cannot reorder or hide text.
    if unicodedata.category(character) in _UNSAFE_CATEGORIES and character != "\u200d":
        return character.encode("unicode_escape", "surrogatepass").decode()
    return character

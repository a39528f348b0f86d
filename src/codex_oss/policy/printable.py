"""What a terminal may be sent of texts that models, files, upstreams and other servers wrote.

Counterparts: `services.tool_host` cleans the lines of files with it, `missions.commentary`, `missions.projections` and
the command line whatever they render.

Rules that hold here:

1. Control characters (line feed and tab apart) and characters that reorder or hide what follows never pass.
2. In a text for a person they become U+FFFD, so that their place is seen; in JSON they are escaped, so that the value
   stays what it was.
"""

from __future__ import annotations

import re
from typing import Final

UNPRINTABLE: Final = frozenset({*range(0x20), *range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A)})
"""Code points of control characters, line separators and direction marks."""
INVISIBLE: Final = dict.fromkeys(UNPRINTABLE - {0x09}, "\ufffd")
"""For `str.translate` of a single line."""
_IN_TEXT: Final = dict.fromkeys(UNPRINTABLE - {0x09, 0x0A}, "\ufffd")
_IN_JSON: Final = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """*text* for a terminal; line feeds and tabs stay."""
    return text.replace("\r\n", "\n").translate(_IN_TEXT)


def printable_json(text: str) -> str:
    """JSON *text* (which holds no raw control character below U+0020 but line feeds) with the others escaped."""
    if text.isascii() and "\x7f" not in text:
        return text
    return _IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)

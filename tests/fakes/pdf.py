"""Small PDF files, written by hand: with text, locked, hostile."""

from __future__ import annotations

import zlib
from collections.abc import Sequence


def pdf(*pages: str, streams: Sequence[bytes] = (), kids: str = "", extra: bytes = b"") -> bytes:
    """Return a PDF with one page a text. streams: raw content streams instead. kids: the page tree, instead."""
    contents = list(streams) or [f"BT /F1 12 Tf 20 100 Td ({page}) Tj ET".encode() for page in pages]
    count = len(contents)
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    tree = kids or " ".join(f"{4 + 2 * number} 0 R" for number in range(count))
    objects.append(f"<< /Type /Pages /Kids [{tree}] /Count {count} >>".encode())
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for number, content in enumerate(contents):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Contents {5 + 2 * number} 0 R "
            f"/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        body = zlib.compress(content)
        objects.append(b"<< /Filter /FlateDecode /Length %d >>\nstream\n%b\nendstream" % (len(body), body))
    data, places = b"%PDF-1.4\n", []
    for number, obj in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj\n%b\nendobj\n" % (number, obj)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n%b" % (len(objects) + 1, table)
    return data + b"trailer\n<< /Root 1 0 R /Size %d %b >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, extra, start)

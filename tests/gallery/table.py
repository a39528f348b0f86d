"""All exhibits, and the table of them on `docs/truth-gates.md`."""

from __future__ import annotations

from tests.gallery import lies_of_contract, lies_of_form, lies_of_lines, lies_of_reading, lies_of_search
from tests.gallery.exhibit import Exhibit

EXHIBITS: tuple[Exhibit, ...] = (
    *lies_of_reading.EXHIBITS,
    *lies_of_lines.EXHIBITS,
    *lies_of_search.EXHIBITS,
    *lies_of_form.EXHIBITS,
    *lies_of_contract.EXHIBITS,
)

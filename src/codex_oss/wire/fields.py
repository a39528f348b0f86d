"""Reading typed fields out of a client's JSON objects, with errors that name the place.

Counterparts: `wire.responses_request`, `wire.responses_items`, `wire.responses_tools`.

Rules that hold here:

1. A missing key and an explicit null are the same: clients send both.
2. A value of a wrong type is `InvalidRequest` whose `param` is its path (`input[3].content[0].text`).
3. A message names types, never values: values are prompts and file contents.
"""

from __future__ import annotations

from typing import Any, Final

from codex_oss.errors import InvalidRequest


def invalid(where: str, message: str, hint: str = "") -> InvalidRequest:
    """Build the error for the field at path *where*."""
    return InvalidRequest(f"`{where}` {message}.", param=where, hint=hint)


def unsupported(where: str, message: str, hint: str = "") -> InvalidRequest:
    """Build the error for a field that is understood, and asks for something that does not exist here."""
    return InvalidRequest(f"`{where}` {message}.", param=where, hint=hint, code="unsupported_parameter")


def as_object(value: Any, where: str) -> dict[str, Any]:
    """Return *value* as an object; InvalidRequest when it is something else."""
    if not isinstance(value, dict):
        raise invalid(where, f"must be an object, not {kind_of(value)}")
    return value


def text_at(obj: dict[str, Any], key: str, where: str, default: str = "") -> str:
    """Return the string at *key*, *default* when it is missing or null."""
    value = obj.get(key)
    if value is None:
        return default
    if not isinstance(value, str):
        raise invalid(f"{where}.{key}" if where else key, f"must be a string, not {kind_of(value)}")
    return value


def required_text_at(obj: dict[str, Any], key: str, where: str) -> str:
    """Return the string at *key*; InvalidRequest when it is missing or empty."""
    value = text_at(obj, key, where)
    if not value:
        raise invalid(f"{where}.{key}" if where else key, "is required and must not be empty")
    return value


def optional_text_at(obj: dict[str, Any], key: str, where: str) -> str | None:
    """Return the string at *key*, None when it is missing, null or empty."""
    return text_at(obj, key, where) or None


def flag_at(obj: dict[str, Any], key: str, where: str, default: bool) -> bool:
    """Return the boolean at *key*, *default* when it is missing or null."""
    value = obj.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise invalid(f"{where}.{key}" if where else key, f"must be true or false, not {kind_of(value)}")
    return value


def number_at(obj: dict[str, Any], key: str, low: float, high: float) -> float | None:
    """Return the number at the top-level *key* within [low, high], None when it is missing or null."""
    value = obj.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(key, f"must be a number, not {kind_of(value)}")
    if not low <= value <= high:
        raise invalid(key, f"must lie between {low:g} and {high:g}")
    return value


def whole_at(obj: dict[str, Any], key: str, low: int, high: int = 2**31) -> int | None:
    """Return the whole number at the top-level *key* within [low, high], None when it is missing or null."""
    value = obj.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(key, f"must be a whole number, not {kind_of(value)}")
    if not low <= value <= high:
        raise invalid(key, f"must lie between {low} and {high}")
    return value


def list_at(obj: dict[str, Any], key: str, where: str) -> list[Any]:
    """Return the list at *key*, an empty one when it is missing or null."""
    value = obj.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise invalid(f"{where}.{key}" if where else key, f"must be a list, not {kind_of(value)}")
    return value


def object_at(obj: dict[str, Any], key: str, where: str) -> dict[str, Any] | None:
    """Return the object at *key*, None when it is missing or null."""
    value = obj.get(key)
    return None if value is None else as_object(value, f"{where}.{key}" if where else key)


def kind_of(value: Any) -> str:
    """Name the JSON type of *value* for a person."""
    return _KINDS.get(type(value), "a number")


_KINDS: Final = {type(None): "null", bool: "a boolean", str: "a string", list: "a list", dict: "an object"}

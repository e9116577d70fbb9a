"""JSON with limits: what a value must look like, and how much of it is read.

Every list, text and number that is read has a bound, checked before it is used: parsing n bytes
takes time and memory linear in n, whatever they hold.
"""

from __future__ import annotations

import json
import reprlib
from math import isfinite
from types import UnionType
from typing import Any

from nndl.text import printable

__all__ = ["LARGEST_DESCRIPTION", "LARGEST_JSON", "check", "check_size", "dumps", "loads"]

LARGEST_JSON = 2**24  # bytes of a file
LARGEST_DESCRIPTION = 2**22  # bytes of the description inside a file of arrays
LONGEST_TEXT = 1000  # characters of a text that is checked
MOST_KEYS = 1000  # of an object with any keys
LONGEST_NUMBER = 40  # characters
_KINDS = {
    str: f"a text of at most {LONGEST_TEXT:,} characters",
    bool: "true or false",
    float: "a number",
    list: "a list",
    dict: "an object",
}
_repr = reprlib.Repr()
_repr.maxlevel = 2


def check(value: Any, schema: Any, place: str) -> None:
    """Raise ValueError where a value from JSON does not match a schema.

    Parameters
    ----------
    value : object
        What `loads` returned.
    schema
        A type (str: a text of limited length; float: any number), a range of whole numbers, a
        frozenset of names, float | str for either, (schema,) for what may also be null,
        [schema, n] for a list of at most n, {name: schema} for an object with these keys and no
        others, {str: schema} for an object with any keys.
    place : str
        Where the value is, for the message.
    """
    if found := _mismatch(value, schema):
        raise ValueError(f"{place}{found}")


def _mismatch(value: Any, schema: Any) -> str:
    """Return what follows the place in the message; empty if the value matches."""
    if isinstance(schema, tuple):
        return "" if value is None else _mismatch(value, schema[0])
    if isinstance(schema, UnionType):
        return min((_mismatch(value, kind) for kind in schema.__args__), key=len)
    if isinstance(schema, range):
        fits = type(value) is int and value in schema
        expected = f"a whole number from {schema.start} to {schema.stop - 1}"
    elif isinstance(schema, frozenset):
        fits, expected = type(value) is str and value in schema, " or ".join(sorted(schema))
    else:
        kind = type(schema) if isinstance(schema, list | dict) else schema
        fits = type(value) in ((int, float) if kind is float else (kind,))
        fits = fits and (kind is not str or len(value) <= LONGEST_TEXT)
        expected = _KINDS[kind]
    if not fits:
        return f" must be {expected}, not {_shown(value)}"
    if isinstance(schema, list):
        item, most = schema
        if len(value) > most:
            return f" must be a list of at most {most:,}, but has {len(value):,}"
        if item is float and set(map(type, value)) <= {int, float}:
            return ""  # a million numbers take a moment
        places = (f"[{i}]{found}" for i, v in enumerate(value) if (found := _mismatch(v, item)))
        return next(places, "")
    if isinstance(schema, dict):
        return _mismatch_of_object(value, schema)
    return ""


def _mismatch_of_object(value: dict[str, Any], schema: dict[Any, Any]) -> str:
    if str in schema:
        if len(value) > MOST_KEYS or any(len(key) > LONGEST_TEXT for key in value):
            return f" must have at most {MOST_KEYS:,} keys of at most {LONGEST_TEXT:,} characters"
        schema = dict.fromkeys(value, schema[str])
    if value.keys() != schema.keys():
        return f" must have the keys {', '.join(schema)}, not {_shown(list(value))}"
    for key, item in value.items():
        if found := _mismatch(item, schema[key]):
            return f".{printable(key)}{found}"
    return ""


def _shown(value: Any) -> str:
    return printable(_repr.repr(value), 120)


def dumps(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON; ValueError if it is not plain, or holds NaN or infinity."""
    try:
        return json.dumps(value, indent=indent, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"only plain JSON and finite numbers can be saved: {printable(error)}"
        ) from None


def check_size(raw: bytes, most: int = LARGEST_JSON) -> None:
    """Raise ValueError if JSON has more bytes, or more values for its bytes, than `loads` takes."""
    if len(raw) > most:
        raise ValueError(f"its JSON may have at most {most:,} bytes, not {len(raw):,}")
    # Python takes 30 to 250 bytes for each value. A network or a History has few texts and objects,
    # and 5 to 25 bytes for each number in its long lists.
    for name, count, limit in [
        ("texts", raw.count(b'"') // 2, 100_000),
        ("lists and objects", raw.count(b"[") + raw.count(b"{"), 20_000 + len(raw) // 64),
        ("values", raw.count(b","), 100_000 + len(raw) // 5),
    ]:
        if count > limit:
            raise ValueError(f"its JSON may hold at most {limit:,} {name}, not {count:,}")


def loads(raw: bytes, most: int = LARGEST_JSON) -> Any:
    """Parse JSON of at most ``most`` bytes.

    Raises
    ------
    ValueError
        If it is not JSON in UTF-8, an object has a key twice, a number is not finite or longer than
        40 characters, or `check_size` refuses it.
    """
    check_size(raw, most)
    try:
        return json.loads(
            raw.decode(),
            object_pairs_hook=_unique,
            parse_float=_float,
            parse_int=_int,
            parse_constant=_float,
        )
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError("its JSON has the same key twice in an object")
    return record


def _float(text: str) -> float:
    if len(text) <= LONGEST_NUMBER and isfinite(value := float(text)):
        return value
    raise ValueError(f"its JSON holds the number {_shown(text)}")


def _int(text: str) -> int:
    if len(text) <= LONGEST_NUMBER:
        return int(text)
    raise ValueError(f"its JSON holds the number {_shown(text)}")

"""JSON: what a value must look like, and reading it without trusting it."""

from __future__ import annotations

import json
import math
import reprlib
from functools import partial
from typing import Any

__all__ = ["check", "dumps", "loads"]


def check(value: Any, schema: Any, place: str) -> None:
    """Raise ValueError where a value from JSON is not what a schema says.

    A schema is a type (float: any number), a range of whole numbers, a frozenset of names,
    (schema,) for what may also be null, [schema] for a list, {name: schema} for an object with
    these keys and no others, {str: schema} for one with any keys.
    """
    if isinstance(schema, tuple):
        if value is not None:
            check(value, schema[0], place)
        return
    if isinstance(schema, range):
        fits = type(value) is int and value in schema
        expected = f"a whole number from {schema.start} to {schema.stop - 1}"
    elif isinstance(schema, frozenset):
        fits, expected = type(value) is str and value in schema, " or ".join(sorted(schema))
    else:
        kind = type(schema) if isinstance(schema, list | dict) else schema
        fits = type(value) in ((int, float) if kind is float else (kind,))
        expected = _KINDS[kind]
    if not fits:
        raise ValueError(f"{place} must be {expected}, not {reprlib.repr(value)}")
    if isinstance(schema, list):
        for i, item in enumerate(value):
            check(item, schema[0], f"{place}[{i}]")
    elif isinstance(schema, dict):
        if str in schema:
            schema = dict.fromkeys(value, schema[str])
        if value.keys() != schema.keys():
            keys = reprlib.repr(list(value))
            raise ValueError(f"{place} must have the keys {', '.join(schema)}, not {keys}")
        for key, item in value.items():
            check(item, schema[key], f"{place}.{key}")


_KINDS = {
    str: "a text",
    bool: "true or false",
    float: "a number",
    list: "a list",
    dict: "an object",
}


def dumps(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON; ValueError if it is not plain, or holds NaN or infinity."""
    try:
        return json.dumps(value, indent=indent, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"only plain JSON and finite numbers can be saved: {error}") from None


def loads(raw: bytes) -> Any:
    """Parse JSON in which no key stands twice and numbers are finite, of 40 digits at most."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        record = dict(pairs)
        if len(record) < len(pairs):
            raise ValueError("its JSON has the same key twice in an object")
        return record

    def number(kind: type, text: str) -> Any:
        if len(text) > 40 or not math.isfinite(value := kind(text)):
            raise ValueError(f"its JSON holds the number {reprlib.repr(text)}")
        return value

    try:
        return json.loads(
            raw.decode(),
            object_pairs_hook=unique,
            parse_float=partial(number, float),
            parse_int=partial(number, int),
            parse_constant=partial(number, float),
        )
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None

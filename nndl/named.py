"""Functions that are known by a name: activations and costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

__all__ = ["Named"]


class Named:
    """A function with a name in tables, files and command-line flags.

    Those of the table are never copied: copying and unpickling return the object itself.
    """

    name: Any
    table: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        cls.name = vars(cls).get("name", cls.__name__.lower())

    def __repr__(self) -> str:
        name: str = self.name
        return name

    def __reduce__(self) -> Any:
        if self.table.get(self.name) is self:
            return self.name.replace("-", "_")  # a global of its module
        return object.__reduce__(self)

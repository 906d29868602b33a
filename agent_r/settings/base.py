"""What all settings have in common: frozen, and strict about names."""

from __future__ import annotations

import logging
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

_log = logging.getLogger(__name__)

Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


def is_none(value: object) -> bool:
    """Whether a table was not given: then no dump has it, and digests are those of before."""
    return value is None


class Settings(BaseModel):
    """Frozen, and strict about names: a misspelt setting is refused, not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Old names of settings, which are understood for one minor version more.
    renamed: ClassVar[dict[str, str]] = {}

    @classmethod
    def with_new_names(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Old names replaced, in the tables below too; one beside its new name stays."""
        known = dict(values)
        for old, new in cls.renamed.items():
            if old in known and new not in known:
                known[new] = known.pop(old)
                _log.warning("the setting `%s` is called `%s` now", old, new)
        for name, field in cls.model_fields.items():
            table, below = known.get(name), field.annotation
            if isinstance(table, dict) and isinstance(below, type) and issubclass(below, Settings):
                known[name] = below.with_new_names(table)
        return known

    @model_validator(mode="before")
    @classmethod
    def _old_names_are_understood(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        known = cls.with_new_names(values)
        for old, new in cls.renamed.items():
            if old in known:
                raise ValueError(f"`{old}` is the old name of `{new}`: give one of them")
        return known

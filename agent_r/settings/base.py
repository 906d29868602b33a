"""What all settings have in common: frozen, and strict about names."""

from __future__ import annotations

import logging
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

_log = logging.getLogger(__name__)

Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Settings(BaseModel):
    """Frozen, and strict about names: a misspelt setting is refused, not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Old names of settings, which are understood for one minor version more.
    renamed: ClassVar[dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _old_names_are_understood(cls, values: Any) -> Any:
        if not (isinstance(values, dict) and cls.renamed.keys() & values.keys()):
            return values
        known = dict(values)
        for old, new in cls.renamed.items():
            if old in known:
                if new in known:
                    raise ValueError(f"`{old}` is the old name of `{new}`: give one of them")
                known[new] = known.pop(old)
                _log.warning("the setting `%s` is called `%s` now", old, new)
        return known

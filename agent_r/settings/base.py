"""What all settings have in common: frozen, and strict about names."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Settings(BaseModel):
    """Frozen, and strict about names: a misspelt setting is refused, not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

"""A version in the files of trainers that cannot read it as it is."""

from typing import Literal

Format = Literal["llamafactory", "ms-swift", "openai", "verl", "xtuner"]

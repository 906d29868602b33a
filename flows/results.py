"""How a flow's result is kept: as JSON that comes back as the model it was.

With Prefect's own `json` (3.8.8) a pydantic model comes back as a dict: the "data" that its encoder
writes is taken for a record of an older version. A retried parent, which reads its finished
subflows' results, then fails. So "data" is called "value" here, and the rest is Prefect's.
"""

from __future__ import annotations

from typing import Any

from prefect.serializers import (
    JSONSerializer,
    prefect_json_object_decoder,
    prefect_json_object_encoder,
)


def encode(value: Any) -> Any:
    """What `json` cannot write by itself."""
    encoded = prefect_json_object_encoder(value)
    if "data" in encoded:
        encoded["value"] = encoded.pop("data")
    return encoded


def decode(found: dict[str, Any]) -> Any:
    """The inverse, for each object that `json` has read."""
    if "__class__" in found:
        found = {"__class__": found["__class__"], "data": found["value"]}
    return prefect_json_object_decoder(found)


JSON: JSONSerializer[Any] = JSONSerializer(
    object_encoder="flows.results.encode", object_decoder="flows.results.decode"
)

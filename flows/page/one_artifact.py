"""Leave one artifact on the page of the run that a person started."""

from __future__ import annotations

import base64
import re
from uuid import UUID

from prefect.client.schemas.actions import ArtifactCreate
from prefect.settings import PREFECT_API_URL

from flows.page.run_page import current_page
from flows.page.this_run import client_of_run


async def leave(key: str, form: str, data: str, description: str) -> UUID | None:
    """An artifact on the page of the run that a person started, whichever run within it calls.

    A temporary server's are seen by nobody: there are none.
    """
    client, page = client_of_run(), current_page()
    if client is None or page is None or not PREFECT_API_URL.value():
        return None
    artifact = ArtifactCreate(
        key=key, type=form, data=data, description=description, flow_run_id=page.run
    )
    return (await client.create_artifact(artifact)).id


def key(kind: str, name: str) -> str:
    """One artifact's name; the runs of one dataset are its history.

    >>> key("report", "My_Data.2")
    'report-my-data-2'
    """
    return f"{kind}-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}"


def in_line(picture: bytes) -> str:
    """A PNG as an address: Prefect's server has no files of ours."""
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"

"""Who makes a dataset, and with what: in the settings, the manifest and a merge's manifest."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from agent_r import __version__
from agent_r.dataset.card.makers import SAID_OF_MAKERS, makers, makers_of_merge
from agent_r.dataset.manifest import peek
from agent_r.settings import Config
from tests.support.made import Made


def test_a_manifest_says_who_and_what_made_it(made: Made) -> None:
    manifest = peek(made.version)
    [generator] = manifest["generators"]
    assert generator == {"name": made.rows("sft")[0]["actor"], "kind": "scripted", "about": ""}
    assert manifest["tool"] == {"version": __version__, "address": ""}
    assert manifest["maintainer"] == manifest["contact"] == ""
    assert not SAID_OF_MAKERS & set(manifest["config"]["dataset"])


def test_the_embedded_actor_says_how_large_it_is() -> None:
    config = Config.model_validate({"dataset": {"contact": "https://a.example", "tool": ""}})
    found = makers(config, "agent-r-1")
    assert found["generators"][0]["parameters"] == 1_040_480
    assert found["contact"] == "https://a.example"


def test_of_a_merge_only_what_all_sources_share_is_said() -> None:
    one = {
        "generators": [{"name": "a"}],
        "maintainer": "A",
        "contact": "c",
        "tool": {"address": "t"},
    }
    other = {"maintainer": "B", "contact": "c"}
    found = makers_of_merge([one, other])
    assert (found["maintainer"], found["contact"]) == ("", "c")
    assert found["tool"]["address"] == ""
    assert makers_of_merge([one, one])["tool"]["address"] == "t"


@pytest.mark.parametrize("contact", ["me", "a@b", "ftp://a.b", "me @ home.org"])
def test_a_contact_is_an_address(contact: str) -> None:
    with pytest.raises(ValidationError, match="contact"):
        Config.model_validate({"dataset": {"contact": contact}})

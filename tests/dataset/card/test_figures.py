"""The pictures of a card: few, small, the same for the same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_r.dataset.card.facts import ManifestFacts
from agent_r.dataset.card.figures import draw
from tests.support.card_manifest import BARE, FULL, STATISTICS


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("drawn")
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in draw(FULL, folder)}


def test_the_pictures_are_small_and_white_behind(drawn: dict[str, bytes], tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    assert list(drawn) == ["figures/rewards.png", "figures/errors.png", "figures/rows.png"]
    for name, content in drawn.items():
        path = tmp_path / Path(name).name
        path.write_bytes(content)
        with image.open(path) as picture:
            assert picture.getpixel((0, 0)) == (255, 255, 255, 255)
            assert not picture.info.keys() & {"Software", "Creation Time", "date"}
        assert len(content) < 40_000


def test_the_same_numbers_are_the_same_picture(drawn: dict[str, bytes], tmp_path: Path) -> None:
    again = {p.relative_to(tmp_path).as_posix(): p.read_bytes() for p in draw(FULL, tmp_path)}
    assert again == drawn


def test_one_world_and_one_iteration_are_not_drawn_but_the_drops_are(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    crossed = STATISTICS["crossed"] | {"iteration_kind": {"1": {"revision": 3}}}
    names = [
        p.stem for p in draw(FULL | {"statistics": STATISTICS | {"crossed": crossed}}, tmp_path)
    ]
    assert names == ["rewards", "errors", "drops"]


def test_nothing_to_tell_is_nothing_drawn(tmp_path: Path) -> None:
    assert draw(BARE, tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("evil", ["$\\frac{$", "灰板 \u202e", "x" * 10**6, "a\nb", "\ud800"])
def test_names_in_pictures_are_plain_text(evil: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    crossed = {"env_kind": {evil: {"revision": 1}, "b": {"good": 1}}}
    assert draw(FULL | {"statistics": STATISTICS | {"crossed": crossed}}, tmp_path)
    assert draw(
        FULL | {"drops": {evil: 3}, "statistics": {"counts": {"kind": {"revision": 1}}}}, tmp_path
    )


def test_facts_take_only_whole_numbers_for_counts() -> None:
    facts = ManifestFacts(BARE | {"rows": {"sft": True, "trees": 2, "x": "3"}})
    assert facts.rows == {"trees": 2}
    assert ManifestFacts(
        {"statistics": {"histograms": {"reward": {"high": 1, "inf": 2, "1.00": 3}}}}
    ).histogram("reward") == {1.0: 3}

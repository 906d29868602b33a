"""What a fine-tuning job trains on: shares that are kept, and general rows of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent_r.algorithm.rows import Row
from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.writer import export
from agent_r.errors import ConfigError
from agent_r.settings import Config
from agent_r.training.mixture import mix, trained_characters, training_rows, without_errors
from tests.support.made import Made


def settings(**train: Any) -> Config:
    return Config.model_validate({"train": train})


@pytest.fixture
def revisions_alone(made: Made, tmp_path: Path) -> Path:
    """A version without a good row."""
    rows: list[tuple[str, Row]] = [
        ("sft", row) for row in made.rows("sft") if row["kind"] == "revision"
    ]
    told = {"environments": read_manifest(made.version)["environments"]}
    return Path(export(iter(rows), tmp_path / "alone", provenance=lambda: told).path)


def test_revisions_alone_are_trained_on_only_where_the_share_says_so(
    revisions_alone: Path,
) -> None:
    with pytest.raises(ConfigError, match=r"revision_share = 0.5 leaves no row .* set it to 1"):
        training_rows([revisions_alone], [], settings(), seed=0)
    rows, mixture = training_rows([revisions_alone], [], settings(revision_share=1.0), seed=0)
    assert len(rows) == mixture.rows["revision"] > 0


def agent(good: int, revisions: int) -> list[Row]:
    kinds = ["good"] * good + ["revision"] * revisions
    return [{"kind": kind, "id": f"{kind}-{i}"} for i, kind in enumerate(kinds)]


def general(count: int) -> list[Row]:
    return [{"id": f"general-{i}"} for i in range(count)]


def kinds(rows: list[Row]) -> tuple[int, int, int]:
    named = [str(row["id"]).partition("-")[0] for row in rows]
    return named.count("good"), named.count("revision"), named.count("general")


@pytest.mark.parametrize(
    ("eta", "revisions", "expected"),
    [
        (1.0, 1.0, (10, 30, 0)),
        (0.5, 1.0, (10, 30, 40)),
        (0.2, 1.0, (10, 30, 160)),  # the paper's share
        (0.5, 0.5, (10, 10, 20)),
        (0.5, 0.0, (10, 0, 10)),
        (0.5, 0.75, (10, 30, 40)),
        (0.5, 0.9, (10, 30, 40)),  # there are no more revisions to take
    ],
)
def test_the_mixture_has_the_shares_asked_for(
    eta: float, revisions: float, expected: tuple[int, int, int]
) -> None:
    mixed = mix(agent(10, 30), general(50), eta=eta, revisions=revisions, seed=0)
    assert kinds(mixed) == expected


def test_general_rows_repeat_only_when_all_have_been_used() -> None:
    mixed = mix(agent(10, 0), general(4), eta=0.5, revisions=1.0, seed=0)
    used = [row["id"] for row in mixed if str(row["id"]).startswith("general")]
    assert sorted(used.count(f"general-{i}") for i in range(4)) == [2, 2, 3, 3]


def test_a_share_of_trained_tokens_counts_what_carries_the_loss(made: Made) -> None:
    chats = [{"messages": row("", "x" * 40)["messages"]} for _ in range(20)]
    for eta in (0.2, 0.5):
        config = settings(eta=eta, eta_of="trained_tokens", revision_share=1.0)
        _, mixture = training_rows([made.version], chats, config, seed=0)
        general = mixture.trained["general"] / sum(mixture.trained.values())
        assert 1 - general == pytest.approx(eta, abs=0.01)
        assert mixture.unit == "characters"
    words = training_rows(
        [made.version], chats, config, seed=0,
        weigh=lambda row: sum(len(m["content"].split()) for m in row["messages"] if m["train"]),
    )[1]  # fmt: skip
    assert words.unit == "tokens"
    assert words.trained["general"] == pytest.approx(sum(words.trained.values()) / 2, abs=1)


def test_the_mixture_is_a_matter_of_its_seed() -> None:
    drawn = [mix(agent(9, 9), general(50), eta=0.5, revisions=0.5, seed=s) for s in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_the_share_of_revisions_counts_also_where_no_row_is_good() -> None:
    assert kinds(mix(agent(0, 5), [], eta=0.2, revisions=0.5, seed=0)) == (0, 0, 0)
    assert kinds(mix(agent(0, 5), [], eta=0.2, revisions=1.0, seed=0)) == (0, 5, 0)
    assert kinds(mix(agent(1, 5), [], eta=0.2, revisions=0.5, seed=0)) == (1, 1, 0)
    assert mix([], general(5), eta=0.2, revisions=0.5, seed=0) == []


def row(kind: str, *replies: str) -> Row:
    """A row whose replies are trained, but for those that begin with a minus."""
    messages = [
        {"role": "assistant", "content": reply.lstrip("-"), "train": reply[0] != "-"}
        for reply in replies
    ]
    return {"kind": kind, "messages": messages}


def test_a_control_trains_as_much_and_no_row_with_an_error() -> None:
    errors = [row("revision", "-x" * 30, "abcde"), row("interleaved", "abc", "-x", "abcdefgh")]
    mixed = [*errors, row("good", "abcd"), {"messages": row("", "ab")["messages"]}]
    control = without_errors(mixed, seed=0)
    assert {one.get("kind", "general") for one in control} == {"good", "general"}
    much = sum(map(trained_characters, mixed))
    assert much == 5 + 11 + 4 + 2
    assert much <= sum(map(trained_characters, control)) < much + 4
    assert control == without_errors(mixed, seed=0)
    with pytest.raises(ConfigError, match=r"measure.control needs rows without an error"):
        without_errors(errors, seed=0)
    with pytest.raises(ConfigError, match=r"measure.control needs rows without an error"):
        without_errors([*errors, {"messages": row("", "-ab")["messages"]}], seed=0)


def test_pairs_are_trained_on_alone_and_in_an_order_of_the_seed(made: Made) -> None:
    config = settings(backend="trl", trl={"rows": "preference"})
    rows, mixture = training_rows([made.version, made.version], [], config, seed=1)
    assert [set(row) for row in rows] == [{"prompt", "chosen", "rejected"}] * len(rows)
    assert mixture.rows == {"preference": len(made.rows("preference"))}
    with pytest.raises(ConfigError, match=r"set train.trl.rows = 'sft'"):
        training_rows([made.version], [], config, seed=1, control=True)

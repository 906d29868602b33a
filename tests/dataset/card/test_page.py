"""The card of a version: complete, and readable by the Hub and by `datasets`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import DatasetCard

from agent_r.algorithm.schema import SCHEMAS
from agent_r.dataset.card.figures import FIGURES
from agent_r.dataset.card.page import render_card
from agent_r.dataset.shards import arrow_schema
from tests.support.card_manifest import BARE, CONFIG, EXAMPLE, FULL, STATISTICS, split, version


def test_the_snippet_is_pinned_to_the_version_on_the_hub() -> None:
    assert 'load_dataset("ORG/NAME", "sft", split="train", revision="v1.3")' in render_card(
        FULL, repo="ORG/NAME"
    )
    assert 'load_dataset("path/to/v1.3", "sft", split="train")' in render_card(FULL)


def test_the_example_is_a_table_of_what_was_said_and_answered() -> None:
    body = render_card(FULL)
    assert "| bad | no | left | a wall |" in body
    assert "| signal | **yes** | That was wrong&#58; right | the end |" in body
    assert "> Reach the end." in body
    assert "The rules" not in body


def test_a_long_example_shows_its_end() -> None:
    turn = [{"role": "assistant", "content": "on"}, {"role": "user", "content": "ok"}]
    example = EXAMPLE | {"messages": turn * 40, "parts": ["initial"] * 39 + ["signal"]}
    body = render_card(FULL | {"statistics": STATISTICS | {"example": example}})
    assert "The first 24 turns are left out." in body
    assert body.count("| initial | no |") == 15


def test_what_the_expert_measured_is_a_table_of_counts() -> None:
    body = render_card(FULL)
    assert "| trained actions | refused | 1 | 8 | 12.5 % | 2 |" in body
    assert "| the error was | depth 2 | depth 10 |" in body
    for wrong in ("none", {"worlds": 3, "shares": 3, "errors": [3]}):
        assert "Beside the expert" not in render_card(BARE | {"audit": wrong})


def test_errors_are_counted_by_depth_and_trees_without_one_by_what_they_lacked() -> None:
    body = render_card(FULL)
    assert "7 different tasks were explored, and 2 of them have a revision." in body
    assert "| the error was | revisions | depth 2 | depth 10 |" in body
    assert "| not proved | 2 | 1 | 1 |" in body and "| dead end | 1 |  | 1 |" in body
    assert "What the 4 trees without a revision lacked" in body
    assert "| every reward 0 | 3 | 75 % |" in body and "| lacking |" not in body


def test_the_agreement_of_two_witnesses_is_a_rate_where_both_say_something() -> None:
    body = render_card(FULL)
    assert "they agree: actor and replay in 75 % (95 %: 30 to 95 %) of 4." in body
    assert "| agreement |" not in body and "| replies | cut | 10 | 14 % |" in body
    old = render_card(FULL | {"account": {"replies": {"action": 60}}})
    assert "Three witnesses" not in old and "lacked" not in old


@pytest.mark.parametrize("config", SCHEMAS)
def test_every_column_of_every_config_is_described(config: str) -> None:
    _, body = split(render_card(FULL))
    for column, (_, meaning) in SCHEMAS[config].items():
        assert re.search(rf"\| `{column}` \| .* \| {re.escape(meaning)} \|", body)
    assert f"| `{config}` | {FULL['rows'][config]} |" in body


def test_the_numbers_are_those_of_the_statistics() -> None:
    _, body = split(render_card(FULL))
    assert "**3 conversations" in body
    assert "| world `toy` | 3 | 0 | 2 | 3 |" in body
    assert "| iteration `2` | 2 | 0 |" in body
    assert "| duplicate | 4 | 44 % |" in body
    assert "Of 3 revisions where it can say" in body and "67 % (95 %: 21 to 94 %)" in body
    assert "| prompt tokens | 9,000 | 3,000 |" in body
    assert "| of these, further ones of tasks without a revision | 3 | 1.0 |" in body
    assert "| price of the tokens, as configured | 0.42 | 0.14 |" in body


def test_the_settings_in_the_card_are_the_settings() -> None:
    body = render_card(FULL)
    [shown] = re.findall(r"\n(`{4,})toml\n(.*?)\n\1\n", body, re.DOTALL)  # the fence is longer
    assert tomllib.loads(shown[1]) == CONFIG
    assert "agent-r collect --config config.toml --iteration 2" in body
    assert "agent-r verify path/to/v1.3" in body
    hub = render_card(FULL, repo="ORG/NAME")
    assert "agent-r pull ORG/NAME@v1.3\nagent-r verify datasets_out/NAME/v1.3\n" in hub


def test_what_changed_since_the_last_version_is_listed() -> None:
    _, body = split(render_card(FULL))
    assert "Changed since v1.2" in body
    assert "| `sft` rows | 4 | 5 | +2 −1 |" in body
    assert "1 rows of v1.2 are not in this version" in body
    assert "| actors | `tiny` | `small` |" in body
    assert "| setting `seed` | `0` | `1` |" in body
    assert "trees` rows" not in body


def test_the_card_says_who_made_it_with_what_and_how_to_reach_them() -> None:
    body = render_card(FULL)
    assert "- **Maintained by:** The makers" in body and " · by The makers · " in body
    assert "- **To reach them:** makers<span>&#64;</span>example" in body
    assert "`agent-r` 0.2.0, [example.org/agent-r.git](https://example.org/agent-r.git)" in body
    assert '```console\npip install "git+https://example.org/agent-r.git"\n```' in body
    assert "| `small` | a small Llama-style language model" in body
    assert "of 1,040,480 parameters. Trained by us. |" in body


def test_what_was_not_given_is_said_to_be_missing() -> None:
    body = render_card(BARE | {"actors": ["big"]})
    assert "nobody was named" in body and "no address was given" in body
    assert "where to get it was not said" in body and "pip install" not in body
    assert "| `big` | *Its maker said nothing of it.* |" in body
    assert "asked to tell" not in body and " · by " not in body


@pytest.mark.parametrize(
    "address", ["https://a.b/$(x)", 'https://a.b/" ; x', "https://a.b/`x`", "http://a.b", "a b"]
)
def test_no_address_of_the_tool_becomes_a_command_of_a_shell(address: str) -> None:
    assert "pip install" not in render_card(FULL | {"tool": {"address": address}})


def test_what_models_gained_is_a_table_and_of_the_version_itself_nothing_is_claimed() -> None:
    body = render_card(FULL)
    assert "| `tiny` | none of these | 50 % (95 %: 60 to 90 %) of 50 |" in body
    assert "| `small` | v1.1, v1.2 | 75 % (95 %: 60 to 90 %) of 50 |  |" in body
    assert "trained on v1.3 was not known when it was written" in body
    assert "| actor | trained on |" not in render_card(FULL | {"outcomes": [{"success": "x"}]})


def test_the_list_of_versions_ends_after_twenty() -> None:
    history = [version(f"v1.{n}") for n in range(1, 31)]
    body = render_card(FULL | {"history": history})
    assert "| v1.30 |" in body and "| v1.11 |" in body and "| v1.10 |" not in body
    assert "10 older ones are left out" in body
    assert "the content of the rows alone" in body


def test_a_merge_names_its_sources() -> None:
    source = {"dataset": "a", "version": "v1.1", "content_digest": "dd", "rows": {"sft": 3}}
    merged = {k: v for k, v in FULL.items() if k != "config"}
    body = render_card(merged | {"sources": [source | {"weight": None}, source | {"weight": 0.5}]})
    assert "| a | v1.1 | 3 | all | `dd` |" in body and "| a | v1.1 | 3 | 0.5 | `dd` |" in body
    assert "config.toml" not in body


def test_the_card_does_not_claim_an_execution_that_was_not_made() -> None:
    assert "Every revision was executed" in render_card(FULL)
    paper = FULL | {"config": CONFIG | {"revision": {"verify": False}}}
    assert "The revisions were not executed" in render_card(paper)
    some = STATISTICS | {"counts": STATISTICS["counts"] | {"verified": {"true": 1, "false": 2}}}
    body = render_card(FULL | {"statistics": some})
    assert "2 of 3 revisions were not executed" in body and "2 of 3 revisions were never" in body
    assert "executed" not in split(render_card(BARE))[1].split("## How")[0]


def test_the_limits_follow_from_the_numbers() -> None:
    body = render_card(FULL)
    assert "One actor, `small`" in body and "1 of 3 revision signals are fixed" in body
    assert "Every reward is 0 or 1" not in body
    whole = STATISTICS["histograms"] | {"reward": {"1.00": 5}, "reward_bad": {"0.00": 3}}
    binary = FULL | {"statistics": STATISTICS | {"histograms": whole}}
    assert "Every reward is 0 or 1" in render_card(binary)
    assert "One actor" not in render_card(FULL | {"actors": ["a", "b"]})


def test_pictures_are_linked_only_where_they_are() -> None:
    assert render_card(FULL).count("](figures/") == len(FIGURES)
    assert "](figures/" not in render_card(FULL | {"figures": {}})
    assert "evil" not in render_card(
        FULL | {"figures": {"http://evil": "0", "figures/rows.png": "0"}}
    )


@pytest.mark.parametrize("missing", [*FULL, "all"])
def test_a_card_needs_only_the_bare_manifest(missing: str) -> None:
    some = {k: v for k, v in FULL.items() if missing not in (k, "all")}
    for broken in (BARE | some, BARE | some | {missing: None}, BARE | some | {missing: ["x", 3]}):
        meta, body = split(render_card(broken))
        assert [c["config_name"] for c in meta["configs"]] == list(SCHEMAS)
        assert "None" not in body and "{'" not in body


# --- the front matter ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (["Apache-2.0"], "apache-2.0"),
        (["MIT", "mit"], "mit"),
        (["MIT", "Apache-2.0"], "other"),
        (["MIT; recipes not redistributed"], "other"),
        ([], "unknown"),
    ],
)
def test_the_licence_is_what_all_worlds_have_in_common(licences: list[str], expected: str) -> None:
    worlds = [{"name": f"w{n}", "licence": name} for n, name in enumerate(licences)]
    card = render_card(FULL | {"environments": worlds})
    meta, body = split(card)
    assert meta["license"] == expected
    assert ("license_name" in meta) == (expected == "other")
    assert ("ask before you pass rows on" in body) == any(";" in name for name in licences)


def test_the_hubs_own_reader_accepts_the_front_matter() -> None:
    data = DatasetCard(render_card(FULL)).data
    assert data.license == "apache-2.0" and data.size_categories == ["n<1K"]
    assert data.task_categories == ["text-generation"]
    assert DatasetCard(render_card(BARE | {"rows": {"sft": 1_500}})).data.size_categories == [
        "1K<n<10K"
    ]


def test_the_features_are_exactly_those_of_the_files() -> None:
    from datasets import Features

    meta, _ = split(render_card(FULL))
    for info in meta["dataset_info"]:
        features = Features._from_yaml_list(info["features"])
        assert features == Features.from_arrow_schema(arrow_schema(info["config_name"]))


def test_datasets_loads_whole_and_filtered_rows_of_every_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}.items():
        monkeypatch.setenv(name, value)
    import datasets

    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "README.md").write_text(render_card(FULL), encoding="utf-8")
    for name in SCHEMAS:
        schema = arrow_schema(name)
        (tmp_path / "v" / "data" / name).mkdir(parents=True)
        rows = [dict.fromkeys(schema.names) | {"id": x} for x in "ab"]
        path = tmp_path / "v" / "data" / name / "train-00000.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
        for filters in (None, [("id", "==", "b")]):
            loaded = datasets.load_dataset(
                str(tmp_path / "v"),
                name,
                split="train",
                filters=filters,
                cache_dir=str(tmp_path / "cache"),
            )
            assert loaded["id"] == (["b"] if filters else ["a", "b"])
    assert [r for r in caplog.records if r.levelname in ("WARNING", "ERROR")] == []


def test_the_method_is_told_as_it_was_set() -> None:
    assert "a reward of α or more" in render_card(FULL)  # a schedule of alphas: none is the alpha
    one = CONFIG | {"alphas": [], "critique": {"localiser": "value"}}
    one["revision"] = {"alpha": 0.75, "beta": 0.2, "beta_is": "threshold"}
    body = render_card(FULL | {"config": one})
    assert "a reward of α = 0.75 or more" in body and "is below β = 0.2" in body
    assert "where the search tree's own value falls most" in body


def test_a_splice_without_a_signal_is_not_said_to_have_one() -> None:
    silent = FULL | {"config": CONFIG | {"revision": {"signal": "none"}}}
    assert "a thought that admits the error follows" not in render_card(silent)
    assert "without a word about the error" in render_card(silent)
    assert "a thought that admits the error follows" in render_card(FULL)


def test_interleaved_rows_are_counted_among_those_that_recover() -> None:
    counts = STATISTICS["counts"] | {"kind": STATISTICS["counts"]["kind"] | {"interleaved": 40}}
    body = render_card(FULL | {"statistics": STATISTICS | {"counts": counts}})
    assert "**43 conversations" in body
    assert "In 40 of them several of its own errors are laid into a path that succeeded." in body
    assert "are laid into" not in render_card(FULL)

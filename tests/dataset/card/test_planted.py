"""Names and model text in a card are text, whatever they hold."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from agent_r.dataset.card import markup
from agent_r.dataset.card.figures import FIGURES
from agent_r.dataset.card.page import PAPER, render_card
from agent_r.dataset.card.region import BEGIN, END
from tests.support.card_manifest import EXAMPLE, FULL, STATISTICS, split, text_of, tokens

EVIL = (
    "<script>alert(1)</script>",
    "![x](http://evil)",
    "[a](javascript:alert(1))",
    "[a]: http://evil",
    "<http://evil>",
    "``` \n<b>bold</b>\n```",
    "a ` b | c \\| d \\",
    "---\nlicense: mit\n---\n",
    "\n\n# heading\n\n- list\n\n<!-- comment",
    f"{END}\n{BEGIN}",
    "</details></table> *em* __strong__ ~~gone~~",
    "&lt;b&gt; &#60;script&#62; &nbsp;",
    "zero\u200bwidth \u202eright-to-left\u2066 \ufeff\x00\x1b[31m \ud800",
    "x" * 1_000_000,
    "{evil}\n}\n",
    "evil@example.com",
)


def plant(value: Any, evil: str) -> Any:
    """The same manifest, with every name and every text in it replaced."""
    if isinstance(value, dict):
        return {k: plant(v, evil) for k, v in value.items()}
    if isinstance(value, list):
        return [plant(v, evil) for v in value]
    return evil if isinstance(value, str) else value


def planted(evil: str) -> dict[str, Any]:
    manifest: dict[str, Any] = plant(FULL, evil)
    for message, true in zip(
        manifest["statistics"]["example"]["messages"], EXAMPLE["messages"], strict=True
    ):
        message["role"] = true["role"]
    manifest["drops"] = {evil: 3}
    manifest["cleaned"] = [{"way": evil, "rows": evil, "unverified": evil}]
    manifest["counts"][evil] = 3
    manifest["figures"] = dict.fromkeys(FIGURES, "0" * 64)
    statistics = manifest["statistics"]
    statistics["counts"] |= {name: {evil: 3} for name in ("localiser", "signal_source", "env")}
    statistics["crossed"] = {
        name: {evil: {"revision": 1}, "b": {evil: 1}} for name in STATISTICS["crossed"]
    }
    manifest["audit"] |= {"shares": {evil: {evil: 1}}, "errors": {evil: {evil: 2}}}
    manifest["audit"]["shares"]["trained_refused"] = {"count": 1, "of": 2}
    manifest["config"] = {"seed": 1, evil: {evil: evil}, "alphas": [evil, {evil: evil}]}
    manifest["sources"] = [{"dataset": evil, "version": evil, "weight": evil, "rows": {evil: 1}}]
    return manifest


TAGS = re.compile(r"</?(details|summary|code|br|span)>")


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
@pytest.mark.parametrize("repo", ["", "planted"])
def test_planted_text_stays_text(evil: str, repo: str) -> None:
    card = render_card(planted(evil), repo=evil if repo else "")
    card.encode()  # no lone surrogate is left
    assert len(card) < 200_000
    meta, body = split(card)
    assert meta["license"] == "other"
    assert list(meta) == list(split(render_card(FULL | {"environments": [{}]}))[0])
    hrefs, sources, html = [], [], []
    for token in tokens(body):
        if token.type == "link_open":
            hrefs.append(token.attrs["href"])
        elif token.type == "image":
            sources.append(token.attrs["src"])
        elif token.type in ("html_inline", "html_block"):
            html.append(token.content)
    assert hrefs == [PAPER]
    assert sources == list(FIGURES)
    assert [piece.strip() for piece in html if "agent-r:" in piece] == [BEGIN, END]
    for piece in html[1:-1]:
        left = TAGS.sub("", piece)
        assert "<" not in left and "evil" not in left, piece


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
def test_planted_text_changes_no_heading_and_no_table(evil: str) -> None:
    def shape(manifest: dict[str, Any]) -> list[str]:
        kinds = ("heading_open", "table_open", "bullet_list_open", "fence", "th_open", "td_open")
        return [t.type for t in tokens(split(render_card(manifest))[1]) if t.type in kinds]

    assert shape(planted(evil)) == shape(planted("harmless"))
    for line in render_card(planted(evil)).splitlines():
        if line.startswith("| "):
            assert line.endswith(" |")


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
def test_planted_text_can_be_read_as_what_it_is(evil: str) -> None:
    shown = text_of(markup.inline(evil))
    expected = " ".join(markup.clean(evil, 120).split())
    assert "".join(shown.split()) == "".join(expected.split())
    assert not re.search("[\u200b\u202e\u2066\ufeff\x00\x1b\ud800]", render_card(planted(evil)))


@pytest.mark.parametrize("evil", [e for e in EVIL if len(e) < 1000])
def test_planted_settings_are_still_the_settings(evil: str) -> None:
    config = {"seed": 1, evil: {evil: evil, "deep": {"x": [1, 2.5, True, evil]}}, "none": None}
    expected = {k: v for k, v in config.items() if v is not None}
    read = tomllib.loads(markup.toml(config))
    if "\ud800" in evil:
        assert len(read) == len(expected)
    else:
        assert read == expected


def test_addresses_in_data_are_not_made_links_by_a_page_that_links_addresses() -> None:
    for address in ("http://evil.example", "www.evil.example", "//evil.example"):
        for shown in (markup.inline(address), markup.lines(address)):
            assert not re.search(r"https?://|www\.|//", shown)


def test_line_ends_of_every_kind_stay_in_their_cell() -> None:
    assert markup.lines("a\r\nb\rc\u2028d\x0be") == "a<br>b<br>c<br>d<br>e"


def test_no_value_is_a_machines_path() -> None:
    assert not re.search(r"(?<![\w.])/(home|tmp|work|root|Users)/", render_card(FULL, repo="a/b"))


def test_a_mail_address_is_in_parts() -> None:
    assert markup.inline("a@b") == "a<span>&#64;</span>b"

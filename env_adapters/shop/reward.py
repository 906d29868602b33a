"""Score a purchase: the paper's fraction of what was asked for (arXiv 2207.01206, 2.2).

reward = type factor x (matched attributes + matched options + price met) / (all of them)

The paper takes nouns of the titles with a tagger; here all words of the titles are taken, but for
the maker and `for`, `and`. With t, the share of the wanted title's words that the bought one has:

- 0 where t is 0, whatever else matches;
- 1 where the type or the category is the same, or t is above 0.2;
- 0.5 otherwise: another category, and hardly a word in common.

The paper's fourth step, 0.1 below t = 0.1, cannot be met: no title has more than ten words. An
attribute counts when the product has it, an option when that value of it was chosen; neither is
matched loosely, for here both are written in one way only.
"""

from __future__ import annotations

from collections.abc import Mapping

from env_adapters.shop.catalogue import Goal, Product, demands

_SMALL = frozenset(("for", "and"))


def purchase_reward(goal: Goal, bought: Product, chosen: Mapping[str, str]) -> float:
    """In [0, 1]; options that were not asked for neither help nor harm."""
    attributes = sum(phrase in bought.attributes for phrase in goal.attributes)
    options = sum(chosen.get(name) == value for name, value in goal.options)
    matched = attributes + options + (bought.price < goal.limit)
    return type_factor(goal.product, bought) * matched / demands(goal)


def type_factor(wanted: Product, bought: Product) -> float:
    """How much it is the kind of thing that was wanted: 0, 0.5 or 1."""
    asked = title_words(wanted)
    shared = len(asked & title_words(bought)) / len(asked)
    if not shared:
        return 0.0
    kin = wanted.type == bought.type or wanted.category == bought.category
    return 1.0 if kin or shared > 0.2 else 0.5


def title_words(product: Product) -> frozenset[str]:
    """A title begins with the maker, who says nothing of the type."""
    return frozenset(product.title.lower().split()[1:]) - _SMALL


def fits(goal: Goal, product: Product) -> bool:
    """Whether it can be bought with all that was asked for."""
    offered = dict(product.options)
    can = {name: value for name, value in goal.options if value in offered.get(name, ())}
    return purchase_reward(goal, product, can) == 1.0

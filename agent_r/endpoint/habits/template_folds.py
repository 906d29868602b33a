"""The folds that a server's chat template turned out to want: found out once a run, said once."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from agent_r.reading.folding import FOLDS, Fold, folded, possible, wanted
from agent_r.settings import OpenAIEndpoint

_log = logging.getLogger(__name__)
Turns = Sequence[Mapping[str, Any]]


class Folding:
    """Folds the turns of each request as far as is known to be wanted.

    Args:
        who: the endpoint as messages name it.
    """

    def __init__(self, config: OpenAIEndpoint, who: str) -> None:
        self._who = who
        self.found: list[str] = []  # in words
        self._barred: set[Fold] = {"system"} if config.system == "keep" else set()
        self._unwanted: set[Fold] = set()  # a conversation was taken without
        self.folds: set[Fold] = {"system"} if config.system == "merge" else set()

    def shaped(self, body: dict[str, Any]) -> dict[str, Any]:
        """The request with its turns folded."""
        return body | {"messages": folded(body["messages"], self.folds)} if self.folds else body

    def suspect(self, words: str, messages: Turns) -> Fold | None:
        """Fold from now on as the words ask for; None where they do not, or all has been tried."""
        untried = self.untried(messages)
        new = next((fold for fold in wanted(words, messages) if fold in untried), None)
        if new is not None:
            self.folds.add(new)
        return new

    def untried(self, messages: Turns) -> list[Fold]:
        """Folds of this conversation that might be wanted."""
        known = self.folds | self._barred | self._unwanted
        return [fold for fold in possible(messages) if fold not in known]

    def answered(self, messages: Turns) -> None:
        """Note that a conversation was taken: most of them begin with an instruction."""
        if not self._unwanted and messages[0]["role"] == "system":
            self._unwanted = {"system"}

    def restore(self, suspected: Sequence[Fold]) -> None:
        """They were not what was wanted."""
        self.folds.difference_update(suspected)

    def adopt(self, fold: Fold) -> None:
        """It is what was wanted: fold so from now on, and say it, once."""
        self.folds.add(fold)
        line = f"does not take a conversation's turns as they are ({fold}): {FOLDS[fold]}"
        self.found.append(line)
        _log.warning("%s %s", self._who, line)

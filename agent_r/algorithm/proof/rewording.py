"""Choose how a right step is worded: what a reply says beside its action is trained as well.

An actor may take a right step and give a false reason for it: it names another goal than its own,
or another thing than it then does. Replay cannot see that, for only the action is replayed. A world
that can (`Proofreading`) is asked, and another reply of the actor's own takes the place of a false
one: of those sampled together the first that is not false; of a row's, one that is asked for anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from agent_r.actor import Actor, SamplingParams
from agent_r.algorithm.prompts import conversation
from agent_r.algorithm.revision import TRAINED, Preference, Splice, Turn
from agent_r.algorithm.sampling import is_misstated, reseeded, sample
from agent_r.algorithm.trajectory import Step, Trajectory
from agent_r.algorithm.tree import SearchTree
from agent_r.environment import Environment
from agent_r.reading.reply import Reading

_ASKED_ANEW = 15_485_863  # by this the seeds of such a request differ from the search's


@dataclass(slots=True)
class Rewording:
    """Words the right steps of one tree's rows anew, where what they say is false."""

    env: Environment
    actor: Actor
    tree: SearchTree
    samples: int  # asked for at once, for one step
    params: SamplingParams
    heard: Callable[[Sequence[Reading]], None]  # every reply to such a request
    misstated: Callable[[str], bool] = field(init=False)
    left: list[str] = field(default_factory=list)  # for which no true words were found
    _known: dict[tuple[str, ...], Step] = field(default_factory=dict)  # by replies up to it

    def __post_init__(self) -> None:
        self.misstated = is_misstated(self.env, self.tree.prompt)

    async def after(self, before: Sequence[Step], steps: Sequence[Step]) -> tuple[Step, ...]:
        """Steps that follow on others, each as it was or with a reply that acts the same."""
        done = list(before)
        for step in steps:
            done.append(await self._worded(done, step) if self.misstated(step.response) else step)
        return tuple(done[len(before) :])

    async def of_trajectory(self, way: Trajectory) -> Trajectory:
        """A good trajectory, all of which is trained."""
        return replace(way, steps=await self.after((), way.steps))

    async def of_preference(self, preference: Preference, splice: Splice) -> Preference | None:
        """With words for the better step that are not false; None: there are none."""
        [chosen] = await self.after(splice.before[:-1], [preference.chosen])
        return None if self.misstated(chosen.response) else replace(preference, chosen=chosen)

    async def of_turns(self, turns: Sequence[Turn]) -> tuple[Turn, ...]:
        """All turns of a trajectory; those that are not trained stay as they are."""
        worded: list[Turn] = []
        for turn in turns:
            before = [one.step for one in worded]
            [step] = await self.after(before, [turn.step]) if turn.part in TRAINED else [turn.step]
            worded.append(Turn(step, turn.part))
        return tuple(worded)

    async def _worded(self, before: Sequence[Step], step: Step) -> Step:
        key = (*(one.response for one in before), step.response)
        if key not in self._known:
            self._known[key] = await self._asked(before, step)
        return self._known[key]

    async def _asked(self, before: Sequence[Step], step: Step) -> Step:
        """The first of some new replies that acts the same and says nothing false, if any."""
        info = self.env.info
        sampled = await sample(
            self.actor,
            conversation(info.instruction, self.tree.prompt, before),
            n=self.samples,
            params=reseeded(self.params, len(before), _ASKED_ANEW),
            grammar=info.grammar,
        )
        self.heard(sampled.all)
        for reading in sampled.usable:
            # To the letter: what was executed is what the row's reply must do.
            if reading.action == step.action and not self.misstated(reading.text):
                return replace(step, response=reading.text, reasoning=reading.reasoning)
        if step.response not in self.left:
            self.left.append(step.response)
        return step

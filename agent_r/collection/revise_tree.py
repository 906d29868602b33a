"""Turn one tree into judgements, verified revisions and good trajectories."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace

from agent_r.actor import Actor, SamplingParams
from agent_r.algorithm.critique import (
    Critique,
    FirstError,
    find_first_error,
    first_wrong,
    judge_paths,
)
from agent_r.algorithm.pairing import TrajectoryPair, is_bad, pair_trajectories
from agent_r.algorithm.proof.cleaning import clean, effect_of_error, error_kind
from agent_r.algorithm.proof.effects import WRONG, Effect
from agent_r.algorithm.proof.interleaving import Interleaved, Interleaver
from agent_r.algorithm.proof.preference import at_the_error, at_the_fork
from agent_r.algorithm.proof.pruning import prune
from agent_r.algorithm.proof.rehearsal import Rehearsal
from agent_r.algorithm.proof.rewording import Rewording
from agent_r.algorithm.proof.tree_proofs import TreeProofs
from agent_r.algorithm.revision import (
    Drop,
    Part,
    Revision,
    Splice,
    cut,
    diverse,
    join,
    lesson,
    recover,
    verify,
    why_no_error,
)
from agent_r.algorithm.revision_signal import Signal, signal_of
from agent_r.algorithm.trajectory import Trajectory
from agent_r.algorithm.tree import SearchTree
from agent_r.collection.tree_revisions import Dropped, TreeRevisions
from agent_r.environment import Environment
from agent_r.reading.reply import Reading
from agent_r.settings import Config, RevisionConfig

_GOOD_TRIED = 2  # good trajectories that are pruned, for each that is kept


def most_tried(config: RevisionConfig) -> int:
    """Pairs of one tree that are tried at most: some will be dropped."""
    return 2 * config.pairs_per_task


async def revise_tree(
    env: Environment, actor: Actor, tree: SearchTree, config: Config, revision: RevisionConfig
) -> TreeRevisions:
    """Judge, splice and verify pairs, a few at a time, until as many are there as are kept.

    Raises:
        EndpointError, EnvironmentFault: nothing of it is worth keeping then.
    """
    proofs = TreeProofs(Rehearsal(env, tree.task), tree, revision)
    return await _TreeReviser(env, actor, tree, config, revision, proofs).revise_tree()


@dataclass(slots=True)
class _TreeReviser:
    env: Environment
    actor: Actor
    tree: SearchTree
    config: Config
    revision: RevisionConfig  # with the iteration's alpha
    proofs: TreeProofs
    critiques: dict[int, Critique] = field(default_factory=dict)
    spliced: set[tuple[int, int]] = field(default_factory=set)  # first error, and the good leaf
    replies: dict[str, int] = field(default_factory=dict)
    rewording: Rewording = field(init=False)

    def __post_init__(self) -> None:
        samples = self.config.search.candidates
        self.rewording = Rewording(
            self.env, self.actor, self.tree, samples, self._sampling, self._count
        )

    async def revise_tree(self) -> TreeRevisions:
        pairs = pair_trajectories(self.tree, self.revision)
        rng = random.Random(self.tree.seed)
        found: dict[Hashable, Revision] = {}
        dropped: list[Dropped] = []
        cap, tried, again = self.revision.pairs_per_task, 0, 0
        while tried < len(pairs) and len(found) < cap and tried - again < self._most_tried:
            some = pairs[tried : tried + cap - len(found)]
            tried += len(some)
            for pair in some if self._proves else ():
                await self.proofs.prove(pair)
            await self._judge(some)
            for pair in some:
                await asyncio.sleep(0)  # replays take a while: other trees' replies may be here
                result = await self._revise(pair, rng)
                if isinstance(result, Drop):
                    dropped.append(Dropped(pair, result))
                    again += result is Drop.SAME_ERROR  # which costs nothing
                elif (key := lesson(result)) in found:
                    dropped.append(Dropped(pair, Drop.DUPLICATE))
                else:
                    found[key] = result
        kept, good = list(diverse(list(found.values()), cap)), await self._good()
        drops = dict(sorted(Counter(one.reason.value for one in dropped).items()))
        interleaved = await self._interleaved(good)
        return TreeRevisions(
            dict(sorted(self.critiques.items())),  # they came in any order
            kept,
            good,
            drops,
            dropped,
            tried,
            replies=dict(sorted(self.replies.items())),
            effects=dict(sorted(self.proofs.effects.items())),
            no_preference=sum(revision.preference is None for revision in kept),
            interleaved=interleaved,
            misstated=self.rewording.left if self._cleans else [],
        )

    @property
    def _most_tried(self) -> int:
        return most_tried(self.revision)

    @property
    def _proves(self) -> bool:
        return self._cleans or self.config.critique.localiser in ("replay", "witnesses")

    @property
    def _cleans(self) -> bool:
        """Whether rows are made better than the paper's: executed, shortened, truly worded."""
        return self.revision.verify and self.revision.prune

    @property
    def _sampling(self) -> SamplingParams:
        how = self.config.search
        return SamplingParams(
            temperature=how.temperature, max_tokens=how.max_tokens, seed=self.tree.seed
        )

    async def _judge(self, pairs: Sequence[TrajectoryPair]) -> None:
        how = self.config.critique
        paths = [self.tree.path(pair.bad)[pair.fork :] for pair in pairs]
        if how.localiser == "witnesses":  # beyond a proved error nobody need look
            paths = [list(self.proofs.up_to_an_error(path)) for path in paths]
        await judge_paths(
            self.actor,
            self.tree,
            paths,
            self.critiques,
            instruction=self.env.info.instruction,
            config=how,
            grammar=self.env.info.grammar,
            decided=self._is_decided if how.localiser == "witnesses" else None,
        )

    def _is_decided(self, path: Sequence[int]) -> bool:
        wrong = first_wrong(path, 0, self.critiques, self.proofs.effects)
        return wrong is not None and path[wrong] in self.critiques

    async def _good(self) -> list[Trajectory]:
        """The tree's good trajectories, shortest first; those that prune to the same are one."""
        cap, found = self.revision.good_per_task, dict[tuple[str, ...], Trajectory]()
        for leaf in self.proofs.good[: _GOOD_TRIED * cap]:  # the shortest come first
            await asyncio.sleep(0)
            way = self.tree.trajectory(leaf)
            if self._cleans:
                way = await prune(self.proofs.rehearsal, way)
            found.setdefault(tuple(step.action for step in way.steps), way)
        shortest = sorted(found.values(), key=lambda way: len(way.steps))[:cap]
        return (
            [await self.rewording.of_trajectory(way) for way in shortest]
            if self._cleans
            else shortest
        )

    async def _interleaved(self, good: Sequence[Trajectory]) -> list[Interleaved]:
        """Good trajectories with the actor's own errors in them, where replay may prove those."""
        if not (good and self._cleans):
            return []
        rng = random.Random(f"{self.tree.seed}/interleaved")
        interleaver = Interleaver(self.tree, self.proofs.prover(), good, rng)
        some = await interleaver.some(self.revision.interleaved)
        return [replace(one, turns=await self.rewording.of_turns(one.turns)) for one in some]

    async def _revise(self, pair: TrajectoryPair, rng: random.Random) -> Revision | Drop:
        path, effects = self.tree.path(pair.bad), self.proofs.effects
        how = self.config.critique
        error = find_first_error(
            self.tree, path, pair.fork, self.critiques, config=how, effects=effects
        )
        if error is None:
            judged = [self.critiques.get(i) for i in path[pair.fork :]]
            return why_no_error(judged, by_replay=how.localiser == "witnesses")
        index = path[error.position]
        if (index, pair.good) in self.spliced:
            return Drop.SAME_ERROR
        self.spliced.add((index, pair.good))
        splice = cut(self.tree, pair, error)
        if not splice.tail:
            return Drop.LOW_REWARD
        if not self._cleans:
            return await self._as_it_is(pair, error, splice, rng)
        if effects.get(index) is Effect.PROGRESS and error.source != "direct":
            return Drop.NOT_AN_ERROR
        return await self._cleaned(pair, error, splice, rng)

    def _signal(self, index: int, kind: str, rng: random.Random) -> Signal:
        judged = self.critiques.get(index)
        return signal_of(self.tree, index, judged, kind, config=self.revision, rng=rng)

    def _joined(
        self, pair: TrajectoryPair, error: FirstError, splice: Splice, signal: Signal
    ) -> Revision:
        return join(self.tree, pair, error, splice, signal, placement=self.revision.placement)

    async def _verified(self, revision: Revision) -> Revision | Drop:
        """The revision executed; dropped where it is no better than its bad trajectory."""
        checked = await verify(self.env, self.tree, revision, alpha=self.revision.alpha)
        if isinstance(checked, Revision):
            bad = self.tree.nodes[revision.pair.bad].reward
            if not is_bad(bad, checked.reward, self.revision):
                return Drop.LOW_REWARD
        return checked

    async def _as_it_is(
        self, pair: TrajectoryPair, error: FirstError, splice: Splice, rng: random.Random
    ) -> Revision | Drop:
        """The splice with all that its trajectories hold, as in the paper."""
        index = self.tree.path(pair.bad)[error.position]
        kind = error_kind(self.proofs.effects.get(index), splice)
        signal = self._signal(index, kind, rng)
        preference = at_the_fork(self.tree, pair, margin=self.revision.preference_margin)
        revision = replace(self._joined(pair, error, splice, signal), preference=preference)
        if not self.revision.verify:
            return revision
        checked = await self._verified(revision)
        if checked is not Drop.LOW_REWARD or not self.revision.recovery:
            return checked
        recovered = await self._recovered(revision, splice)
        if recovered is None:
            return checked
        revision = self._joined(pair, error, recovered, signal)
        return await self._verified(replace(revision, preference=preference, signal="recovery"))

    async def _cleaned(
        self, pair: TrajectoryPair, error: FirstError, splice: Splice, rng: random.Random
    ) -> Revision | Drop:
        """The splice without what it does not need, executed."""
        prover, alpha = self.proofs.prover(pair), self.revision.alpha
        whole, signal = error.source == "direct", None
        index = self.tree.path(pair.bad)[error.position]
        cleaned = await clean(prover, splice, alpha=alpha, whole=whole)
        if cleaned is Drop.LOW_REWARD and self.revision.recovery:
            # The tail is still to come: a signal that is true whatever it will be.
            kind = error_kind(self.proofs.effects.get(index), replace(splice, tail=()))
            signal = self._signal(index, kind, rng)
            recovered = await self._recovered(self._joined(pair, error, splice, signal), splice)
            if recovered is not None:
                cleaned = await clean(prover, recovered, alpha=alpha, whole=whole)
        if isinstance(cleaned, Drop):
            return cleaned
        effect = await effect_of_error(prover, cleaned) or self.proofs.effects.get(index)
        if effect is Effect.PROGRESS and not whole:
            return Drop.NOT_AN_ERROR
        kind = error_kind(effect, cleaned)
        tail = await self.rewording.after(cleaned.before, cleaned.tail)
        cleaned = replace(cleaned, tail=tail)
        used = signal or self._signal(index, kind, rng)
        preference = await at_the_error(
            prover,
            self.tree,
            index,
            cleaned,
            margin=self.revision.preference_margin,
            proved=effect in WRONG,
        )
        if preference is not None:
            preference = await self.rewording.of_preference(preference, cleaned)
        revision = replace(
            self._joined(pair, error, cleaned, used),
            signal="recovery" if signal else used.source,
            error_kind=kind,
            preference=preference,
        )
        return await self._verified(revision)

    async def _recovered(self, revision: Revision, splice: Splice) -> Splice | None:
        """The splice with a tail that the actor found by itself, from the revision's signal on."""
        tail = await recover(
            self.env,
            self.actor,
            self.tree,
            revision,
            alpha=self.revision.alpha,
            max_steps=self.config.search.max_depth,
            params=self._sampling,
            heard=self._count,
        )
        if not tail:
            return None
        # Inline, the signal was laid on the first step of the tail: the actor went on from there.
        inline = self.revision.placement == "inline" and revision.count(Part.SIGNAL)
        first = splice.tail[:1] if inline else ()
        return replace(splice, tail=(*first, *tail))

    def _count(self, replies: Sequence[Reading]) -> None:
        for reading in replies:
            kind = reading.outcome.value
            self.replies[kind] = self.replies.get(kind, 0) + 1

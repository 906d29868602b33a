"""Trees for tests of the page: one with hostile texts in a work folder, and very many."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from agent_r import files
from agent_r.algorithm.critique import Critique, FirstError, Verdict
from agent_r.algorithm.pairing import TrajectoryPair
from agent_r.algorithm.revision import Drop, Part, Revision, Turn
from agent_r.algorithm.trajectory import Step, StopReason
from agent_r.algorithm.tree import Node, SearchTree
from agent_r.collection.tree_revisions import TREE_REVISIONS, Dropped, TreeRevisions
from agent_r.collection.tree_store import TREE
from agent_r.dataset.view.exhibit import Exhibit
from agent_r.dataset.view.page import write_page
from agent_r.dataset.view.path import Collection, collection

EVIL = (
    "</script><script>alert(1)</script><!-- <img src=x onerror=alert(2)> & \u2028\u2029 "
    "\0 \x1b[31m 🦊 \u202eright-to-left שלום &lt;b&gt;"
)
TASK = "a </script> <b>task</b> 🦊 שלום"


def step(action: str, observation: str, thought: str = "I go on.") -> Step:
    return Step(f"Thought: {thought}\nAction: {action}", action, observation)


def small_tree(task: str = TASK, text: str = EVIL) -> SearchTree:
    """Two steps shared, then a good end and a bad one of two steps."""
    steps = (
        (0, step("look", text), 0.0, None),
        (1, step("take key", "Taken."), 0.0, None),
        (2, step("open door", "Open."), 1.0, StopReason.TERMINATED),
        (2, step("eat key", f"Eaten. {text}", text), 0.0, None),
        (4, step("eat key", "There is none."), 0.0, StopReason.STEP_LIMIT),
    )
    nodes = [Node(None, children=[1], visits=4, total_return=2.0)]
    for parent, told, reward, stop in steps:
        nodes.append(Node(parent, told, reward, stop, [], 2, 2 * reward))
    for node in (1, 2):
        nodes[node].visits, nodes[node].total_return = 4, 2.0
    for at, node in enumerate(nodes):
        if node.parent is not None and at not in nodes[node.parent].children:
            nodes[node.parent].children.append(at)
    return SearchTree(task, f"{text}\nGoal: get out.", 7, nodes, calls=9)


def small_harvest(tree: SearchTree, text: str = EVIL) -> TreeRevisions:
    """The bad end's pair became a revision; another pair was dropped."""
    pair = TrajectoryPair(bad=5, good=3, fork=2)
    turns = [Turn(told, Part.INITIAL) for told in tree.steps(2)]
    turns += [Turn(tree.steps(4)[2], Part.BAD), Turn(step("open door", "Open.", text), Part.SIGNAL)]
    revision = Revision(pair, FirstError(2, "actor", True), tuple(turns), 1.0, True, "critique")
    return TreeRevisions(
        critiques={
            4: Critique(Verdict.BAD, text, f"{text}\nJudgement: Bad"),
            5: Critique(None, "", "judge failed: no reply"),
        },
        revisions=[revision],
        good=[tree.trajectory(3)],
        drops={Drop.DUPLICATE.value: 1},
        dropped=[Dropped(pair, Drop.DUPLICATE)],
        pairs=2,
    )


def plant(work: Path, tree: SearchTree, tree_revisions: TreeRevisions | None) -> Path:
    """A tree's file, and its harvest's where there is one, as a run leaves them."""
    name, content = f"{files.slug(tree.task)}.json", TREE.dump_json(tree)
    files.write_bytes(work / "trees-t" / name, content)
    made = {"actor": "tiny", "iteration": 1, "world": "house 2", "instruction": "Get out."}
    files.write_json(work / "forest-h.json", made)
    if tree_revisions is not None:
        digest = hashlib.sha256(content).hexdigest()[:16]
        told = TREE_REVISIONS.dump_json(replace(tree_revisions, tree=digest))
        files.write_bytes(work / "harvest-h" / name, told)
    return work / "trees-t" / name


def evil_page(folder: Path) -> Path:
    """A page of one tree whose every text is hostile, and of one that is plain."""
    tree, plain = small_tree(), small_tree("plain task", "A room.")
    plant(folder / "work", tree, small_harvest(tree))
    plant(folder / "work", plain, small_harvest(plain, "It is lost."))
    return write_page(collection(folder / "work"), folder / "page.html").path


def many(version: Path, count: int) -> Collection:
    """A version's trees over and over, each with a name and an id of its own."""
    shown = collection(version)
    some = list(shown.exhibits())

    def exhibits() -> Iterator[Exhibit]:
        for n in range(count):
            one = some[n % len(some)]
            row = one.row | {"id": f"{one.row['id']}-{n}", "task": f"{one.row['task']} {n:05}"}
            yield replace(one, row=row)

    return replace(shown, exhibits=exhibits)


def embedded(page: str, name: str) -> object:
    """The value of one of a page's JSON scripts."""
    begin = page.index(f'<script type="application/json" id="{name}">')
    text = page[page.index(">", begin) + 1 : page.index("</script>", begin)]
    return json.loads(text)

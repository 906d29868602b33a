"""Every string a model sees that does not come from a world or from the model itself."""

from __future__ import annotations

from collections.abc import Sequence

from agent_r.actor import Message
from agent_r.algorithm.trajectory import Step
from agent_r.digests import sha256_of

NO_ACTION = "No action was found. Answer with a line that begins with `Action:`."

# The revision signal is a turn of its own in the paper: a thought, with an action that does
# nothing, answered by `ok.`. The episode answers it; no world ever sees it. The paper's action is
# `wait`, which many worlds know and must be asked for: so ours is one that none knows (check-env
# tries it).
REVISE = "revise plan"
REVISE_REPLY = "ok."

JUDGE = (
    "Judge your last step only: did it bring the goal nearer? Give your reason, then end with "
    "one line: `Judgement: Good`, `Judgement: Bad` or `Judgement: Uncertain`."
)

# Ten thoughts that announce a change of course (paper, appendix; the wording is ours).
SIGNALS = (
    "That step was a mistake. I will go back to what the goal needs.",
    "I took a wrong turn there, so I change my plan.",
    "What I just did does not help. I will do it differently.",
    "My last steps lead nowhere; I start again from what I have.",
    "I see that I was wrong. The next step must be another one.",
    "This is not working, because I chose badly. I correct it now.",
    "I should not have done that. Let me look at the goal once more.",
    "I went off the path. I return to it with the next step.",
    "That was an error of mine, and I will not repeat it.",
    "I have to revise my plan: the last action was the wrong one.",
)

# Thoughts about an error of which replay has proved what kind it is: they are true of any such one.
PROVED_SIGNALS = {
    "no effect": (
        "Nothing came of that step. I do something else.",
        "That changed nothing, so I go on in another way.",
        "That did not get me anywhere. I try another step.",
    ),
    "too early": (
        "That came too early. Something else has to be done first.",
        "I cannot do that yet, so I do first what it needs.",
        "Not yet: before that comes another step.",
    ),
    "wrong count": (
        "The number was wrong there. I look again at what is needed.",
        "That was not the count that I need.",
        "I miscounted. I go on with the right numbers.",
    ),
    "repeated": (
        "I did that before, and doing it again does not help.",
        "I repeat myself, which brings me no nearer. I take another step.",
        "That was the same again, for nothing. I go on with what is missing.",
    ),
    "silent waste": (
        "I did not need that: it brings the goal no nearer. I go on with what is needed.",
        "That step was of no use for the goal. I do what the goal asks for.",
        "It worked, but it does not help with the goal. I turn to what does.",
    ),
    "setback": (
        "That set me back. I do what is needed to make up for it.",
        "With that the goal is farther away, so I make up for it now.",
        "That was a step back. I do again what the goal needs.",
    ),
    "dead end": (
        "From here the way that I had in mind is closed. I take another one.",
        "That led away from the goal, so I go another way.",
    ),
}


def conversation(instruction: str, prompt: str, steps: Sequence[Step]) -> list[Message]:
    """The conversation an actor sees; a longer episode's begins with a shorter one's."""
    messages = [Message("system", instruction), Message("user", prompt)]
    for step in steps:
        messages.append(Message("assistant", step.response, step.reasoning))
        messages.append(Message("user", step.observation))
    return messages


def judge_request(instruction: str, prompt: str, steps: Sequence[Step]) -> list[Message]:
    """The same conversation, then the question about its last step.

    The question follows the observation in the same turn, so that a server's prefix cache serves
    the judge from what the actor's own prompts left there.
    """
    messages = conversation(instruction, prompt, steps)
    messages[-1] = Message("user", f"{messages[-1].content}\n\n{JUDGE}")
    return messages


def exploring_digest() -> str:
    """Names the strings that a search can show its actor: others change no tree."""
    return sha256_of("\x1f".join((NO_ACTION, REVISE, REVISE_REPLY)), 16)


def prompt_digest() -> str:
    """Names this set of strings: a dataset says with which prompts it was made."""
    proved = (text for texts in PROVED_SIGNALS.values() for text in texts)
    strings = "\x1f".join((NO_ACTION, REVISE, REVISE_REPLY, JUDGE, *SIGNALS, *proved))
    return sha256_of(strings, 16)

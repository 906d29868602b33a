"""How an actor of the shop words a step, and a judge its verdict: short, and true anywhere."""

from __future__ import annotations

from env_adapters.shop.pages import BACK, BUY, NEXT, PREVIOUS

_THOUGHTS = {
    f"click[{BACK.lower()}]": "I search anew",
    f"click[{PREVIOUS.lower()}]": "I go back",
    f"click[{NEXT.lower()}]": "I look at the next page",
    f"click[{BUY.lower()}]": "I buy it",
}


def say(action: str) -> str:
    """The turn that performs an action, with a thought that is true wherever it is taken.

    >>> say("search[red mug]")
    'Thought: I search for red mug.\\nAction: search[red mug]'
    >>> say("click[teal]"), say("click[buy now]")
    ('Thought: I take teal.\\nAction: click[teal]', 'Thought: I buy it.\\nAction: click[buy now]')
    """
    verb, _, rest = action.partition("[")
    value = rest.removesuffix("]")
    plain = f"I search for {value}" if verb == "search" else f"I take {value}"
    return f"Thought: {_THOUGHTS.get(action, plain)}.\nAction: {action}"


def verdict(*, right: bool, refused: bool) -> str:
    """What a judge should say of the step just taken: a reason, and its judgement."""
    if right:
        return "That is a step on the way.\nJudgement: Good"
    reason = "That cannot be done here." if refused else "That does not bring the goal nearer."
    return f"{reason}\nJudgement: Bad"

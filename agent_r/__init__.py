"""Agent-R: turn an agent's own failed trajectories into data that teaches it to recover.

What a Python user imports is here; docs/example.py searches one task with it.
"""

from agent_r.actor import Actor, Completion, Message, SamplingParams, Usage
from agent_r.algorithm.revision import Revision, verify
from agent_r.algorithm.search import search
from agent_r.algorithm.trajectory import Step, Trajectory
from agent_r.algorithm.tree import SearchTree
from agent_r.config import load
from agent_r.environment import EnvInfo, Environment, Forkable, StepResult, TaskSpec
from agent_r.errors import AgentRError
from agent_r.settings import Config

__version__ = "0.2.0"

__all__ = [
    "Actor",
    "AgentRError",
    "Completion",
    "Config",
    "EnvInfo",
    "Environment",
    "Forkable",
    "Message",
    "Revision",
    "SamplingParams",
    "SearchTree",
    "Step",
    "StepResult",
    "TaskSpec",
    "Trajectory",
    "Usage",
    "load",
    "search",
    "verify",
]

"""A world of one's own by its import path, and what a person is told who has got it wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_r.environment import Embedded, Environment, Forkable
from agent_r.errors import ConfigError
from agent_r.settings import PythonEnv
from agent_r.testing import Corridor, ForkableCorridor
from env_adapters import world_of

HERE = __name__


class Sized(Corridor):
    """Called with a setting."""

    def __init__(self, size: int, *, name: str = "sized") -> None:
        super().__init__()
        self.size, self.name = size, name


class Owner:
    """A whole world: it owns something that its environments share."""

    expert = None

    def __init__(self) -> None:
        self.closed = 0

    def environment(self) -> Environment:
        return Corridor()

    async def check(self) -> None: ...

    async def aclose(self) -> None:
        self.closed += 1


class NoExpert:
    environment = check = aclose = None


class NoSteps:
    info = tasks = reset = close = None


class Factories:
    forkable = ForkableCorridor


async def late() -> Environment:
    return Corridor()


def fails() -> Environment:
    raise RuntimeError("no data\nin this folder")


def ends() -> Environment:
    sys.exit("usage: …")


a_value = 17


def spec(factory: str, **arguments: Any) -> PythonEnv:
    path = factory if ":" in factory else f"{HERE}:{factory}"
    return PythonEnv(kind="python", factory=path, arguments=arguments)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's folder, from which the command line is run."""
    monkeypatch.chdir(tmp_path)
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


async def test_a_factory_of_environments_is_a_world_that_makes_fresh_ones() -> None:
    world = world_of(spec("Sized", size=4))
    assert isinstance(world, Embedded)
    one, two = world.environment(), world.environment()
    assert one is not two
    assert (one.size, two.name) == (4, "sized")  # type: ignore[attr-defined]
    await world.aclose()


async def test_a_world_is_passed_through_as_it_is() -> None:
    world = world_of(spec("Owner"))
    assert isinstance(world, Owner)
    await world.aclose()
    assert world.closed == 1


def test_a_name_may_lie_deeper_and_its_environments_may_fork() -> None:
    assert isinstance(world_of(spec("Factories.forkable")).environment(), Forkable)


@pytest.mark.parametrize(
    ("path", "arguments", "told"),
    [
        ("nowhere_at_all:world", {}, "no module 'nowhere_at_all', neither installed nor in /"),
        ("agent_r.nowhere:world", {}, "no module 'agent_r.nowhere', neither installed nor in /"),
        ("Nothing", {}, "test_python_factory.py) has no 'Nothing'"),
        ("Factories.other", {}, "has no 'Factories.other'"),
        ("a_value", {}, "is an int, not a function or a class: it cannot be called"),
        ("Sized", {}, "takes other arguments: missing a required argument: 'size'"),
        ("Sized", {"size": 1, "sise": 2}, "got an unexpected keyword argument 'sise'"),
        ("fails", {}, "fails: RuntimeError: no data in this folder"),
        ("ends", {}, "fails: SystemExit: usage: …"),
        ("late", {}, "is async: write it as a plain function"),
        ("NoSteps", {}, "not an Environment (docs/worlds.md): it lacks step"),
        ("NoExpert", {}, "not a World (agent_r/environment.py): it lacks expert"),
        ("builtins:dict", {"size": 1}, "made a dict, which is not an Environment"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(path: str, arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        world_of(spec(path, **arguments))
    assert told in str(caught.value)
    assert (path if ":" in path else f"{HERE}:{path}") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import not_there_either", "my_own_world imports 'not_there_either', which is not"),
        ("from agent_r import nothing_such", "importing my_own_world fails: ImportError"),
        ("def world(:", "importing my_own_world fails: SyntaxError"),
        ("1 / 0", "importing my_own_world fails: ZeroDivisionError: division by zero"),
        ("raise SystemExit('run me')", "importing my_own_world fails: SystemExit: run me"),
    ],
)
def test_a_module_that_cannot_be_imported_says_why(folder: Path, text: str, told: str) -> None:
    (folder / "my_own_world.py").write_text(text)
    with pytest.raises(ConfigError, match=told) as caught:
        world_of(spec("my_own_world:world"))
    assert "\n" not in str(caught.value)


def test_the_current_folder_counts_also_for_what_is_imported_later(folder: Path) -> None:
    (folder / "my_halls.py").write_text("LENGTH = 3")
    (folder / "my_world.py").write_text(
        "from agent_r.testing import Corridor\n"
        "class World(Corridor):\n"
        "    def later(self):\n"
        "        import my_halls\n"
        "        return my_halls.LENGTH\n"
    )
    assert world_of(spec("my_world:World")).environment().later() == 3  # type: ignore[attr-defined]


def test_a_file_in_the_current_folder_hides_no_installed_module(folder: Path) -> None:
    (folder / "wave.py").write_text("raise RuntimeError('not this one')")
    with pytest.raises(ConfigError, match=r"wave \(.*lib.*wave\.py\) has no 'world'"):
        world_of(spec("wave:world"))


def test_nothing_is_looked_for_in_the_current_folder_until_a_setting_asks(folder: Path) -> None:
    code = (
        "import sys, os, agent_r.loading, env_adapters.python_factory\n"
        "assert os.getcwd() not in sys.path\n"
        "from agent_r.settings import PythonEnv\n"
        "from env_adapters import world_of\n"
        "world_of(PythonEnv(kind='python', factory='here:Corridor'))\n"
        "assert sys.path[-1] == os.getcwd()\n"
    )
    (folder / "here.py").write_text("from agent_r.testing import Corridor")
    script = folder / "sub" / "script.py"  # as an installed command: its own folder is not ours
    script.parent.mkdir()
    script.write_text(f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n{code}")
    subprocess.run([sys.executable, "-E", str(script)], check=True, cwd=folder)

"""The `tools.py` of an agent's folder, imported by its path: its tools, its hooks, its own store of knowledge."""

import importlib
import importlib.util
import itertools
import re
import sys
import traceback
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from inspect import iscoroutinefunction, signature
from pathlib import Path
from types import ModuleType

from service.agents.knowledge.store import Knowledge
from service.agents.mistakes import Mistake
from service.agents.tools import Tool, ToolMistake

Hook = Callable[..., Awaitable[object]]

_COUNT = itertools.count(1)
_VERBS = ("search", "warm_up", "close")
_PACKAGE = re.compile(r"\bcuebox_agent_\d+(?=\.)")


@dataclass(frozen=True, slots=True)
class Code:
    """What a tools.py brings. It may have none of it."""

    tools: tuple[Tool, ...] = ()
    before_call: Hook | None = None
    after_call: Hook | None = None
    knowledge: Knowledge | None = None
    inbound: Hook | None = None


def read_code(file: Path, taken: Collection[str], mistakes: list[Mistake]) -> Code:
    """Run the file; what is wrong is added to the mistakes. `taken` are names that a tool cannot have."""
    module = _imported(file, mistakes) if file.exists() else None
    if module is None:
        return Code()
    found = [each for each in vars(module).values() if isinstance(each, Tool)]
    tools: dict[str, Tool] = {}
    for tool in found:
        if tools.setdefault(tool.name, tool) is not tool or tool.name in taken:
            line = tool.function.__code__.co_firstlineno
            mistakes.append(Mistake(file, line, f"the name {tool.name} is taken", "call the function something else"))
    before_call = _hook(module, "before_call", ("call",), file, mistakes)
    after_call = _hook(module, "after_call", ("call", "ending"), file, mistakes)
    inbound = _hook(module, "inbound", ("call",), file, mistakes)
    return Code(tuple(tools.values()), before_call, after_call, _store(module, file, mistakes), inbound)


def _store(module: ModuleType, file: Path, mistakes: list[Mistake]) -> Knowledge | None:
    """What is called `knowledge`, where it has any of a store's verbs."""
    store: Knowledge | None = getattr(module, "knowledge", None)
    missing = [verb for verb in _VERBS if not iscoroutinefunction(getattr(store, verb, None))]
    if not any(hasattr(store, verb) for verb in _VERBS):
        return None
    if missing:
        remedy = "service/agents/knowledge/store.py shows how"
        mistakes.append(Mistake(file, None, f"knowledge has no async def {', '.join(missing)}", remedy))
    return store


def _hook(module: ModuleType, name: str, takes: Sequence[str], file: Path, mistakes: list[Mistake]) -> Hook | None:
    hook: Hook | None = getattr(module, name, None)
    if hook is not None and not (iscoroutinefunction(hook) and _can_take(hook, takes)):
        line = getattr(getattr(hook, "__code__", None), "co_firstlineno", None)
        remedy = f"write async def {name}({', '.join(takes)})"
        mistakes.append(Mistake(file, line, f"{name} cannot be called and awaited", remedy))
    return hook


def _can_take(hook: Hook, arguments: Sequence[str]) -> bool:
    try:
        signature(hook).bind(*arguments)
    except TypeError:
        return False
    return True


class _Source(SourceFileLoader):
    """Reads no bytecode and leaves none: a file may change twice in a second, and a folder be read-only."""

    def path_stats(self, path: str) -> dict[str, int]:
        raise OSError(path)


def _imported(file: Path, mistakes: list[Mistake]) -> ModuleType | None:
    """Import the file anew, as a module of a package of its own.

    So `from .schedule import slots` finds the files beside it, `sys.path` stays as it is, two folders may have files of
    one name, and calls that began before a change keep the code that they began with.
    """
    package, folder = f"cuebox_agent_{next(_COUNT)}", str(file.parent.resolve())
    sys.path_importer_cache[folder] = FileFinder(folder, (_Source, [".py"]))
    spec = ModuleSpec(package, None, is_package=True)
    spec.submodule_search_locations = [folder]
    sys.modules[package] = importlib.util.module_from_spec(spec)
    try:
        return importlib.import_module(f"{package}.{file.stem}")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it is user code: whatever it raises is told
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[name]
        mistakes.append(_mistake_of(error, file))
        return None


def _mistake_of(error: BaseException, file: Path) -> Mistake:
    folder = file.parent.resolve()
    where, line = next(_places(error, folder), (file, None))
    said = error.msg if isinstance(error, SyntaxError) else _PACKAGE.sub("", str(error))
    what = said if isinstance(error, ToolMistake) else f"{type(error).__name__}: {said}"
    as_given = file.parent / where.relative_to(folder) if where.is_relative_to(folder) else where
    return Mistake(as_given, line, what.removeprefix(f"{where}:{line}: "))


def _places(error: BaseException, folder: Path) -> Iterator[tuple[Path, int | None]]:
    """Where the folder's own code was when it happened, the innermost first."""
    if isinstance(error, SyntaxError) and error.filename:
        yield Path(error.filename), error.lineno
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if folder in Path(frame.filename).parents:
            yield Path(frame.filename), frame.lineno

"""An agent's folder: `agent.toml` and `prompt.md`, and where there are any, `tools.py` and `knowledge/`."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from service.agents.actions import ActionRules, RescueRules, actions_of, rescue_of, with_offer
from service.agents.code import Hook, read_code
from service.agents.knowledge.index import Index
from service.agents.knowledge.passages import KnowledgeMistake, read_pages
from service.agents.knowledge.store import Knowledge
from service.agents.mistakes import FolderMistake, Mistake, text_of
from service.agents.tables import Place, line_in, read_table
from service.agents.tools import Tool
from service.agents.variables import mistakes as placeholder_mistakes
from service.agents.variables import placeholders
from service.conversation.call import Deadlines, Rescue, SpokenLines
from service.conversation.parts import VoiceSettings
from service.llm.candidate import Rules
from service.llm.targets import Target

LONGEST_PROMPT = 100_000
"""Characters: a model reads them in every turn."""

_MADE = re.compile(r"^/scenarios/|/\.|/__pycache__/|\.(db|sqlite)[^/]*$")


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """What a turn may take. Times are seconds."""

    rounds: Annotated[int, Meta(ge=1, le=20)] = 4
    """Rounds of model and tools."""
    settle_delay: Annotated[float, Meta(ge=0, le=5)] = 0.25
    """A turn writes no sooner after its request: the platform asks early and discards."""
    knowledge_wait: Annotated[float, Meta(ge=0, le=5)] = 0.15
    """The longest that a turn waits for knowledge."""


class Script(Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in `agent.toml`. Everything may be left out."""

    greeting: str = ""
    """Nothing lets the caller begin."""
    greetings: dict[str, str] = msgspec.field(default_factory=dict)
    """The greeting in other languages, by their codes."""
    lines: SpokenLines = SpokenLines()
    """With the offer of a colleague, where one is to be had. Other languages take over what they leave out."""
    deadlines: Deadlines = Deadlines()
    targets: tuple[Target, ...] = ()
    model: Rules = Rules()
    actions: ActionRules = ActionRules()
    rescue: RescueRules | None = None
    variables: dict[str, str] = msgspec.field(default_factory=dict)
    voice: VoiceSettings | None = None
    limits: Limits = Limits()

    def greeting_in(self, language: str) -> str:
        """The greeting of a language, or of the one that it is a kind of (`de` for `de-AT`)."""
        code = _code_of(language)
        return self.greetings.get(code) or self.greetings.get(code.partition("-")[0]) or self.greeting


@dataclass(frozen=True, slots=True)
class Folder:
    """An agent's files, read."""

    name: str
    path: Path
    script: Script
    prompt: str
    tools: tuple[Tool, ...] = ()
    before_call: Hook | None = None
    """`async def before_call(call: Call)` of tools.py."""
    after_call: Hook | None = None
    """`async def after_call(call: Call, ending: Ending)` of tools.py."""
    knowledge: Knowledge | None = None
    inbound: Hook | None = None
    """`async def inbound(call: InboundCall) -> Inbound` of tools.py."""
    hash: str = ""
    """Twelve hexadecimal digits that change with any of the files."""

    @property
    def rescue(self) -> Rescue | None:
        """Whom the caller is handed over to when the agent cannot answer."""
        return rescue_of(self.script.rescue, self.script.actions)


def read_folder(path: Path, cache: Path | None = None) -> Folder:
    """Read an agent's files. `cache` is a folder for what is made of its knowledge; without one, it is made anew.

    Raises FolderMistake, with all that is wrong with the files.
    """
    mistakes: list[Mistake] = []
    raw = read_table(path / "agent.toml", Script, mistakes)
    script = _script_of(path / "agent.toml", raw or {}, mistakes)
    prompt = text_of(path / "prompt.md", LONGEST_PROMPT, mistakes) or ""
    if raw is not None:  # else the defaults are not known
        for line, what in placeholder_mistakes(prompt, script.variables):
            mistakes.append(Mistake(path / "prompt.md", line, what))
    code = read_code(path / "tools.py", actions_of(script.actions), mistakes)
    index = _index_of(path / "knowledge", cache, mistakes)
    folder_hash = _hash_of(path, mistakes)
    if mistakes:
        raise FolderMistake(path.name, mistakes)
    return Folder(
        path.name,
        path,
        script,
        prompt,
        code.tools,
        code.before_call,
        code.after_call,
        code.knowledge or index,
        code.inbound,
        folder_hash,
    )


def hash_of(folder: Path) -> str:
    """Twelve hexadecimal digits that change with any file of an agent's folder; empty for none."""
    files = files_of(folder)
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(folder)}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()[:12] if files else ""


def files_of(folder: Path) -> list[Path]:
    """The files that make the agent: not its scenarios, what is hidden, what Python leaves behind, or databases."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path for path in found if not _MADE.search(f"/{path.relative_to(folder).as_posix()}")]


def _hash_of(path: Path, mistakes: list[Mistake]) -> str:
    try:
        return hash_of(path)
    except OSError as error:
        mistakes.append(Mistake(Path(error.filename or path), None, f"it cannot be read: {error.strerror}"))
        return ""


def _script_of(file: Path, raw: dict[str, Any], mistakes: list[Mistake]) -> Script:
    lines = raw.get("lines", {})
    as_it_stands = [*_texts(lines, ("lines",)), *_texts(raw.get("rescue"), ("rescue",))]
    languages = lines.pop("by_language", {})
    script = msgspec.convert(raw, Script)
    mistakes += _told_apart(file, script, are_numbers_known=not mistakes or script.actions.transfer_call is not None)
    for place, text in as_it_stands:
        if placeholders(text):
            what = "a placeholder would be read out: this line is said as it stands"
            mistakes.append(Mistake(file, line_in(file, place), what, "greetings and prompt.md may have some"))

    def complete(own: dict[str, Any]) -> SpokenLines:
        return with_offer(msgspec.convert({**lines, **own}, SpokenLines), script.actions)

    others = {_code_of(code): complete(own) for code, own in languages.items()}
    greetings = {_code_of(code): greeting for code, greeting in script.greetings.items()}
    return msgspec.structs.replace(script, greetings=greetings, lines=replace(complete({}), by_language=others))


def _told_apart(file: Path, script: Script, *, are_numbers_known: bool) -> Iterator[Mistake]:
    """What no type can tell."""
    greetings: list[tuple[Place, str]] = [(("greeting",), script.greeting)]
    greetings += [(("greetings", code), text) for code, text in script.greetings.items()]
    for place, greeting in greetings:
        for _, what in placeholder_mistakes(greeting, script.variables):
            yield Mistake(file, line_in(file, place), what)
    if are_numbers_known:
        try:
            rescue_of(script.rescue, script.actions)
        except ValueError as error:
            yield Mistake(file, line_in(file, ("rescue", "transfer")), str(error))


def _texts(value: object, place: Place) -> Iterator[tuple[Place, str]]:
    """All texts in a part of the file, with their places."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, (*place, key))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, place)


def _code_of(language: str) -> str:
    return language.strip().replace("_", "-").casefold()


def _index_of(folder: Path, cache: Path | None, mistakes: list[Mistake]) -> Knowledge | None:
    if folder.exists() and not folder.is_dir():
        mistakes.append(Mistake(folder, None, "this is a file", "make it a folder, and put your pages into it"))
    try:
        pages = read_pages(folder)
    except KnowledgeMistake as error:
        mistakes.append(Mistake(folder / error.file, error.line, error.problem))
        return None
    return Index(pages, cache) if pages else None

"""What the settings choose: which agents answer, with which models."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from service.agents.agent import Agent
from service.agents.folder import Folder, hash_of, read_folder
from service.agents.library import CODED, SHIPPED, Library, OnChange, Shelved, folders_in, shares_of
from service.agents.mistakes import FolderMistake
from service.agents.prompted import PromptedAgent
from service.agents.round import ToolTrace, untraced
from service.llm.dependable import DependableModel
from service.llm.model import Endpoint
from service.llm.openai_chat import OpenAIChat
from service.llm.records import AttemptWitness
from service.llm.switches import Switches
from service.llm.targets import Target, TargetError, key_of, overridden
from service.settings import Settings, SettingsError

DEFAULT = "receptionist"


def choice_of(settings: Settings) -> "Choice":
    """Read the agents that the settings choose. Raises SettingsError, with all that is wrong with their files."""
    zone = _zone_of(settings)
    try:
        shares = shares_of(settings.agent or DEFAULT)
    except ValueError as error:
        raise SettingsError(
            f"CUEBOX_AGENT is {settings.agent!r}, but must be an agent, or shares such as a:95,b:5: {error}."
        ) from error
    own = _own_folders(settings)
    places = {**folders_in(SHIPPED), **own}
    if any(name not in places and name not in CODED for name in shares):
        known = ", ".join(sorted({*places, *CODED}))
        raise SettingsError(f"CUEBOX_AGENT is {settings.agent!r}, but the agents here are: {known}.")
    folders, mistaken = {}, []
    cache = Path(settings.cache_dir) if settings.cache_dir else None
    for name in dict.fromkeys((*shares, *own)):
        if name in places:
            try:
                folders[name] = read_folder(places[name], cache)
            except FolderMistake as mistake:
                mistaken.append(str(mistake))
    if mistaken:
        raise SettingsError("\n".join(mistaken))
    asked = {name: _asked_by(folder, settings) for name, folder in folders.items()}
    return Choice(shares, folders, asked, zone, settings.dev)


@dataclass(frozen=True, slots=True)
class Choice:
    """The agents that the settings choose."""

    shares: Mapping[str, float]
    """What share of the calls falls to each."""
    folders: Mapping[str, Folder] = field(default_factory=dict)
    """Of all that are made of one. Those that no calls fall to are there for addresses that name them."""
    asked: Mapping[str, Sequence[OpenAIChat]] = field(default_factory=dict)
    """Which models each of them asks, in order: none for one that goes without."""
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    is_followed: bool = False
    """Whether agents follow their files while they run."""
    switches: Switches = field(default_factory=Switches)
    """What an operator may switch while they run."""
    between: Callable[[Endpoint], Endpoint] = field(default=lambda endpoint: endpoint)
    """Stands between an agent and each of its models."""
    made: Mapping[str, Agent] = field(default_factory=dict)
    """Agents that somebody else made."""

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys((*self.shares, *self.folders)))

    @property
    def hashes(self) -> dict[str, str]:
        """The hash of each agent's folder."""
        return {
            name: self.folders[name].hash if name in self.folders else hash_of(SHIPPED / name) for name in self.names
        }

    @property
    def endpoints(self) -> list[OpenAIChat]:
        return [endpoint for asked in self.asked.values() for endpoint in asked]

    @property
    def targets(self) -> list[tuple[str, str]]:
        """The names and models of all that is asked."""
        return list(dict.fromkeys((each.name, each.model) for each in self.endpoints))

    @property
    def tools(self) -> list[str]:
        """The names of all tools."""
        return sorted({tool.name for folder in self.folders.values() for tool in folder.tools})

    def asked_by(self, name: str) -> list[str]:
        """The names of the models that an agent asks, in order."""
        return [endpoint.name for endpoint in self.asked.get(name, ())]

    def asking(self, address: str) -> "Choice":
        """The same agents, whose models are all at this address, and want no key."""
        asked = {
            name: [
                OpenAIChat(Target(target.model, name=target.name, base_url=address), "none")
                for target in folder.script.targets or [Target("model")]
            ]
            for name, folder in self.folders.items()
        }
        return replace(self, asked=asked)

    def heard_by(self, listen: Callable[[Endpoint], Endpoint]) -> "Choice":
        """The same agents, whose models somebody listens to."""
        return replace(self, between=lambda endpoint: listen(self.between(endpoint)))

    @property
    def overriding(self) -> list[str]:
        """Those of the operator's that stand for one that comes along."""
        known = {*folders_in(SHIPPED), *CODED}
        return [name for name, folder in self.folders.items() if name in known and folder.path.parent != SHIPPED]

    @property
    def without_model(self) -> list[str]:
        """Those that should ask a model, and have no key for it."""
        return [name for name, asked in self.asked.items() if not asked]

    def agent(self, name: str, witness: AttemptWitness, trace: ToolTrace = untraced) -> Agent:
        """Make one of the agents. What its model does is told to the witness, and `trace` names its tools' spans."""
        if name in self.made:
            return self.made[name]
        if name not in self.folders:
            return CODED[name]()
        folder, asked = self.folders[name], self.asked[name]
        endpoints = [self.between(endpoint) for endpoint in asked]
        model = DependableModel(endpoints, folder.script.model, witness, self.switches) if asked else None
        return PromptedAgent(folder, model, lambda: datetime.now(self.zone), trace, self.switches)

    def library(self, witness: AttemptWitness, on_change: OnChange, trace: ToolTrace = untraced) -> Library:
        """Make all of them. In development, they follow their files."""
        agents = {
            name: Shelved(self.agent(name, witness, trace), folder_hash) for name, folder_hash in self.hashes.items()
        }
        return Library(agents, self.shares, on_change if self.is_followed else None)


def choice_of_one(agent: Agent) -> Choice:
    """An agent that somebody else made takes all calls."""
    if not isinstance(agent, PromptedAgent):
        return Choice({agent.name: 1.0}, made={agent.name: agent})
    return Choice({agent.name: 1.0}, {agent.name: agent.folder}, switches=agent.switches, made={agent.name: agent})


def _zone_of(settings: Settings) -> ZoneInfo:
    try:
        return ZoneInfo(settings.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SettingsError(
            f"CUEBOX_TIMEZONE is {settings.timezone!r}, which is no zone; use a name such as Europe/Berlin."
        ) from error


def _own_folders(settings: Settings) -> dict[str, Path]:
    if settings.agents_dir is None:
        return {}
    try:
        return folders_in(Path(settings.agents_dir))
    except OSError as error:
        raise SettingsError(
            f"CUEBOX_AGENTS_DIR is {settings.agents_dir!r}, but that folder cannot be read ({error.strerror})."
        ) from error


def _asked_by(folder: Folder, settings: Settings) -> list[OpenAIChat]:
    """The models that an agent asks, in order; none where it may go without and has no key at all."""
    keys = {**settings.other_keys, "OPENAI_API_KEY": settings.openai_api_key or ""}
    try:
        targets = targets_of(folder, settings)
        if (settings.dev or settings.agent is None) and not any(_has_key(target, keys) for target in targets):
            return []
        return [OpenAIChat(target, key_of(target, keys)) for target in targets]
    except TargetError as error:
        raise SettingsError(
            f"The agent '{folder.name}' cannot ask its model: {error} With CUEBOX_DEV=true it may go without."
        ) from error


def targets_of(folder: Folder, settings: Settings) -> list[Target]:
    """The models it asks, in order. Raises SettingsError and TargetError."""
    base_url = settings.openai_base_url
    if base_url is not None and not re.match(r"https?://[^/\s]+", base_url):
        raise SettingsError(
            f"OPENAI_BASE_URL is {base_url!r}, but must be an address such as http://127.0.0.1:8000/v1."
        )
    return overridden(folder.script.targets, settings.model, base_url)


def _has_key(target: Target, keys: Mapping[str, str]) -> bool:
    try:
        return bool(key_of(target, keys))
    except TargetError:
        return False

"""Name → agent: add yours here."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from service.agents.agent import Agent
from service.agents.dummy import Dummy
from service.agents.folder import Folder
from service.agents.receptionist import Receptionist
from service.llm.model import ChatModel

Clock = Callable[[], datetime]

FOLDERS = Path(__file__).parent
WITHOUT_MODEL: dict[str, Callable[[], Agent]] = {"dummy": Dummy}
WITH_MODEL: dict[str, Callable[[Folder, ChatModel, Clock], Agent]] = {"receptionist": Receptionist}
"""Each has its folder here, of the same name."""

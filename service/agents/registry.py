"""Name → agent: add yours here."""

from collections.abc import Callable
from datetime import datetime

from service.agents.agent import Agent
from service.agents.dummy import Dummy
from service.agents.receptionist import Receptionist
from service.llm.model import ChatModel

Clock = Callable[[], datetime]

WITHOUT_MODEL: dict[str, Callable[[], Agent]] = {"dummy": Dummy}
WITH_MODEL: dict[str, Callable[[ChatModel, Clock], Agent]] = {"receptionist": Receptionist}

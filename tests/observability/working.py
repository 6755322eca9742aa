"""An agent that does more than speak, and all that looks on."""

from random import Random

from service.conversation import events
from service.conversation.call import Policy
from service.conversation.transcript import ToolAnswered, ToolCalled
from service.observability.agent_metrics import AgentMeter
from service.observability.logs import CallLog
from service.observability.meter import Meter
from service.observability.metrics import Metrics
from service.observability.traces import Span, Tracer
from service.observability.watch import Watch
from tests.conversation.play import CALL_ID
from tests.observability.seen import SeenPlay, value

SECRET = '{"name": "Ada Lovelace"}'


class Working(SeenPlay):
    """A play of an agent that has the tools `book` and `find`, with all that looks on."""

    def __init__(self, *, share: float = 1, captures_content: bool = False, policy: Policy | None = None) -> None:
        self.spans: list[Span] = []
        self.metrics = Metrics(tools=("book", "find"))
        chance = Random(1)  # noqa: S311 - the same in each run
        tracer = Tracer("desk", {}, self._take, share=share, captures_content=captures_content, chance=chance)
        log = CallLog(lambda _: None)
        parts = [tracer, log, Meter(self.metrics, {}), AgentMeter(self.metrics.agents)]
        super().__init__(Watch(parts, _broken, ("book", "find")), policy)
        self.watch.took(CALL_ID, "dentist", "0123456789ab")
        self.greets()

    def _take(self, span: Span) -> bool:
        self.spans.append(span)
        return True

    def calls(self, name: str = "book", id: str = "t1") -> None:  # noqa: A002
        self.drafts(ToolCalled(id, name, SECRET))

    def answers_tool(self, id: str = "t1", *, fault: str | None = None, is_aside: bool = False) -> None:  # noqa: A002
        answer = ToolAnswered(id, "booked for Ada", fault is None, fault, "OSError" if fault == "raised" else None)
        if is_aside:
            self.happens(events.AsideMade(self.at, answer))
        else:
            self.drafts(answer)

    def counted(self, result: str, tool: str = "book") -> float:
        return value(self.metrics, "cuebox_tool_calls_total", tool=tool, result=result)

    def acted(self, action: str) -> float:
        return value(self.metrics, "cuebox_actions_total", action=action)

    def tool_spans(self) -> list[Span]:
        return [span for span in self.spans if span.name.startswith("execute_tool")]


def _broken(part: str) -> None:
    raise AssertionError(f"{part} failed, and nobody would have felt it")

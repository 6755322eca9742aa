"""What agents do beside speaking: their tools, their knowledge and their actions, as metrics and their meter."""

from collections.abc import Sequence
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Histogram

from service.conversation.call import TurnRecord
from service.conversation.commands import Command, Interject
from service.conversation.events import AsideMade, Event, ReplyDrafted
from service.conversation.parts import Action, KnowledgeSought, Lookup
from service.observability.children import of, these
from service.observability.frames import ACTIONS
from service.observability.tools import ACTION_TOOLS, RESULTS, UNKNOWN, SeenTool
from service.observability.watch import Part, SeenTurn


class AgentMetrics:
    """Tools, knowledge and actions."""

    def __init__(self, registry: CollectorRegistry, tools: Sequence[str]) -> None:
        """`tools` are all that there are; whatever else a model asks for counts as `unknown`."""
        tools = tuple(dict.fromkeys(tools))  # agents may have some in common

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        text = "Calls of tools by how they ended; refused by the tool itself, unknown if nobody answered."
        others = [(UNKNOWN, UNKNOWN), *product(ACTION_TOOLS, ("refused",))]
        calls = counter("cuebox_tool_calls_total", text, "tool", "result")
        self.tool_calls = these(calls, [*product(tools, RESULTS), *others])
        text = "From a tool's call to its answer, whatever it is."
        edges: tuple[float, ...] = (0.25, 1.0, 2.0, 8.0)
        took = Histogram("cuebox_tool_duration_seconds", text, ["tool"], registry=registry, buckets=edges)
        self.tool_seconds = of(took, tools)
        text = "Turns that looked for knowledge, by what came of it; late is one that went on without."
        searches = counter("cuebox_knowledge_searches_total", text, "result")
        self.searches = of(searches, [lookup.value for lookup in Lookup])
        text, edges = "How long a turn waited for knowledge.", (0.005, 0.05, 0.15)
        self.waited = Histogram("cuebox_knowledge_wait_seconds", text, registry=registry, buckets=edges)
        text, edges = "How long a search for knowledge took; most begin before the turn.", (0.002, *edges)
        self.searched = Histogram("cuebox_knowledge_search_seconds", text, registry=registry, buckets=edges)
        self.rescues = counter("cuebox_rescues_total", "Failed turns after which the caller was handed over.")
        text = "What agents asked of the platform on a final frame or an interjection; rescues are among the transfers."
        self.actions = of(counter("cuebox_actions_total", text, "action"), ACTIONS.values())


class AgentMeter(Part):
    """Updates them."""

    name = "metrics"

    def __init__(self, metrics: AgentMetrics) -> None:
        self._metrics = metrics

    def saw(self, call_id: str, event: Event, answer: Sequence[Command]) -> None:  # noqa: ARG002
        if isinstance(event, ReplyDrafted | AsideMade):
            for command in answer:
                if isinstance(command, Interject):
                    self._act(command.action)

    def settled(self, turn: SeenTurn, record: TurnRecord) -> None:
        self._act(record.action)
        if record.is_rescued:
            self._metrics.rescues.inc()
        if turn.knowledge is not None:
            self._seek(turn.knowledge)

    def used(self, tool: SeenTool, turn: SeenTurn) -> None:  # noqa: ARG002
        seconds, calls = self._metrics.tool_seconds.get(tool.name), self._metrics.tool_calls
        calls.get((tool.name, tool.result), calls[UNKNOWN, UNKNOWN]).inc()
        if seconds is not None and tool.took is not None and tool.answer is not None:
            seconds.observe(tool.took)

    def _act(self, action: Action | None) -> None:
        if action is not None:
            self._metrics.actions[ACTIONS[type(action)]].inc()

    def _seek(self, sought: KnowledgeSought) -> None:
        self._metrics.searches[sought.result.value].inc()
        self._metrics.waited.observe(sought.waited)
        if sought.took is not None:
            self._metrics.searched.observe(sought.took)

"""Who speaks in a simulated call, and what is heard of it."""

import math
from dataclasses import dataclass

from service.platforms.retell.messages import AgentConfig
from service.simulator import retell_steps as steps
from service.simulator.retell_speech import Speech, Transcript, Word, timed
from service.simulator.retell_steps import Action, Cutter, Step


@dataclass(slots=True)
class Reply:
    """One turn asked of the server, or one agent_interrupt of its own."""

    turn_id: int | None
    asked_at: float
    is_reminder: bool = False
    interrupt_id: int | None = None
    text: str = ""
    action: Action | None = None
    is_complete: bool = False
    is_cut: bool = False
    is_withdrawn: bool = False

    @property
    def is_open(self) -> bool:
        """Whether Retell still waits for its words."""
        return not (self.is_complete or self.is_cut)


class Floor:
    """The speech of both, in one transcript. Nothing here knows of frames."""

    def __init__(self, words_per_second: float) -> None:
        self.transcript = Transcript()
        self.speaking: Reply | None = None
        self.caller_speech: Speech | None = None
        self._is_interruptible = True
        self.silent_since = 0.0
        self.reminders = 0
        self._most_reminders, self._reminder_after = 1, 10.0
        self._rate = words_per_second
        self._agent_speech = Speech(words_per_second)
        self._caller_words: list[Word] = []
        self._is_caller_speaking = self._is_held_back = self._is_pausing = False
        self._utterances = 0

    @property
    def is_quiet(self) -> bool:
        return self.speaking is None and self.caller_speech is None and not self._is_caller_speaking

    @property
    def is_caller_speaking(self) -> bool:
        return self._is_caller_speaking

    @property
    def is_guarded(self) -> bool:
        """Whether the caller cannot cut the agent off just now."""
        if self.speaking is None:
            return False
        return self._agent_speech.is_guarded or not (self._is_interruptible or self._agent_speech.is_over)

    def wakes_at(self) -> float:
        speeches = [self._agent_speech] if self.speaking else []
        speeches += [self.caller_speech] if self.caller_speech else []
        return min((s.words[s.heard].end for s in speeches if not s.is_over), default=math.inf)

    # The caller.

    def begin_to_say(self, text: str, at: float) -> None:
        self.caller_speech = Speech(self._rate)
        self.caller_speech.say(text, at, is_final=True)

    def recognise(self, text: str, at: float) -> list[Step]:
        """All of the caller's utterance so far."""
        cut: list[Step] = []
        if not self._is_caller_speaking:
            cut = [] if self.is_guarded else self.cut("caller")
            self._is_caller_speaking, self.reminders = True, 0
            self._begin_utterance()
        self._caller_words = timed(text.split(), self._caller_words, at, 1 / self._rate)
        self._is_held_back = True
        self._show_caller()
        return cut

    def _begin_utterance(self) -> None:
        """Unless it goes on after a pause."""
        if not self._is_pausing:
            self._utterances += 1
            self._caller_words, self._caller_key = [], self._utterances
        self._is_pausing = False

    def caller_pauses(self) -> None:
        """It might be the end of what they say."""
        self._is_caller_speaking, self._is_pausing = False, True

    def caller_stops(self, at: float) -> None:
        self._is_caller_speaking = self._is_pausing = False
        self.caller_speech, self.silent_since = None, at

    def _show_caller(self) -> None:
        """What is said into guarded words has its row after them: rows only grow at the end."""
        if self._is_held_back and not self.is_guarded:
            self._is_held_back = False
            self.transcript.show(self._caller_key, "user", self._caller_words)

    def press(self, digits: str, at: float) -> None:
        self.reminders, self.silent_since = 0, at
        for digit in digits:
            self.transcript.weave({"role": "dtmf", "digit": digit})

    def reminder_at(self) -> float:
        """When a silence has lasted so long that the agent should say something."""
        return self.silent_since + self._reminder_after if self.reminders < self._most_reminders else math.inf

    # The agent.

    def tune(self, config: AgentConfig) -> list[Step]:
        """Listen and speak differently from now on."""
        if config.reminder_trigger_ms is not None:
            self._reminder_after = config.reminder_trigger_ms / 1000
        if config.reminder_max_count is not None:
            self._most_reminders = config.reminder_max_count
        if config.interruption_sensitivity is not None:
            self._is_interruptible = config.interruption_sensitivity > 0
        return [steps.AgentTuned(config)]

    def play(self, reply: Reply, text: str, at: float, *, is_guarded: bool) -> list[Step]:
        """More text of a reply, to be spoken when its time comes."""
        if reply is not self.speaking:
            self.speaking, self._agent_speech = reply, Speech(self._rate)
            self._utterances += 1
            self._agent_key = self._utterances
        has_begun = bool(self._agent_speech.words)
        self._agent_speech.say(text, at, is_final=reply.is_complete, is_guarded=is_guarded)
        begins = bool(self._agent_speech.words) and not has_begun
        started = [steps.SpeechStarted(reply.turn_id, at - reply.asked_at)] if begins else []
        return [*started, *self.listen(at)]

    def listen(self, at: float) -> list[Step]:
        """What the agent has said by now."""
        reply, speech = self.speaking, self._agent_speech
        if reply is None:
            return []
        told: list[Step] = []
        if speech.advance(at):
            self.transcript.show(self._agent_key, "agent", speech.heard_words)
            told.append(steps.WordsHeard(reply.turn_id, speech.heard))
        if reply.is_complete and speech.is_over:
            self.speaking, self.silent_since = None, at
            told.append(steps.SpeechFinished(reply.turn_id, reply.action))
        self._show_caller()
        return told

    def cut(self, by: Cutter) -> list[Step]:
        """Silence the agent. What was not heard is lost, and so is the action."""
        reply, self.speaking = self.speaking, None
        if reply is None:
            return []
        reply.is_cut = True
        self._show_caller()
        told: list[Step] = []
        if self._agent_speech.words:
            words, heard = reply.text.split(), self._agent_speech.heard
            told.append(steps.SpeechCut(reply.turn_id, " ".join(words[:heard]), " ".join(words[heard:]), by))
        return [*told, *([steps.ActionDiscarded(reply.action)] if reply.action else [])]

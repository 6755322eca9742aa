"""What the frames of a line and the actions on them are called, in metrics, logs and the flight recorder."""

from collections.abc import Mapping

from service.conversation import commands, events
from service.conversation.commands import Command
from service.conversation.events import Event
from service.conversation.parts import Action, HangUp, PressDigits, Transfer

FRAMES_IN: Mapping[type[Event], str] = {
    events.Pinged: "ping",
    events.CallDetailsReceived: "details",
    events.TranscriptUpdated: "transcript",
    events.ReplyRequested: "request",
    events.OddityNoticed: "odd",
}
FRAMES_OUT: Mapping[type[Command], str] = {
    commands.AnswerPing: "pong",
    commands.Say: "words",
    commands.Interject: "interjection",
    commands.ShowToolCall: "tool_call",
    commands.ShowToolResult: "tool_result",
    commands.TuneVoice: "voice",
    commands.TellPage: "page",
}
ACTIONS: Mapping[type[Action], str] = {HangUp: "hang_up", Transfer: "transfer", PressDigits: "press_digits"}

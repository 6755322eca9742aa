"""What the frames of a line are called, in metrics and in the flight recorder."""

from collections.abc import Mapping

from service.conversation import commands, events
from service.conversation.commands import Command
from service.conversation.events import Event

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

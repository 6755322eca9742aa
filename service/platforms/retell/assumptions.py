"""What we assume about Retell where it documents nothing. No live call was placed against this code.

Each entry that the code relies on stands here once; where it matters, the code names its id. An oddity that
contradicts an entry is counted and logged once per call as "assumption broken".
"""

from dataclasses import dataclass

from service.conversation.events import Oddity

CALLS_VERIFIED = 0
"""Live calls that these were checked against."""


@dataclass(frozen=True, slots=True)
class Assumption:
    """One thing we believe of the platform."""

    id: str
    sentence: str
    what_we_do: str
    source: str
    broken_by: Oddity | None = None


ASSUMPTIONS = (
    Assumption(
        "A1",
        "A ping is answered with its own timestamp.",
        "We echo it as it came.",
        "Every official example echoes; the text says the server's own time.",
    ),
    Assumption(
        "A2",
        "Answering pings is enough; the server need not send any of its own.",
        "We send none unasked.",
        "Retell's code samples only reply.",
    ),
    Assumption(
        "A3",
        "A new line of a call wants the config again.",
        "We send config first on every line.",
        "Inferred: the documentation is silent.",
    ),
    Assumption(
        "A4",
        "A new line of a call accepts an empty response 0, and may need it before it listens.",
        "We send one, never a second greeting.",
        'Inferred from "nothing is said before response 0".',
    ),
    Assumption(
        "A5",
        "A request that was pending when its line broke is asked again on the new line.",
        "We cancel it with the line and answer what is asked on the new one.",
        "Inferred: the documentation is silent.",
    ),
    Assumption(
        "A6",
        "Ids grow within one line, and may start anew on the next.",
        "We ignore a request that is not newer than those before it on the same line.",
        'Documented as "auto-incrementing" only.',
        Oddity.REQUEST_NOT_NEWER,
    ),
    Assumption(
        "A7",
        "Call details come within 0.3 s of the config.",
        "We greet without them then.",
        '"Immediately", by the guide; no time is given.',
        Oddity.DETAILS_LATE,
    ),
    Assumption(
        "A8",
        "Call details carry the call id of the path.",
        "We use none of another call's data.",
        "The guide's sample.",
        Oddity.CALL_ID_DIFFERS,
    ),
    Assumption(
        "A9",
        "Each transcript is the whole call so far: rows are appended, and only the last one changes.",
        "We count what was heard of a turn behind the place where the transcript ended when it was asked.",
        'Documented as "complete live transcript".',
        Oddity.TRANSCRIPT_SHRANK,
    ),
    Assumption(
        "A10",
        "An interrupted agent utterance holds what was spoken so far, and no more.",
        "We read from it which words were heard.",
        'Implied by "live transcript"; the rule of truncation is not documented.',
    ),
    Assumption(
        "A11",
        "Retell sends text frames of one JSON object, never binary ones.",
        "We ignore any other.",
        "Documented; what Retell does in a fault is not.",
        Oddity.BINARY_FRAME,
    ),
    Assumption(
        "A12",
        "There are five kinds of frames.",
        "We ignore others.",
        "The reference lists five; an undocumented sixth was seen in a community server.",
        Oddity.UNKNOWN_TYPE,
    ),
    Assumption(
        "A13",
        "Whoever closes with a code ends the call; a line that is cut without one is dialled again.",
        "We never close: on a fault we cut the line.",
        "The close-code table; that the second half needs no auto_reconnect is inferred.",
    ),
    Assumption(
        "A14",
        "An action counts on the frame that completes a response, and an empty farewell hangs up at once.",
        "We put actions on the final frame alone, a farewell always with words.",
        "The function-calling guide's samples; actions on other frames are not documented.",
    ),
    Assumption(
        "A15",
        "An agent_interrupt withdraws the response in flight, and a greater interrupt_id withdraws the one before.",
        "We send nothing more of that response, and count interrupt ids up from the time of day.",
        "The reference; uniqueness across lines and processes is not documented.",
    ),
    Assumption(
        "A16",
        "Pressed digits, text messages and injected context appear in transcript_with_tool_calls.",
        "We ask for it, and show them to the agent from there.",
        "The SDK's types; the guide names no event for them.",
    ),
    Assumption(
        "A17",
        "Frames stay below 16 MiB.",
        "The transport ends a line that sends a larger one (1009).",
        "Not documented; two hours of dense talk make about 1 MB.",
        Oddity.FRAME_TOO_LARGE,
    ),
    Assumption(
        "A18",
        "While auto_reconnect is on a ping comes every 2 s.",
        "A line on which pings had come is cut after 8 s without any frame.",
        "Documented; what Retell does on its own side of a half-dead line is not.",
    ),
    Assumption(
        "A19",
        "The details of a fresh call say `registered`; `ongoing`, or a start over 5 s ago, means it is under way.",
        "We do not greet a call that is under way: another process did.",
        "The guide's sample and the SDK's types; when the status changes is not documented.",
        Oddity.FRESH_CALL_CALLED_ONGOING,
    ),
    Assumption(
        "A20",
        "The call id is appended to the path; or to the query, where the configured address has one.",
        "We take it from either.",
        "The guide shows addresses without a query only.",
    ),
)

BROKEN_BY = {assumption.broken_by: assumption.id for assumption in ASSUMPTIONS if assumption.broken_by}

"""What the receptionist can do: look into the book of appointments, and write in it.

A function with `@tool` is one; its type hints and docstring are what the model is told. `before_call` and `after_call`
run once a call.
"""

import asyncio
import logging
import re
from datetime import date, datetime, time
from itertools import islice
from typing import Literal

from service.agents.call import Call
from service.agents.tools import ToolError, tool
from service.conversation.call import Ending
from service.conversation.transcript import Speaker, ToolAnswered, ToolCalled, Transcript, Utterance

from .appointments import Book, Dentist, Location, Visit, now, spoken

LONGEST_NAME = 80
SHORTEST_NUMBER = 7
_HALVES = {"any": (time(0), time(23)), "morning": (time(0), time(12)), "afternoon": (time(12), time(23))}
_YES = re.compile(r"\b(yes|yeah|yep|yup|sure|right|correct|please do|go ahead|do it|do that|okay|ok)\b", re.IGNORECASE)
_NO = re.compile(r"\b(no|not|don't|do not|wait|stop|keep it|never mind)\b", re.IGNORECASE)

if not Book().can_be_written():
    logging.getLogger(__name__).warning("no appointments can be written here: set APPOINTMENTS_FILE to a file that can")


@tool(effect="read", hold="Let me look at the book.")
def find_slots(
    location: Location,
    day: date,
    part_of_day: Literal["any", "morning", "afternoon"] = "any",
    dentist: Dentist | None = None,
) -> list[str]:
    """Find the next free times for a visit. Offer the caller two of them.

    Args:
        location: Where the caller wants to be seen.
        day: The first day that suits the caller.
        part_of_day: What suits the caller.
        dentist: Only when the caller asks for one.
    """
    if day < now().date():
        raise ToolError(f"{day} is past: today is {now():%A, %Y-%m-%d}.")
    begins, ends = _HALVES[part_of_day]
    free = Book().free_times(location, datetime.combine(day, begins), dentist)
    slots = islice((slot for slot in free if begins <= slot.start.time() < ends), 4)
    return [f"{slot} ({slot.start:%Y-%m-%dT%H:%M})" for slot in slots] or ["nothing in the next 60 days"]


@tool(effect="write", hold="One moment, I am writing it down.")
def book_appointment(
    call: Call,
    location: Location,
    start: datetime,
    visit: Visit,
    name: str,
    phone: str | None = None,
    dentist: Dentist | None = None,
) -> str:
    """Book a visit at a free time. Only when the caller chose the time and gave a name.

    Args:
        location: Where.
        start: When it begins, in the practice's time.
        visit: What for. Anything longer is booked by the front desk.
        name: First and last name of the one who is treated.
        phone: Only when the caller gave another number than the one they call from.
        dentist: Only when the caller asks for one.
    """
    phone = _digits(phone) or _number_of(call)
    if len(phone) < SHORTEST_NUMBER:
        raise ToolError("A phone number is missing. Ask the caller for one.")
    book = Book()
    return _told(call, book.book(call.key, book.slot(location, start, dentist), visit, _named(name), phone))


@tool(effect="write", hold="One moment, I am moving it.")
def move_appointment(
    call: Call, reference: int, location: Location, start: datetime, name: str, dentist: Dentist | None = None
) -> str:
    """Move an appointment to another free time. The old time is given up only when the new one is certain.

    Args:
        reference: The appointment's reference.
        location: Where the new time is.
        start: When the new time begins, in the practice's time.
        name: The name it was booked under.
        dentist: Only when the caller asks for one.
    """
    book = Book()
    slot = book.slot(location, start, dentist)
    return _told(call, book.move(call.key, reference, slot, _named(name), _number_of(call)))


def _agreed(transcript: Transcript) -> bool:
    """Whether the caller's last words are a yes to a question about cancelling."""
    match [row for row in transcript if isinstance(row, Utterance)]:
        case [*_, Utterance(Speaker.AGENT, asked), Utterance(Speaker.CALLER, said)]:
            return "cancel" in asked.lower() and bool(_YES.search(said)) and not _NO.search(said)
    return False


@tool(effect="write", confirm=_agreed)
def cancel_appointment(call: Call, reference: int, name: str) -> str:
    """Cancel an appointment. Say which one and ask "shall I cancel it?" first; call this after a yes.

    Args:
        reference: The appointment's reference.
        name: The name it was booked under.
    """
    return _told(call, Book().cancel(call.key, reference, _named(name), _number_of(call)))


@tool(effect="read")
def my_appointments(call: Call, name: str | None = None, phone: str | None = None) -> list[str]:
    """Look up the caller's appointments to come. Without arguments: those of the number they call from.

    Args:
        name: The name they were booked under; only together with phone.
        phone: The number they were booked under.
    """
    own, asked = _number_of(call), _digits(phone)
    known = Book().of(asked or own)
    if asked not in ("", own):
        if not name:
            raise ToolError("Ask for the name, too: others' appointments are told to nobody.")
        known = [appointment for appointment in known if appointment.name.casefold() == _named(name).casefold()]
    return [str(appointment) for appointment in known] or ["none under this number"]


async def before_call(call: Call) -> None:
    """Tell the prompt the practice's time, and a caller who was here before by name."""
    call.variables["practice_time"] = f"{spoken(now())}, {now().year}"
    if number := _number_of(call):
        name = await asyncio.to_thread(Book().name_of, number)
        if name:
            call.variables["caller_name"] = name


async def after_call(call: Call, ending: Ending) -> None:
    """Write down what came of the call."""
    outcome = call.facts.get("outcome") or _written(ending.transcript) or f"no change ({ending.reason or 'ended'})"
    await asyncio.to_thread(Book().note, call.id, _number_of(call), str(outcome))


def _written(transcript: Transcript) -> str | None:
    """What was written last, as the platform noted it: the process that wrote it may not have lived to this end."""
    writes = {tool.name for tool in (book_appointment, move_appointment, cancel_appointment)}
    ids = {row.tool_call_id for row in transcript if isinstance(row, ToolCalled) and row.name in writes}
    answers = [row for row in transcript if isinstance(row, ToolAnswered) and row.tool_call_id in ids]
    return next((row.content for row in reversed(answers) if row.is_successful is not False), None)


def _told(call: Call, answer: str) -> str:
    call.facts["outcome"] = answer
    return answer


def _named(name: str) -> str:
    name = " ".join(name.split())
    if not 1 < len(name) <= LONGEST_NAME or not any(letter.isalpha() for letter in name):
        raise ToolError("That is not a name. Ask the caller for first and last name.")
    return name


def _number_of(call: Call) -> str:
    details = call.details
    if details is None:
        return ""
    return _digits(details.to_number if details.direction == "outbound" else details.from_number)


def _digits(phone: str | None) -> str:
    """The last ten digits, so that +1 207 555 0123 and 207-555-0123 are one number."""
    return re.sub(r"\D", "", phone or "")[-10:]

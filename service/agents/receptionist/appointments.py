"""The book of appointments: one SQLite file, which several processes may share.

It is made at first use, with a third of the times of the next weeks taken by others. Times are the practice's own.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import groupby, islice
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from service.agents.tools import ToolError

ZONE = ZoneInfo("America/New_York")
DAYS_AHEAD = 60
VISIT = timedelta(minutes=30)
NOTICE = timedelta(hours=1)

Location = Literal["Harbor Street", "Northgate", "Old Mill"]
Dentist = Literal["Okafor", "Lindqvist", "Raman", "Moretti", "Varga"]
Visit = Literal["check-up", "cleaning", "consultation", "pain"]

_LONG, _SHORT = (8, 18), (8, 14)
HOURS: dict[Location, dict[int, tuple[int, int]]] = {  # weekdays from Monday, 0, and hours of the day
    "Harbor Street": {0: _LONG, 1: _LONG, 2: _LONG, 3: _LONG, 4: _SHORT},
    "Northgate": {**dict.fromkeys(range(5), (9, 17)), 5: (9, 13)},
    "Old Mill": {1: (10, 19), 2: (10, 19), 3: (10, 19), 4: (10, 16)},
}
LUNCH = 13
ROTA: dict[Dentist, tuple[Location, tuple[int, ...]]] = {
    "Okafor": ("Harbor Street", (0, 1, 2, 3)),
    "Lindqvist": ("Harbor Street", (0, 2, 4)),
    "Raman": ("Northgate", (0, 1, 2, 3, 4)),
    "Moretti": ("Northgate", (1, 3, 5)),
    "Varga": ("Old Mill", (1, 2, 3, 4)),
}
HOLIDAYS = ((1, 1), (7, 4), (12, 24), (12, 25))  # and Thanksgiving

_TABLES = """
CREATE TABLE appointments (
    reference INTEGER PRIMARY KEY AUTOINCREMENT,
    location TEXT NOT NULL, dentist TEXT NOT NULL, start TEXT NOT NULL,
    visit TEXT NOT NULL, name TEXT NOT NULL, phone TEXT NOT NULL,
    UNIQUE (location, dentist, start)
);
CREATE INDEX by_phone ON appointments (phone);
CREATE TABLE writes (key TEXT PRIMARY KEY, answer TEXT NOT NULL);
CREATE TABLE calls (call_id TEXT PRIMARY KEY, phone TEXT NOT NULL, outcome TEXT NOT NULL);
PRAGMA user_version = 1
"""
_INSERT = "INSERT INTO appointments (location, dentist, start, visit, name, phone) VALUES (?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Slot:
    """A time with a dentist, free or not."""

    location: Location
    dentist: Dentist
    start: datetime

    @property
    def place(self) -> tuple[str, str, str]:
        """As it stands in the book."""
        return (self.location, self.dentist, self.start.isoformat())

    def __str__(self) -> str:
        return f"{spoken(self.start)} with Doctor {self.dentist}"


@dataclass(frozen=True, slots=True)
class Appointment:
    """A row of the book."""

    reference: int
    location: str
    dentist: str
    start: str
    visit: str
    name: str
    phone: str

    def __str__(self) -> str:
        when = spoken(datetime.fromisoformat(self.start))
        return (
            f"{self.name}, {self.visit}, {self.location}, {when} with Doctor {self.dentist}, reference {self.reference}"
        )


def spoken(moment: datetime) -> str:
    """Such as `Monday, December 7 at 9:30 AM`."""
    minutes = f":{moment:%M}" if moment.minute else ""
    return f"{moment:%A, %B} {moment.day} at {moment.hour % 12 or 12}{minutes} {moment:%p}"


def is_closed(day: date) -> bool:
    """Whether it is one of the practice's holidays."""
    is_thanksgiving = (day.month, day.weekday()) == (11, 3) and (day.day - 1) // 7 == 3  # noqa: PLR2004 - 4th Thursday
    return is_thanksgiving or (day.month, day.day) in HOLIDAYS


def slots_on(day: date, location: Location) -> Iterator[Slot]:
    """The times that a day at a location has, taken or not."""
    opens, closes = HOURS[location].get(day.weekday(), (0, 0))
    dentists = [dentist for dentist, (at, days) in ROTA.items() if at == location and day.weekday() in days]
    for half_hour in range(0 if is_closed(day) else 2 * opens, 0 if is_closed(day) else 2 * closes):
        if half_hour // 2 != LUNCH:
            start = datetime.combine(day, time(half_hour // 2, half_hour % 2 * 30))
            yield from (Slot(location, dentist, start) for dentist in dentists)


def now() -> datetime:
    """The practice's wall clock."""
    return datetime.now(ZONE).replace(tzinfo=None)


Write = Callable[[sqlite3.Connection], str]
"""What changes the book, and says how."""


class Book:
    """The book in a file: `APPOINTMENTS_FILE`, or `var/appointments.db` in the working directory.

    Its writes take the key of the tool call: a key that was seen before gets the first answer, and changes nothing.
    What they refuse, they refuse with a ToolError.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or Path(os.environ.get("APPOINTMENTS_FILE") or "var/appointments.db")

    def can_be_written(self) -> bool:
        """As far as the system tells without trying."""
        file = self._path.absolute()
        there = next(path for path in (file, *file.parents) if path.exists())
        return os.access(there, os.W_OK) and (there == file or there.is_dir())

    def free(self, location: Location, since: datetime, dentist: Dentist | None = None) -> Iterator[Slot]:
        """The free times from then on, as far ahead as can be booked."""
        today, since = now().date(), max(since, now() + NOTICE)
        with self._reading() as db:
            rows = db.execute("SELECT dentist, start FROM appointments WHERE location = ?", (location,))
            taken = set(rows.fetchall())
        for ahead in range((since.date() - today).days, DAYS_AHEAD + 1):
            for slot in slots_on(today + timedelta(ahead), location):
                is_free = (slot.dentist, slot.start.isoformat()) not in taken
                if is_free and slot.start >= since and dentist in (None, slot.dentist):
                    yield slot

    def free_times(self, location: Location, since: datetime, dentist: Dentist | None = None) -> Iterator[Slot]:
        """The same, with one dentist a time."""
        return (next(slots) for _, slots in groupby(self.free(location, since, dentist), lambda slot: slot.start))

    def slot(self, location: Location, start: datetime, dentist: Dentist | None = None) -> Slot:
        """The slot that is meant: without a dentist, with one who is free then, if anybody is."""
        if start.tzinfo:
            start = start.astimezone(ZONE).replace(tzinfo=None)
        if dentist is None:
            dentists = [dentist for dentist, (at, _) in ROTA.items() if at == location]
            free = [slot.dentist for slot in islice(self.free(location, start), len(dentists)) if slot.start == start]
            there = [slot.dentist for slot in slots_on(start.date(), location) if slot.start == start]
            dentist = [*free, *there, *dentists][0]
        return Slot(location, dentist, start)

    def of(self, phone: str) -> list[Appointment]:
        """What is to come under a phone number."""
        with self._reading() as db:
            query = "SELECT * FROM appointments WHERE phone = ? AND reference > 0 AND start >= ? ORDER BY start"
            return [Appointment(*row) for row in db.execute(query, (phone, now().isoformat()))]

    def name_of(self, phone: str) -> str | None:
        """Who booked last under a phone number."""
        with self._reading() as db:
            query = "SELECT name FROM appointments WHERE phone = ? ORDER BY reference DESC"
            return next((str(name) for (name,) in db.execute(query, (phone,))), None)

    def book(self, key: str, slot: Slot, visit: Visit, name: str, phone: str) -> str:
        def insert(db: sqlite3.Connection) -> str:
            added = db.execute(_INSERT, (*slot.place, visit, name, phone))
            return f"Booked: {name}, {visit}, {slot.location}, {slot}. The reference is {added.lastrowid}."

        return self._once(key, self._placing(slot, insert))

    def move(self, key: str, reference: int, slot: Slot, name: str, phone: str) -> str:
        def update(db: sqlite3.Connection) -> str:
            _must_be_theirs(db, reference, name, phone)
            db.execute(
                "UPDATE appointments SET location = ?, dentist = ?, start = ? WHERE reference = ?",
                (*slot.place, reference),
            )
            return f"Moved: appointment {reference} is now at {slot.location}, {slot}."

        return self._once(key, self._placing(slot, update))

    def cancel(self, key: str, reference: int, name: str, phone: str) -> str:
        def delete(db: sqlite3.Connection) -> str:
            _must_be_theirs(db, reference, name, phone)
            db.execute("DELETE FROM appointments WHERE reference = ?", (reference,))
            return f"Cancelled: appointment {reference}."

        return self._once(key, delete)

    def note(self, call_id: str, phone: str, outcome: str) -> None:
        """Write down what came of a call. The first note of a call stands."""
        with self._writing() as db:
            db.execute("INSERT OR IGNORE INTO calls VALUES (?, ?, ?)", (call_id, phone, outcome))

    def _once(self, key: str, write: Write) -> str:
        with self._writing() as db:
            if done := db.execute("SELECT answer FROM writes WHERE key = ?", (key,)).fetchone():
                return str(done[0])
            answer = write(db)
            if key:
                db.execute("INSERT INTO writes VALUES (?, ?)", (key, answer))
            return answer

    def _placing(self, slot: Slot, write: Write) -> Write:
        """The same, refused with other times when the slot cannot be had."""

        def placing(db: sqlite3.Connection) -> str:
            if reason := _against(slot):
                raise ToolError(f"{spoken(slot.start)} cannot be booked: {reason}. {self._instead_of(slot)}")
            try:
                return write(db)
            except sqlite3.IntegrityError as error:
                raise ToolError(f"{slot} is taken. {self._instead_of(slot)}") from error

        return placing

    def _instead_of(self, slot: Slot) -> str:
        others = [str(other) for other in islice(self.free_times(slot.location, slot.start), 3)]
        return f"The next free times at {slot.location}: {'; '.join(others) or 'none'}."

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as db, db:
            db.execute("BEGIN IMMEDIATE")
            yield db

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._path, timeout=5, isolation_level=None)) as db:
            if not _is_made(db):
                db.execute("PRAGMA journal_mode = WAL")
                with db:
                    db.execute("BEGIN IMMEDIATE")
                    if not _is_made(db):  # by another process, meanwhile
                        _make(db)
            yield db


def _is_made(db: sqlite3.Connection) -> bool:
    return bool(db.execute("PRAGMA user_version").fetchone()[0])


def _make(db: sqlite3.Connection) -> None:
    for statement in _TABLES.split(";"):
        db.execute(statement)
    db.execute("INSERT INTO sqlite_sequence VALUES ('appointments', 1000)")  # references begin at 1001
    days = [now().date() + timedelta(ahead) for ahead in range(DAYS_AHEAD + 1)]
    slots = [slot for day in days for location in HOURS for slot in slots_on(day, location) if _is_others(slot)]
    db.executemany(
        "INSERT INTO appointments VALUES (?, ?, ?, ?, 'check-up', 'somebody else', '')",
        [(-number, *slot.place) for number, slot in enumerate(slots, 1)],  # nobody's reference
    )


def _is_others(slot: Slot) -> bool:
    """Every third half hour: on Mondays 9:00, 10:30 and so on, on Tuesdays 9:30 and 11:00, half an hour later a day."""
    return (2 * slot.start.hour + slot.start.minute // 30 - slot.start.weekday()) % 3 == 0


def _against(slot: Slot) -> str | None:
    """Why nobody can have the slot, taken or not."""
    day = slot.start.date()
    if slot.start < now() + NOTICE:
        return f"it is {spoken(now())} now, and a visit needs an hour's notice"
    if (day - now().date()).days > DAYS_AHEAD:
        return f"the book is open for {DAYS_AHEAD} days ahead"
    if is_closed(day) or day.weekday() not in HOURS[slot.location]:
        return f"{slot.location} is closed that day"
    if slot not in slots_on(day, slot.location):
        return f"Doctor {slot.dentist} sees nobody at {slot.location} then; visits begin on the hour and the half hour"
    return None


def _must_be_theirs(db: sqlite3.Connection, reference: int, name: str, phone: str) -> None:
    query = "SELECT name, phone FROM appointments WHERE reference = ? AND reference > 0"
    row = db.execute(query, (reference,)).fetchone()
    if not row or (row[1] != phone and row[0].casefold() != name.casefold()):
        raise ToolError("There is no such appointment under this name and number. Ask for the name and the reference.")

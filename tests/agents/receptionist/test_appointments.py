"""The book of appointments, and the hooks that read and write it."""

import multiprocessing
import sqlite3
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from service.agents.call import Call
from service.agents.folder import read_folder
from service.agents.library import SHIPPED
from service.agents.receptionist.appointments import DAYS_AHEAD, HOURS, Book, Slot, is_closed, now, slots_on, spoken
from service.agents.receptionist.tools import after_call, before_call, find_slots, my_appointments
from service.agents.tools import ToolError
from service.conversation.call import CallDetails, Ending
from service.conversation.transcript import ToolAnswered, ToolCalled, Transcript
from tests.agents.receptionist.stage import at, play, says

ANN, EVE = "2075550150", "2075550199"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "var" / "appointments.db"
    monkeypatch.setenv("APPOINTMENTS_FILE", str(file))
    return file


@pytest.fixture
def book(file: Path) -> Book:
    return Book()


def slot(when: str) -> Slot:
    return Slot("Northgate", "Raman", datetime.fromisoformat(at(when)))


def call(number: str | None, direction: str = "inbound") -> Call:
    own, other = ("to_number", "from_number") if direction == "outbound" else ("from_number", "to_number")
    details = CallDetails("call_1", direction=direction, **{own: number, other: "+12075550140"})  # type: ignore[arg-type]
    return Call("call_1", lambda _: None, details)


def test_without_a_setting_the_book_is_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("APPOINTMENTS_FILE", raising=False)
    monkeypatch.chdir(tmp_path)
    Book().of(ANN)
    assert (tmp_path / "var" / "appointments.db").exists()


def test_the_same_day_makes_the_same_book(tmp_path: Path) -> None:
    first, second = (list(Book(tmp_path / name).free("Old Mill", now())) for name in ("a.db", "b.db"))
    assert first == second
    assert len(first) > 100


def test_all_free_times_are_within_opening_hours_and_none_at_lunch(book: Book) -> None:
    for location, hours in HOURS.items():
        for free in book.free(location, now()):
            opens, closes = hours[free.start.weekday()]
            assert opens <= free.start.hour < closes
            assert free.start.hour != 13
            assert timedelta(hours=1) <= free.start - now() + timedelta(minutes=1)
            assert (free.start.date() - now().date()).days <= DAYS_AHEAD


@pytest.mark.parametrize("day", [(2026, 11, 26), (2027, 11, 25), (2026, 12, 24), (2026, 12, 25), (2027, 1, 1)])
def test_there_are_no_times_on_holidays(day: tuple[int, int, int]) -> None:
    assert is_closed(date(*day))
    assert not list(slots_on(date(*day), "Harbor Street"))


@pytest.mark.parametrize("day", [(2026, 11, 19), (2026, 11, 27), (2026, 12, 23), (2027, 5, 31)])
def test_other_days_have_times(day: tuple[int, int, int]) -> None:
    assert not is_closed(date(*day))
    assert list(slots_on(date(*day), "Harbor Street"))


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (datetime(2026, 12, 7, 9), "Monday, December 7 at 9 AM"),  # noqa: DTZ001 - the practice's wall clock
        (datetime(2026, 12, 8, 12, 30), "Tuesday, December 8 at 12:30 PM"),  # noqa: DTZ001
        (datetime(2026, 12, 9, 14), "Wednesday, December 9 at 2 PM"),  # noqa: DTZ001
    ],
)
def test_times_can_be_read_out(moment: datetime, words: str) -> None:
    assert spoken(moment) == words


def test_a_time_with_an_offset_is_the_practices_own(book: Book) -> None:
    summer = datetime(2026, 7, 6, 13, 30, tzinfo=UTC)
    assert book.slot("Northgate", summer, "Raman").start.hour == 9


def test_a_key_gets_its_first_answer_even_when_the_book_has_changed(book: Book) -> None:
    first = book.book("k", slot("mon 09:30"), "check-up", "Ann", ANN)
    gone = book.cancel("c", 1001, "Ann", "")
    assert book.book("k", slot("mon 09:30"), "check-up", "Ann", ANN) == first
    assert book.cancel("c", 1001, "Ann", "") == gone
    assert book.of(ANN) == []


def test_a_time_without_a_key_is_given_once_all_the_same(book: Book) -> None:
    book.book("", slot("mon 09:30"), "check-up", "Ann", ANN)
    with pytest.raises(ToolError, match=r"is taken\. The next free times at Northgate: Monday"):
        book.book("", slot("mon 09:30"), "check-up", "Ann", ANN)


@pytest.mark.parametrize(("name", "phone"), [("Ann Lee", ""), ("ann LEE", EVE), ("", ANN)])
def test_the_name_or_the_number_makes_an_appointment_ones_own(book: Book, name: str, phone: str) -> None:
    book.book("", slot("mon 09:30"), "check-up", "Ann Lee", ANN)
    assert book.cancel("", 1001, name, phone) == "Cancelled: appointment 1001."


@pytest.mark.parametrize(
    ("reference", "name", "phone"), [(1001, "Eve", EVE), (1002, "Ann Lee", ANN), (-1, "somebody else", "")]
)
def test_others_appointments_cannot_be_cancelled(book: Book, reference: int, name: str, phone: str) -> None:
    book.book("", slot("mon 09:30"), "check-up", "Ann Lee", ANN)
    with pytest.raises(ToolError, match="no such appointment"):
        book.cancel("", reference, name, phone)
    assert len(book.of(ANN)) == 1


def test_appointments_are_told_to_whom_they_belong(book: Book) -> None:
    book.book("", slot("mon 09:30"), "check-up", "Ann Lee", ANN)
    hers = ["Ann Lee, check-up, Northgate, " + str(slot("mon 09:30")) + ", reference 1001"]
    nothing = ["none under this number"]
    assert my_appointments(call(f"+1{ANN}")) == hers
    assert my_appointments(call(f"+1{ANN}", "outbound")) == hers
    assert my_appointments(call(None), "ann lee", "(207) 555-0150") == hers
    assert my_appointments(call(f"+1{EVE}"), "Eve", ANN) == my_appointments(call(None)) == nothing
    assert my_appointments(Call("call_1", lambda _: None)) == nothing
    with pytest.raises(ToolError, match="Ask for the name"):
        my_appointments(call(f"+1{EVE}"), None, ANN)


def test_free_times_are_found_for_a_part_of_the_day(file: Path) -> None:
    day = datetime.fromisoformat(at("mon 09:00")).date()
    assert "T09:30" in find_slots("Northgate", day, "morning")[0]
    assert "T12:30" in find_slots("Northgate", day, "afternoon", "Raman")[0]
    assert find_slots("Northgate", day + timedelta(90)) == ["nothing in the next 60 days"]
    with pytest.raises(ToolError, match="is past"):
        find_slots("Northgate", day - timedelta(90))


def _book_at_once(file: str) -> bool:
    try:
        Book(Path(file)).book("", slot("mon 09:30"), "check-up", "Ann", ANN)
    except ToolError:
        return False
    return True


def test_processes_that_make_the_book_at_once_give_a_time_to_one(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        booked = pool.map(_book_at_once, [str(tmp_path / "appointments.db")] * 8)
    assert sum(booked) == 1


async def test_a_caller_who_booked_before_is_known_by_name(book: Book) -> None:
    book.book("", slot("mon 09:30"), "check-up", "Ann Lee", ANN)
    for number, name in ((f"+1{ANN}", "Ann Lee"), (f"+1{EVE}", None), (None, None)):
        known = call(number)
        await before_call(known)
        assert known.variables.get("caller_name") == name
        assert str(now().year) in known.variables["practice_time"]


async def test_the_name_of_a_known_caller_is_in_the_prompt_as_data(file: Path) -> None:
    given = [("Ann Lee", "check-up", "Northgate", "mon 09:30")]
    played = await play(file, [[says("Hello.", "Yes?")]], given)
    assert "«Ann Lee»" in played.model.prompts[0]


async def test_what_came_of_a_call_is_written_once(file: Path) -> None:
    ended = call(f"+1{ANN}")
    ended.facts["outcome"] = "Booked."
    await after_call(ended, Ending())
    ended.facts.clear()
    await after_call(ended, Ending())
    with sqlite3.connect(file) as db:
        rows = db.execute("SELECT * FROM calls").fetchall()
    db.close()
    assert rows == [("call_1", ANN, "Booked.")]


def tool_rows(tool: str, content: str, *, is_successful: bool | None) -> Transcript:
    return ToolCalled(content, tool, "{}"), ToolAnswered(content, content, is_successful)


async def test_what_a_process_wrote_that_died_is_read_from_the_transcript(file: Path) -> None:
    said = (
        *tool_rows("book_appointment", "Booked: 1001.", is_successful=None),
        *tool_rows("move_appointment", "Moved: 1001.", is_successful=True),
        *tool_rows("cancel_appointment", "There is no such appointment.", is_successful=False),
        *tool_rows("my_appointments", "none", is_successful=True),
    )
    await after_call(call(f"+1{ANN}"), Ending(transcript=said))
    unchanged = Call("call_2", lambda _: None)
    await after_call(unchanged, Ending("user_hangup", transcript=said[-2:]))
    with sqlite3.connect(file) as db:
        rows = db.execute("SELECT outcome FROM calls").fetchall()
    db.close()
    assert rows == [("Moved: 1001.",), ("no change (user_hangup)",)]


def test_a_place_that_cannot_be_written_is_told_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    for place, is_told in (("file", False), ("new/appointments.db", False), ("file/appointments.db", True)):
        monkeypatch.setenv("APPOINTMENTS_FILE", str(tmp_path / place))
        caplog.clear()
        read_folder(SHIPPED / "receptionist")
        assert ("APPOINTMENTS_FILE" in caplog.text) is is_told

"""A process is killed in the middle of a booking, and the call goes on in another one."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from infra.gameday_service import Subject
from service.agents.receptionist.appointments import Book
from service.simulator.model_script import Call, Script
from tests.agents.receptionist.stage import at, book
from tests.live import Frame, PlatformLine, Service, is_final, words

WISH = book("mon 09:30")
BOOKS = Script(text="You are booked.", calls=(Call(WISH.name, WISH.arguments),))
ASKED: list[Frame] = [{"role": "agent", "content": "Hello."}, {"role": "user", "content": "Half past nine, please."}]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "appointments.db"


@pytest.fixture
async def subject(file: Path) -> AsyncIterator[Subject]:
    subject = Subject("killed", {"APPOINTMENTS_FILE": str(file), "OTEL_SDK_DISABLED": "true"})
    subject.model.script = BOOKS
    async with subject.running():
        yield subject


@asynccontextmanager
async def line_to(subject: Subject) -> AsyncIterator[PlatformLine]:
    service = Service(None, f"127.0.0.1:{subject.port}")  # type: ignore[arg-type]  # it is in another process
    async with service.line() as line:
        assert (await line.frame())["response_type"] == "config"
        details = {"call_id": "call_1", "from_number": "+12075550150", "direction": "inbound"}
        await line.send({"interaction_type": "call_details", "call": details})
        yield line


async def ask(line: PlatformLine, turn_id: int, rows: list[Frame]) -> None:
    said = [row for row in rows if row["role"] in ("agent", "user")]
    asked = {"interaction_type": "response_required", "response_id": turn_id}
    await line.send({**asked, "transcript": said, "transcript_with_tool_calls": rows})


async def invocation(line: PlatformLine) -> Frame:
    """As it stands in the transcript from then on."""
    frames = await line.until(lambda frame: frame["response_type"] == "tool_call_invocation", 10)
    return {"role": "tool_call_invocation", **frames[-1]}


async def booked(file: Path) -> int:
    """How many appointments there are, once there is one."""
    async with asyncio.timeout(10):
        while not Book(file).of("2075550150"):
            await asyncio.sleep(0.002)
    with closing(sqlite3.connect(file)) as db:
        return int(db.execute("SELECT count(*) FROM appointments WHERE reference > 0").fetchone()[0])


@pytest.mark.parametrize("is_written", [False, True], ids=["before-it-is-written", "when-it-is-written"])
async def test_a_booking_is_made_once_and_told_once(subject: Subject, file: Path, is_written: bool) -> None:
    async with line_to(subject) as line:
        with Book(file)._writing():  # the tool has to wait, so that it can be killed while it does
            await ask(line, 1, ASKED)
            rows = [*ASKED, await invocation(line)]
            await asyncio.sleep(0.4)  # longer than the settle delay
            if not is_written:
                subject.kill()
        if is_written:
            assert await booked(file) == 1
            subject.kill()
    await subject.start()
    async with line_to(subject) as line:
        await ask(line, 2, [*rows, {"role": "user", "content": "Hello?"}])
        frames = await line.until(is_final(2), 10)
    assert await booked(file) == 1
    assert [frame["successful"] for frame in frames if frame["response_type"] == "tool_call_result"] == [True]
    assert words(frames, 2).strip() == "You are booked."
    assert Book(file).of("2075550150")[0].start == f"{at('mon 09:30')}:00"

"""The receptionist's tasks, judged by the end state of its book."""

from pathlib import Path

import pytest

from tests.agents.receptionist.stage import play
from tests.agents.receptionist.task import Task
from tests.agents.receptionist.tasks import TASKS


@pytest.mark.parametrize("task", [pytest.param(task, id=task.name.replace(" ", "-")) for task in TASKS])
async def test_the_book_is_as_it_should_be(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "appointments.db"
    monkeypatch.setenv("APPOINTMENTS_FILE", str(file))
    played = await play(file, task.scripts, task.given, task.phone, task.busy_for)
    assert played.rows == list(task.rows)
    assert played.actions == list(task.actions)
    assert any(task.learns in result for result in played.model.learned) or not task.learns
    assert played.calls == [f"call_{number}" for number in range(len(task.scripts))]


def test_there_are_thirty_of_them() -> None:
    assert len(TASKS) >= 30

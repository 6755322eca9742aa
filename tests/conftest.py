"""For all tests."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _the_receptionist_keeps_its_book_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Not in the working directory, as it would by default."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APPOINTMENTS_FILE", str(tmp_path_factory.mktemp("book") / "appointments.db"))
        yield

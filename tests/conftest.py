"""For all tests."""

import os
import tempfile
from collections.abc import Iterator

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Services that are killed leave their sockets where they are not in the way."""
    place = tempfile.TemporaryDirectory(prefix="cuebox-")
    config.add_cleanup(place.cleanup)
    os.environ["XDG_RUNTIME_DIR"] = place.name


@pytest.fixture(scope="session", autouse=True)
def _the_receptionist_keeps_its_book_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Not in the working directory, as it would by default."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APPOINTMENTS_FILE", str(tmp_path_factory.mktemp("book") / "appointments.db"))
        yield

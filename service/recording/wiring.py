"""A recorder, if the settings want one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from service.settings import Settings, SettingsError

if TYPE_CHECKING:
    from service.recording.recorder import Recorder

_MEGABYTE = 10**6
_WARNING = "what callers and agents say is kept there: tell them, guard the folder, and keep it no longer than needed"
_NOTHING = "no call is kept: set CUEBOX_RETELL_CALL_DETAILS=true, whether a call may be kept stands in its details"


def recorder_of(settings: Settings, targets_of: Callable[[str], Sequence[str]]) -> "Recorder | None":
    """`targets_of` names what an agent asks. Raises SettingsError for a folder that cannot be written."""
    if settings.record_dir is None:
        return None
    from service.recording.files import Folder  # noqa: PLC0415 - nobody else pays for it
    from service.recording.lines import WISHES  # noqa: PLC0415
    from service.recording.recorder import Recorder  # noqa: PLC0415

    folder = Folder(Path(settings.record_dir), round(settings.record_max_mb * _MEGABYTE), settings.record_days)
    try:
        folder.make()
    except OSError as error:
        raise SettingsError(
            f"CUEBOX_RECORD_DIR is {settings.record_dir!r}, but nothing can be written there ({error.strerror}): "
            "name a folder that can be, or leave it unset."
        ) from error
    log = structlog.get_logger()
    log.warning("recording.on", folder=settings.record_dir, numbers_kept=settings.record_numbers, detail=_WARNING)
    if not settings.retell_call_details:
        log.warning("recording.keeps_nothing", detail=_NOTHING)
    return Recorder(
        folder,
        keeps_numbers=settings.record_numbers,
        wishes={name: getattr(settings, name) for name in WISHES},
        targets_of=targets_of,
    )

from pathlib import Path

import pytest

from service.agents.folder import read_folder
from service.agents.library import SHIPPED
from service.agents.scaffold import ScaffoldError, make_agent


def test_a_new_agent_is_the_receptionist_s_files_and_nothing_that_was_made(tmp_path: Path) -> None:
    folder = make_agent("my-practice", tmp_path / "agents")
    assert folder == tmp_path / "agents" / "my-practice"
    made = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"agent.toml", "prompt.md", "tools.py", "test_my_practice.py"} <= made
    assert not any("__" in name or name.endswith((".db", ".pyc")) for name in made)
    assert read_folder(folder).tools
    assert len([name for name in made if name.startswith("scenarios/")]) == 5


def test_scenarios_do_not_make_an_agent_another_one(tmp_path: Path) -> None:
    folder = make_agent("mine", tmp_path)
    before = read_folder(folder).hash
    (folder / "scenarios" / "sixth.yaml").write_text("steps: []")
    assert read_folder(folder).hash == before


@pytest.mark.parametrize("name", ["receptionist", "dummy", "", "../x", "a b", "a/b", "-a", "x" * 65])
def test_a_name_that_cannot_be_used_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ScaffoldError, match="is no name for a new agent"):
        make_agent(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(ScaffoldError, match="is there already"):
        make_agent("mine", tmp_path)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ScaffoldError, match="cannot be written"):
        make_agent("mine", tmp_path / "file")


def test_the_shipped_folder_is_what_is_copied() -> None:
    assert (SHIPPED / "receptionist" / "prompt.md").exists()


def test_half_an_agent_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "shipped" / "receptionist"
    model.mkdir(parents=True)
    (model / "agent.toml").touch()
    (model / "prompt.md").symlink_to("nowhere")
    monkeypatch.setattr("service.agents.scaffold.SHIPPED", model.parent)
    with pytest.raises(ScaffoldError, match="cannot be written"):
        make_agent("mine", tmp_path)
    assert not (tmp_path / "mine").exists()

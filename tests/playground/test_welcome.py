"""`make run` says where the playground is before anything else."""

import pytest

from service.cli import _welcome


def test_the_playgrounds_address_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    _welcome(["receptionist"], "127.0.0.1:8080/llm-websocket", ["receptionist"], has_playground=True)
    first, *others = capsys.readouterr().out.split("\n\n")
    assert first.strip() == "Talk to your agent in a browser:  http://127.0.0.1:8080/playground"
    assert "cuebox" in "".join(others).lower()


def test_where_there_is_none_it_is_not_promised(capsys: pytest.CaptureFixture[str]) -> None:
    _welcome(["receptionist"], "127.0.0.1:8080/llm-websocket/YOUR_SECRET", [], has_playground=False)
    assert "playground" not in capsys.readouterr().out

"""What the library's benchmark says of its bars: the words, the status, and how many questions are refused."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from rag.bench import cli, quality
from rag.bench.cli import Line
from rag.bench.questions import Question
from rag.shelves import Shelves
from tests.documents.shelf import WordEmbedder, document, library, put

MET, MISSED, TOLD = Line("hit@5", "0.9", ">= 0.88", True), Line("hit@1", "0.5", ">= 0.60", False), Line("gate", "0.4")


@pytest.mark.parametrize(("lines", "status"), [([MET, TOLD], 0), ([MET, MISSED, TOLD], 1), ([TOLD], 0)])
def test_a_bar_that_is_missed_is_said_and_is_the_status(
    lines: list[Line], status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def speed(_: argparse.Namespace, __: Path) -> tuple[dict[str, float], list[Line]]:
        return {}, lines

    monkeypatch.setitem(cli._MEASURES, "speed", speed)
    assert cli.main(["bench", "--only", "speed", "--corpus", str(tmp_path)]) == status
    said = [row.split() for row in capsys.readouterr().out.splitlines()]
    words = {"hit@5": "met", "hit@1": "MISSED", "gate": "0.4"}
    assert [(row[0], row[-1]) for row in said] == [(line.name, words[line.name]) for line in lines]


@pytest.fixture
def farm(tmp_path: Path) -> tuple[Shelves, dict[str, int]]:
    index = library(tmp_path)
    shelves = {name: index.add_shelf("owner", name).id for name in ("llamas", "horses")}
    put(index, shelves["llamas"], document("llama", "The llama is shorn in spring."), WordEmbedder())
    put(index, shelves["horses"], document("horse", "A horse is shod each month."), WordEmbedder())
    return index, shelves


def test_the_shares_of_refused_questions_are_those_of_each_kind(farm: tuple[Shelves, dict[str, int]]) -> None:
    index, shelves = farm
    asked = [
        Question("The llama is shorn in spring", "llamas", "llama", 0, 20),
        Question("A horse is shod each month", "horses", "horse", 0, 20),
        Question("quite other words about engines", "horses", "horse", 0, 20),
    ]
    refused = quality.refusals(index, WordEmbedder(), asked, shelves, ["carburettor torque", "The llama is shorn"])
    index.close()
    assert refused.answerable == pytest.approx(1 / 3)
    assert refused.unanswerable == pytest.approx(1 / 2)
    assert refused.elsewhere == 1

"""A run that is killed at any moment leaves a sound file, and the next one goes on: no document twice, none lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from rag.extract import read
from rag.library import Library
from tests.documents.shelf import WordEmbedder, is_sound
from tests.processes import REPO

N_FILES, N_KILLS = 120, 20
# A process that has loaded everything once, and starts each run as a copy of itself.
RUNNER = """
import os, sys, time
from pathlib import Path
from rag.extract import read
from rag.library import Library
from tests.documents.shelf import WordEmbedder

class Slow(WordEmbedder):
    def embed(self, texts):
        time.sleep(0.002 * len(texts))
        return super().embed(texts)

def tell(at, after):
    if at.n_done == after:
        print("there", flush=True)
    if at.n_done >= after + 8:
        time.sleep(600)  # a slow killer still comes in the middle

for line in sys.stdin:
    source_id, after = map(int, line.split())
    child = os.fork()
    if not child:
        try:
            library = Library(Path(sys.argv[1]), Slow(), read=read)
            library.refresh(source_id, lambda at: tell(at, after))
        finally:
            os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


def write(folder: Path, number: int, version: int = 0) -> None:
    sentence = f"Note {number} in version {version} tells of llama {number}. "
    (folder / f"{number}.md").write_text("\n\n".join(f"## Part {part}\n\n{sentence * 9}" for part in range(3)))


def test_twenty_kills_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    dice = random.Random(7)  # noqa: S311
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(N_FILES):
        write(folder, number)
    library = Library(tmp_path / "library.db", WordEmbedder(), read=read)
    shelf_id = library.index.add_shelf("anna", "notes").id
    source_id = library.add_source("anna", shelf_id, "folder", str(folder)).id
    with subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(tmp_path / "library.db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=REPO,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    ) as runner:
        n_killed = 0
        for _ in range(N_KILLS):
            change(folder, dice)
            n_killed += kill_one(runner, source_id, dice)
            assert is_sound(library.index)
        assert runner.stdin
        runner.stdin.close()
    assert n_killed == N_KILLS
    assert [each.id for each in library.unfinished()] == [source_id]
    assert library.source(source_id).state == "stopped"
    library.refresh(source_id)
    check(library, shelf_id, folder)
    assert library.source(source_id).state == "ok"
    library.close()


def change(folder: Path, dice: random.Random) -> None:
    """Some files are written anew, so that there is always something to do; one goes and comes."""
    for number in dice.sample(range(N_FILES), 60):
        write(folder, number, dice.randrange(1_000))
    if dice.random() < 0.5:
        (folder / "extra.md").write_text("An extra note.")
    else:
        (folder / "extra.md").unlink(missing_ok=True)


def kill_one(runner: subprocess.Popen[str], source_id: int, dice: random.Random) -> bool:
    """Start a run and kill it some documents later; whether it was in the middle."""
    assert runner.stdin
    assert runner.stdout
    runner.stdin.write(f"{source_id} {dice.randrange(1, N_FILES - 10)}\n")
    runner.stdin.flush()
    pid = int(runner.stdout.readline())
    is_there = runner.stdout.readline() == "there\n"
    for _ in range(dice.randrange(200_000)):  # some milliseconds: within a document too
        pass
    if is_there:
        os.kill(pid, signal.SIGKILL)
        assert runner.stdout.readline() == "ended\n"
    return is_there


def check(library: Library, shelf_id: int, folder: Path) -> None:
    """All files are there, each once, with their newest text, all their words and a vector of each chunk."""
    assert is_sound(library.index)
    kept = library.documents(shelf_id, limit=10_000)
    assert sorted(each.uri for each in kept) == sorted(path.as_uri() for path in folder.iterdir())
    for each in kept:
        text = library.document("anna", each.id)[1].text
        assert text.strip() == (folder / each.uri.rpartition("/")[2]).read_text().strip()
        assert "".join(text[part.start : part.end] for part in library.index.chunks(each.id)) == text
    n_done, n_all = library.index.n_vectors("words")
    assert n_done == n_all == sum(each.n_chunks for each in kept)

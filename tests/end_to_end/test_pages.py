"""The commands of README and docs work: each is run on a small study, or stands here with the reason why it is not."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from gru_bench.__main__ import app
from gru_bench.document.figure import Figure
from tests.gru_check.students import NOTEBOOK, notebook
from tests.support.commands import ROOT, completed
from tests.support.pages import PAGES, blocks, commands, text
from tests.support.sweeps import without_worker_processes

RUN: Mapping[str, str] = {
    "gru-bench sweep --study smoke": "the study smoke is done",
    "gru-bench sweep --study NAME --check": "agree",
    "gru-bench sweep --study bidirectional --study-name both-ways --limit 4000 --epochs 2 --trials 4":
        "the study both-ways is done",
    "gru-bench sweep --study torch --study-name one-way --limit 4000 --epochs 2 --trials 4":
        "the study one-way is done",
    "gru-bench predict --study both-ways \"A wonderful film, with a cast to match.\" \"Two hours of nothing.\"":
        "Two hours of nothing.",
    "gru-bench predict --study NAME \"A text.\"": "A text.",
    "gru-bench predict --study NAME --why \"A text.\"": "A text.",
    "gru-bench predict --study NAME --file reviews.csv --to predictions.csv": "predictions.csv",
    "gru-bench predict --study NAME --file reviews.csv --to predictions.parquet": "predictions.parquet",
    "gru-bench predict \"A wonderful film.\" \"Dull from start to end.\"": "Dull from start",
    "gru-bench save-model --study NAME DIR": "my-model",
    "gru-bench save-model --study NAME --register": "best",
    "gru-bench predict --model my-model \"A wonderful film.\"": "A wonderful film.",
    "gru-bench gru-check homework.py": "[update-inverted]",
    "gru-bench sweep --study torch --study-name reference --trials 0 --confirm 5 --limit 6000 --epochs 2":
        "the study reference is done",
    "gru-bench data --study reference --no-labels --out hand-out": "wrote hand-out/test.csv",
    "python docs/teaching/made_up.py": "",
    "gru-bench report --study reference": "wrote reports/reference/report.html",
    "gru-bench gru-check notebook.ipynb:GRU --make \"GRU(E, H, 2)\"": "GRU: a GRU",
    "gru-bench report": "wrote reports/movie-reviews/report.html",
    "gru-bench report --study NAME": "wrote reports/smoke/report.html",
    "gru-bench report --verify reports/NAME": " numbers are what ",
    "gru-bench report --tables FOLDER": "runs.csv",
    "gru-bench report --json": "\"score\": ",
    "gru-bench report --study smoke --out out": "wrote out/report.html",
    "latexmk -pdf thesis.tex": "thesis.pdf",
    "gru-bench sweep --study bidirectional": "the study bidirectional is done",
    "gru-bench sweep --study bidirectional --study-name pooling-max --set model.pooling=max":
        "the study pooling-max is done",
    "gru-bench report --study bidirectional --study pooling-max": "wrote reports/bidirectional-pooling-max/report.html",
    "gru-bench sweep --study my.toml": "the study my is done",
    "gru-bench sweep --study bidirectional --study-name mine --data mine.csv": "the study mine is done",
    "gru-bench sweep --again NAME --study-name more --confirm 10": "the study more is done",
    "gru-bench data --out parts": "parts",
    "gru-bench data --study NAME --out study-parts": "study-parts",
    "gru-bench compare logistic.csv bayes.csv": "wrote reports/logistic-bayes/report.html",
    "gru-bench sweep --study bidirectional --study-name my-vectors --embedding vectors.txt --set embedding.scale=4":
        "the study my-vectors is done",
    "python benchmarks/interval_coverage.py --repetitions 10000": "",
}
"""Command, as a page shows it -> words that it prints. They run in this order, in one directory. `--help` needs no
line."""

NOT_RUN: Mapping[str, str] = {
    "it installs something, or makes or enters an environment": r"""
        pip install -e .
        pip install -e ".[test]"
        pip install -e ".[test,dev]"
        pip install -e ".[docs]"
        pip install -e ".[cluster,postgresql]"
        pip install -e ".[test,dev]" -c constraints/3.11.txt
        pip install -e '.[test]' && python sweeps/run.py --study bidirectional
        pip install -e '.[test]' && pytest
        pip install -e ".[cluster]"
        pip install -e ".[postgresql]"
        pip install mlflow
        pip install torch --index-url https://download.pytorch.org/whl/cpu
        python3 -m venv .venv
        py -m venv .venv
        source .venv/bin/activate
        export GRU_BENCH_CACHE=$HOME/gru-bench-cache""",
    "it checks this project, tests and site included": r"""
        .ci/run
        .ci/constraints
        .ci/lowest
        .ci/python 3.13
        mypy
        pytest
        pytest --cov=gru_bench
        pytest -m service
        pytest -m slow
        pytest tests/test_messages.py --write-messages
        python tests/golden.py --against HEAD~1
        python tests/mutants.py
        ruff check .
        ruff format
        sphinx-build -W -b html -c docs/site . build/site""",
    "it asks other programs about what is installed": r"""
        mlflow doctor
        pip check
        python -c "import torch; print(torch.cuda.is_available())" """,
    "it is a server, or needs one, a cluster or another system; tests/end_to_end/test_servers.py and others have them": r"""
        mlflow ui
        mlflow server --host 0.0.0.0 --port 5000 --allowed-hosts "head:*" --backend-store-uri sqlite:////srv/mlflow/mlflow.db --artifacts-destination /srv/mlflow/artifacts
        mlflow models serve -m models:/smoke@best --env-manager local --port 5001
        ray start --head
        ray start --address=HEAD:6379
        sbatch sweep.sbatch
        curl http://127.0.0.1:5001/invocations -H "Content-Type: application/json" -d '{"dataframe_records": [{"text": "A wonderful film."}]}'
        sudo -u postgres createuser --pwprompt gru
        sudo install -d -o "$USER" /srv/mlflow
        sudo -u postgres createdb --owner gru gru
        gru-bench sweep --study bidirectional --trials 40 --storage postgresql://gru@head/gru --tracking-uri http://head:5000
        exec python sweeps/run.py --study bidirectional --trials 200 --workers "$SLURM_CPUS_PER_TASK" --storage postgresql://gru@head/gru --tracking-uri http://head:5000
        gru-bench sweep --study bidirectional --cluster auto
        python benchmarks/gpu.py""",  # noqa: E501
    "tests/predictions/test_command.py compares such files": r"""
        gru-bench compare bert.csv tfidf.csv
        gru-bench compare bert.csv --study bidirectional
        gru-bench compare student10.csv --study reference""",
    "tests/end_to_end/test_own.py trains such a class": r"""
        gru-bench gru-check homework.py:MyGRU
        gru-bench sweep --study own --model torch --model homework.py:MyGRU
        gru-bench report --study own""",
    "tests/test_examples.py reads it, and tests/test_publish.py writes another": r"""
        gru-bench report --study torch
        python reports/publish.py studies.tar.xz --study NAME
        python reports/publish.py studies.tar.xz --study torch""",
    "it takes minutes, or reads what does": r"""
        gru-bench sweep --study compare
        gru-bench sweep --study bidirectional --trials 0 --confirm 3 --data uneven.csv --metric macro_f1
        gru-bench sweep --study homework --data TRAIN.tar.gz --test-data TEST.tar.gz --embedding VECTORS.bin.gz
        gru-bench sweep --study homework --set model.backend=fused --study-name homework-quick --data ...
        gru-bench report --study compare --claim "bidirectional > torch"
        gru-bench gru-check submissions --csv checked.csv
        python benchmarks/epoch.py
        python benchmarks/families.py --repetitions 1000 --models 3,5,10
        python benchmarks/families.py --choice --repetitions 4000
        python benchmarks/interval_coverage.py --few --repetitions 4000
        python benchmarks/interval_coverage.py --few-seeds --repetitions 4000
        python benchmarks/interval_coverage.py --groups --repetitions 1000
        python benchmarks/report.py
        python benchmarks/scaling.py
        python benchmarks/scaling.py --quick
        python benchmarks/train_step.py --quick""",
    "it changes what is outside of its directory": r"""
        gru-bench --install-completion""",
    "it is a part of a command": r"""
        .ci/python
        gru-bench report --tables
        python -m tests.support.windows gru-bench ...""",
}
"""Reason -> commands, one on each line."""

FILLED = {
    r"import FILE": "import reports/example/torch.study", r"reports/(?=example)": f"{(ROOT / 'reports').as_posix()}/",
    r"gru-check FILE": "gru-check homework.py",
    r"\bNAME\b": "smoke", r"\bDIR\b": "my-model", r"\bFILE\b": "smoke.study", r"\bFOLDER\b": "tables",
}
"""What stands for something of the reader's -> what it is here."""
QUICK = ("--limit", "300", "--epochs", "1", "--set", "embedding.dimension=6", "--set", "training.threads=1")
FEW = (*QUICK, "--trials", "1", "--confirm", "2")
SHORT = {"gru-bench sweep --again": ("--confirm", "2"), "gru-bench sweep --study compare": QUICK[:2],
         "gru-bench train": QUICK,
         "gru-bench sweep --study torch --study-name reference": QUICK,
         "gru-bench sweep --study my.toml": (*FEW, "--set", "model.hidden_size=8"), "gru-bench sweep": FEW,
         "python benchmarks/interval_coverage.py": ("--repetitions", "20")}
"""How a command begins -> options that make it short."""


def filled(command: str) -> str:
    for stands, what in FILLED.items():
        command = re.sub(stands, what, command)
    return command


def shown() -> set[str]:
    """The commands of all pages, filled in."""
    return {filled(one) for page in PAGES for one in commands(text(page))}


def listed() -> set[str]:
    """The commands that are not run, filled in."""
    return {filled(line.strip()) for several in NOT_RUN.values() for line in several.splitlines() if line.strip()}


def test_every_command_of_the_pages_is_run_or_listed() -> None:
    run = set(map(filled, RUN))
    helps = {one for one in shown() if one.endswith(" --help")}
    assert shown() - run - listed() - helps == set(), "add a line to RUN, or to NOT_RUN below a reason"
    assert run | listed() <= shown(), "no page has these commands any more"
    assert not run & listed()


@pytest.fixture
def directory(tmp_path: Path, few_reviews: Path, database: Path) -> Path:
    """A directory with the files that the commands read."""
    shutil.copy(few_reviews, tmp_path / "mine.csv")
    study = blocks(text(ROOT / "docs" / "studies.md"), "toml")[0]
    assert "confirm = 10" in study
    (tmp_path / "my.toml").write_text(study.replace("confirm = 10", "confirm = 2"), encoding="utf-8")
    (thesis,) = blocks(text(ROOT / "reports" / "README.md"), "latex")
    (tmp_path / "thesis.tex").write_text(thesis, encoding="utf-8")
    (vectors,) = (block for block in blocks(text(ROOT / "docs" / "your-data.md")) if block.startswith("good "))
    (tmp_path / "vectors.txt").write_text(vectors, encoding="utf-8")
    for name, answers in (("logistic", "abab"), ("bayes", "abba")):
        rows = (f"{place},{'ab'[place % 2]},{answers[place % 4]}\n" for place in range(400))
        (tmp_path / f"{name}.csv").write_text(f"id,label,prediction\n{''.join(rows)}", encoding="utf-8")
    (tmp_path / "reviews.txt").write_text("A wonderful film.\nDull from start to end.\n", encoding="utf-8")
    (tmp_path / "reviews.csv").write_text("id,text\na,A wonderful film.\nb,Dull.\n", encoding="utf-8")
    (tmp_path / "homework.py").write_text(NOTEBOOK.replace("GRUClassifier", "GRU"), encoding="utf-8")
    notebook(NOTEBOOK.replace("GRUClassifier", "GRU")
             .replace("def __init__(self):", "def __init__(self, input_size, hidden_size, output_size):")
             .replace("torch.zeros(1, hidden_size)", "torch.zeros(1, self.linear.in_features)"),
             name=str(tmp_path / "notebook.ipynb"))
    return tmp_path


def run_as_typed(command: str, directory: Path, patch: pytest.MonkeyPatch) -> subprocess.CompletedProcess[str]:
    """Run a command: those of `gru-bench` in this process, whose libraries are loaded, in front of reviews as input."""
    words = shlex.split(command.partition(" | ")[2] or command)
    more = next((more for begin, more in SHORT.items() if command.startswith(begin)), ())
    if words[0] != "gru-bench":
        words = [sys.executable, str(ROOT / words[1]), *words[2:], *more] if words[0] == "python" else words
        return subprocess.run(words, cwd=directory, capture_output=True, text=True, check=False)
    with patch.context() as streams, without_worker_processes():
        streams.setattr(sys, "stdin", TextIOWrapper(BytesIO((directory / "reviews.txt").read_bytes())))
        return completed(app, *words[1:], *(more if "--help" not in words else ()), cwd=directory)


def drawn_once() -> property:
    """Let figures of the same name be drawn once: reports are written by many commands, and drawing takes longest."""
    drawings: dict[str, tuple[str, bytes]] = {}
    draw: Callable[[Figure], tuple[str, bytes]] = Figure.__dict__["_drawn"].func

    def drawn(figure: Figure) -> tuple[str, bytes]:
        if figure.name not in drawings:
            drawings[figure.name] = draw(figure)
        return drawings[figure.name]

    return property(drawn)


@pytest.mark.service
@pytest.mark.timeout(900)  # a minute on a quiet machine
def test_every_command_works(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Figure, "_drawn", drawn_once())
    helps = {one: "Usage" for one in sorted(shown()) if one.endswith(" --help")}
    wrong, began = [], time.monotonic()
    for command, words in {**RUN, **helps}.items():
        done = run_as_typed(filled(command), directory, monkeypatch)
        print(f"{time.monotonic() - began:4.0f} s  {command}")
        said = " ".join((done.stdout + done.stderr).split())
        if done.returncode != 0 or words not in said or "Traceback" in said:
            wrong.append(f"{command}\nended with {done.returncode}, where {words!r} was expected:\n"
                         f"{done.stdout[-1500:]}{done.stderr[-1500:]}")
    assert not wrong, "\n\n".join(wrong)
    assert "Overfull" not in (directory / "thesis.log").read_text(encoding="latin1")

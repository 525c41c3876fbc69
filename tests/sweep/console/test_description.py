"""The description of a study in MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gru_bench.results.logged_metrics import compared
from gru_bench.sweep.console.description import (
    MOST_COMMAND,
    MOST_PAIRS,
    next_commands,
    run_description,
    study_description,
)
from gru_bench.sweep.spec import StudySpec, load_study
from gru_bench.sweep.summary import confirmed
from gru_bench.sweep.workers.local import Message
from gru_bench.tracking import NOTE, open_reader
from tests.support.commands import mentions
from tests.support.runs import answered, baseline
from tests.support.studies import study_file
from tests.support.workers import WELL, swept

BASELINE = baseline("tfidf", val_accuracy=0.796, test_accuracy=0.782)
LINEAR = "TF-IDF + logistic regression (baseline)"


def spec_of(folder: Path, body: str = "", **changes: Any) -> StudySpec:
    return load_study(study_file(folder, f'models = ["torch", "bidirectional"]\n{body}'), **changes)


def described(spec: StudySpec, state: str = "running", command: str = "run.py --study smoke") -> str:
    return study_description(spec, state, command=command, uri="", best={}, found={}, view=None)


def rows(text: str) -> list[list[str]]:
    """The cells of the description's table."""
    return [[cell.replace("&emsp;", "").strip() for cell in line.strip("|").split("|")]
            for line in text.splitlines() if line.startswith("|") and "---" not in line]


def status(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("**Status:**"))


def test_a_complete_study_has_its_scores_and_the_next_commands(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 'purpose = "Is it better?"', name="pair")
    found = {"torch": confirmed([answered(70), answered(80), answered(84)]), "mixture": confirmed([answered(90)])}
    low, high = found["torch"].estimate.low, found["torch"].estimate.high
    interval = f"{100 * low:.1f} to {100 * high:.1f} %"
    text = study_description(spec, "complete", command="run.py --study pair.toml", uri="sqlite:///a b.db",
                             best={"torch": 0.8512, "bidirectional": 0.5}, found=found, view="#/v?k=x",
                             baselines=(BASELINE,))
    assert rows(text) == [
        ["model", "test accuracy", "95 % interval", "seeds, lowest to highest", "best trial: validation accuracy"],
        ["torch", "78.0 %", interval, "3: 70.0 to 84.0 %", "85.1 %"],
        ["bidirectional", "", "", "", "50.0 %"],
        ["mixture", "90.0 %", "82.5 to 94.6 % (test texts alone)", "1", ""],
        [LINEAR, "78.2 %", "", "", "79.6 %"]]
    mentions(text, "Is it better?", "(#/v?k=x)", "(#/v?k=x&compareRunsMode=CHART)")
    mentions(status(text), "complete")
    assert "    python sweeps/run.py --study pair.toml\n" in text
    assert '    gru-bench report --study pair --tracking-uri "sqlite:///a b.db"\n' in text
    assert '    gru-bench predict --study pair --tracking-uri "sqlite:///a b.db" "A text of yours."' in text
    assert found["torch"].interval(compared("accuracy", "test")) == interval


@pytest.mark.parametrize(("state", "said"), [
    ("interrupted", "interrupted"), ("incomplete", "not complete"), ("failed", "failed")])
def test_a_study_that_has_stopped_early_shows_how_far_it_is(tmp_path: Path, state: str, said: str) -> None:
    spec = spec_of(tmp_path, "trials = 2\n[space]\ntraining.lr = { low = 0.001, high = 0.1 }", confirm=3)
    text = study_description(spec, state, command="", uri="", best={"torch": 0.5}, found={}, view=None, trials=1,
                             baselines=(BASELINE,))
    mentions(status(text), said, "1 of 4 trials", "0 of 6 confirmation runs", "The same command continues it")
    # Nothing was scored on test, so that there are no columns for it.
    assert rows(text) == [["model", "best trial: validation accuracy"], ["torch", "50.0 %"], ["bidirectional", ""],
                          [LINEAR, "79.6 %"]]


def test_a_study_without_a_search_shows_no_trials(tmp_path: Path) -> None:
    spec, found = spec_of(tmp_path, trials=0, confirm=3), {"torch": confirmed([answered(70), answered(80)])}
    text = study_description(spec, "incomplete", command="", uri="", best={}, found=found, view=None, confirmed=2,
                             baselines=(BASELINE,))
    mentions(status(text), "not complete", "2 of 6 confirmation runs")
    assert "trials" not in status(text)
    header, _, bidirectional, linear = rows(text)
    assert header == ["model", "test accuracy", "95 % interval", "seeds, lowest to highest"]
    assert (bidirectional, linear) == (["bidirectional", "", "", ""], [LINEAR, "78.2 %", "", ""])


def test_a_study_with_interim_analyses_has_at_most_the_confirmation_runs_of_the_last(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "trials = 0\nconfirm = { interim = [5, 8] }")
    text = study_description(spec, "interrupted", command="", uri="", best={}, found={}, view=None, confirmed=3)
    mentions(status(text), "3 of up to 16 confirmation runs")


@pytest.mark.parametrize(("pairs", "lines"), [(MOST_PAIRS, MOST_PAIRS), (45, MOST_PAIRS + 1)])
def test_many_verdicts_leave_room_for_the_rest(tmp_path: Path, pairs: int, lines: int) -> None:
    text = study_description(spec_of(tmp_path), "complete", command="", uri="", best={"torch": 0.5}, found={},
                             view=None, said=["Take A.", *(f"A is better than B{n}: p < 0.001." for n in range(pairs))])
    shown = [line for line in text.splitlines() if line.startswith("- ")]
    assert len(shown) == lines
    assert shown[0] == "- A is better than B0: p &lt; 0.001."
    assert text.index("**Decision:** Take A.") < text.index("| model") < text.index(shown[0]) < text.index("Next")


def test_a_study_that_has_found_nothing_shows_no_results_and_no_command_that_would_fail(tmp_path: Path) -> None:
    text = described(spec_of(tmp_path))
    assert "Question" not in text
    assert "|" not in text
    assert "gru-bench" not in text
    without = study_description(spec_of(tmp_path), "running", command="", uri="", best={}, found={}, view="")
    mentions(without, "no saved view", "3.15")


def test_markup_in_what_a_user_writes_is_escaped(tmp_path: Path) -> None:
    purpose = "# 1. [x](http://evil) <b>&amp;</b> `a` *b* _c_ | d\n- e"
    spec = spec_of(tmp_path, f"purpose = {purpose!r}".replace("'", '"'))
    (line,) = [line for line in described(spec, command="my\n# script `x` " + "y" * 9_000).splitlines()
               if line.startswith("**Question:**")]
    assert line == (r"**Question:** \# 1. \[x\](http&#58;//evil) &lt;b\>&amp;amp;&lt;/b\> \`a\` \*b\* \_c\_ \| d - e")
    text = described(spec, command="my\n# script `x` " + "y" * 9_000)
    (code,) = [line for line in text.splitlines() if "script" in line]
    assert code.startswith("    my # script `x` yyy")
    assert len(code) == 4 + MOST_COMMAND


def test_a_run_shows_its_role_and_its_settings() -> None:
    mentions(run_description("trial", {"training.lr": 0.00123, "model.hidden_size": 96}),
             "trial", "validation", "`lr 0.00123  hidden_size 96`".replace("  ", " "))
    mentions(run_description("confirm", {}), "fresh seed", "test")
    assert run_description("ablation", {"data.name": "a`b"}).endswith(": `name ab`")


def test_the_next_commands_can_be_copied() -> None:
    assert list(next_commands("s", "", report=True, predict=False, serve=True)) == [
        "gru-bench report --study s", "mlflow ui"]
    assert list(next_commands("s", "sqlite:///x.db", report=False, predict=False, serve=True)) == [
        "mlflow ui --backend-store-uri sqlite:///x.db"]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The states that a study is described in, one after the other."""
    states: list[str] = []

    def noted(spec: StudySpec, state: str, **values: Any) -> str:
        states.append(state)
        return study_description(spec, state, **values)

    monkeypatch.setattr("gru_bench.sweep.runner.study_description", noted)
    return states


@pytest.mark.usefixtures("database")
class TestInTheStore:
    def test_a_study_and_its_runs_are_described_from_start_to_end(self, easy_csv: Path, told: list[str]) -> None:
        swept(easy_csv, lambda _: WELL, confirm=1, trials=1)
        assert told[0] == "running"
        assert told[-1] == "complete"
        (study,) = open_reader().studies("easy")
        text = study.run.tags[NOTE]
        mentions(status(text), "complete", "(#/experiments/1/runs?viewStateShareKey=gru-bench-accuracy&")
        assert "    python sweeps/run.py\n" in text
        model, test, *_, best = rows(text)[1]
        assert (model, test, best) == ("torch", "50.0 %", "50.0 %")
        assert "    gru-bench predict --study study" in text
        assert sorted(run.name for run in study.runs) == [
            "study", "study majority", "study ngrams", "study seed 10000", "study tfidf", "study trial 0"]
        assert "trial of the search" in study.trials[0].tags[NOTE]

    def test_an_interrupted_study_is_described_as_interrupted(self, easy_csv: Path, told: list[str]) -> None:
        def interrupted(_: object) -> list[Message]:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            swept(easy_csv, interrupted)
        assert told == ["running", "interrupted"]
        (study,) = open_reader().studies("easy")
        mentions(status(study.run.tags[NOTE]), "interrupted", "0 of 5 trials")

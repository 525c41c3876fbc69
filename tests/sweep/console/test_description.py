"""The description of a study in MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gru_bench.results.baselines import CLASSIFIER, REGRESSION
from gru_bench.stats.scores import compared
from gru_bench.sweep.console.description import MOST_COMMAND, next_commands, run_description, study_description
from gru_bench.sweep.spec import StudySpec, load_study
from gru_bench.sweep.summary import Conclusion
from gru_bench.sweep.workers.messages import Message
from gru_bench.tracking import NOTE, open_reader
from tests.support.commands import mentions
from tests.support.fake_store import logged
from tests.support.runs import confirmed
from tests.support.studies import study_file
from tests.support.workers import WELL, swept

BASELINE = logged("b", model="tfidf", params={CLASSIFIER: REGRESSION},
                  metrics={"score/val_accuracy": 0.796, "score/test_accuracy": 0.782})
LINEAR = "TF-IDF + logistic regression (baseline)"


def spec_of(folder: Path, **changes: Any) -> StudySpec:
    return load_study(study_file(folder, 'models = ["torch", "bidirectional"]'), **changes)


def rows(text: str) -> list[list[str]]:
    """The cells of the description's table."""
    return [[cell.replace("&emsp;", "").strip() for cell in line.strip("|").split("|")]
            for line in text.splitlines() if line.startswith("|") and "---" not in line]


def test_a_complete_study_has_its_decision_its_scores_and_its_command(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, name="pair")
    found = {"torch": confirmed(70, 80, 84), "average": confirmed(90), "tfidf": confirmed(90)}
    low, high = found["torch"].estimate.low, found["torch"].estimate.high
    interval = f"{100 * low:.1f} to {100 * high:.1f} %"
    text = study_description(spec, command="run.py --study pair.toml", best={"torch": 0.8512, "bidirectional": 0.5},
                             concluded=Conclusion("Take torch.", found, [BASELINE]))
    assert rows(text) == [
        ["model", "test accuracy", "95 % interval", "seeds, lowest to highest", "best trial: validation accuracy"],
        ["torch", "78.0 %", interval, "3: 70.0 to 84.0 %", "85.1 %"],
        ["bidirectional", "", "", "", "50.0 %"],
        ["average", "90.0 %", "82.5 to 94.6 % (test texts alone)", "1", ""],
        [LINEAR, "90.0 %", "82.5 to 94.6 % (test texts alone)", "1", "79.6 %"]]
    assert text.startswith("**Decision:** Take torch.\n\n|")
    assert text.endswith("\n\n**Command:**\n\n    python sweeps/run.py --study pair.toml")
    assert found["torch"].interval(compared("accuracy", "test")) == interval


def test_a_study_that_is_searched_has_no_columns_for_the_test_split(tmp_path: Path) -> None:
    text = study_description(spec_of(tmp_path), command="", best={"torch": 0.5},
                             concluded=Conclusion(baselines=[BASELINE]))
    assert rows(text) == [["model", "best trial: validation accuracy"], ["torch", "50.0 %"], ["bidirectional", ""],
                          [LINEAR, "79.6 %"]]
    assert "Decision" not in text


def test_a_study_without_a_search_has_no_column_for_trials(tmp_path: Path) -> None:
    text = study_description(spec_of(tmp_path), command="", best={},
                             concluded=Conclusion(scores={"torch": confirmed(70, 80)}, baselines=[BASELINE]))
    header, _, bidirectional, linear = rows(text)
    assert header == ["model", "test accuracy", "95 % interval", "seeds, lowest to highest"]
    assert (bidirectional, linear) == (["bidirectional", "", "", ""], [LINEAR, "78.2 %", "", ""])


def test_a_study_that_has_found_nothing_has_its_command_alone(tmp_path: Path) -> None:
    text = study_description(spec_of(tmp_path), command="run.py --study smoke", best={}, concluded=Conclusion())
    assert text == "**Command:**\n\n    python sweeps/run.py --study smoke"


def test_markup_in_what_a_user_writes_is_escaped(tmp_path: Path) -> None:
    decision = "# 1. [x](http://evil) <b>&amp;</b> `a` *b* _c_ | d\n- e"
    text = study_description(spec_of(tmp_path), command="my\n# script `x` " + "y" * 9_000, best={},
                             concluded=Conclusion(decision))
    said, *_, code = text.splitlines()
    assert said == (
        r"**Decision:** \# 1. \[x\](http&#58;//evil) &lt;b\>&amp;amp;&lt;/b\> \`a\` \*b\* \_c\_ \| d - e")
    assert code.startswith("    my # script `x` yyy")
    assert len(code) == 4 + MOST_COMMAND


def test_a_run_shows_its_role_and_its_settings() -> None:
    mentions(run_description("trial", {"training.lr": 0.00123, "model.hidden_size": 96}),
             "trial", "validation", "`lr 0.00123  hidden_size 96`".replace("  ", " "))
    mentions(run_description("confirm", {}), "fresh seed", "test")
    assert run_description("confirm", {"data.name": "a`b"}).endswith(": `name ab`")


def test_the_next_commands_can_be_copied() -> None:
    assert list(next_commands("s", "", report=True, predict=False, serve=True)) == [
        "gru-bench report --study s", "mlflow ui"]
    assert list(next_commands("s", "sqlite:///x.db", report=False, predict=False, serve=True)) == [
        "mlflow ui --backend-store-uri sqlite:///x.db"]


@pytest.mark.usefixtures("database")
class TestInTheStore:
    def test_a_study_and_its_runs_are_described(self, easy_csv: Path) -> None:
        swept(easy_csv, lambda _: WELL, confirm=1, trials=1)
        (study,) = open_reader().studies("easy")
        text = study.run.tags[NOTE]
        assert text.startswith("**Decision:** ")
        assert "    python sweeps/run.py" in text
        model, test, *_, best = rows(text)[1]
        assert (model, test, best) == ("torch", "50.0 %", "50.0 %")
        assert sorted(run.name for run in study.runs) == [
            "study", "study majority", "study ngrams", "study seed 10000", "study tfidf", "study trial 0"]
        assert "trial of the search" in study.trials[0].tags[NOTE]

    def test_an_interrupted_study_is_described_by_its_command(self, easy_csv: Path) -> None:
        def interrupted(_: object) -> list[Message]:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            swept(easy_csv, interrupted)
        (study,) = open_reader().studies("easy")
        assert study.run.tags[NOTE] == "**Command:**\n\n    python sweeps/run.py"

"""What a study says of itself in MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gru_bench.results.logged_metrics import compared
from gru_bench.results.runs import Baseline
from gru_bench.sweep.console.description import MOST_COMMAND, next_commands, run_description, study_description
from gru_bench.sweep.spec import StudySpec, load_study
from gru_bench.sweep.summary import confirmed
from gru_bench.sweep.workers.local import Message
from gru_bench.tracking import NOTE, Store
from tests.support.runs import answered
from tests.support.studies import study_file
from tests.support.workers import WELL, Script, swept

BASELINE = Baseline("linear", 0.796, 0.782, 0.78, 1000, 1.0)


def spec_of(folder: Path, body: str = "", **changes: Any) -> StudySpec:
    return load_study(study_file(folder, f'models = ["torch", "bidirectional"]\n{body}'), **changes)


def described(spec: StudySpec, state: str = "running", command: str = "run.py --study smoke") -> str:
    return study_description(spec, state, command=command, uri="", best={}, found={}, view=None)


def test_a_finished_study(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, 'purpose = "Is it better?"', name="pair")
    found = {"torch": confirmed([answered(70), answered(80), answered(84)])}
    low, high = found["torch"].estimate.low, found["torch"].estimate.high
    assert study_description(spec, "complete", command="run.py --study pair.toml", uri="sqlite:///a b.db",
                             best={"torch": 0.8512, "bidirectional": 0.5}, found=found, view="#/v?k=x",
                             baselines=(BASELINE,)) == f"""\
**Question:** Is it better?

**Status:** complete. See all runs [in one table](#/v?k=x) or [as charts](#/v?k=x&compareRunsMode=CHART).

| model&emsp; | best trial: validation accuracy&emsp; | test accuracy&emsp; | 95 % interval&emsp; | seeds&emsp; |
|---|---:|---:|---|---:|
| torch&emsp; | 85.1 %&emsp; | 78.0 %&emsp; | {100 * low:.1f} to {100 * high:.1f} %&emsp; | 3&emsp; |
| bidirectional&emsp; | 50.0 %&emsp; |  |  |  |
| *linear (baseline)*&emsp; | 79.6 %&emsp; | 78.2 %&emsp; |  |  |

**Started by:**

    python sweeps/run.py --study pair.toml

**Next:**

    gru-bench report --study pair --tracking-uri "sqlite:///a b.db"
    gru-bench predict --study pair --tracking-uri "sqlite:///a b.db" "A text of yours."
"""[:-1]
    assert found["torch"].interval(compared("accuracy", "test")) == f"{100 * low:.1f} to {100 * high:.1f} %"


@pytest.mark.parametrize(("state", "said"), [
    ("interrupted", "interrupted after 1 of 4 trials, 0 of 6 confirm runs. The same command continues it."),
    ("incomplete", "not complete: 1 of 4 trials, 0 of 6 confirm runs. The same command continues it."),
    ("failed", "failed after 1 of 4 trials, 0 of 6 confirm runs. The same command continues it once the cause is "
               "mended.")])
def test_a_study_that_has_stopped_early_says_what_is_done(tmp_path: Path, state: str, said: str) -> None:
    spec = spec_of(tmp_path, "trials = 2\n[space]\ntraining.lr = { low = 0.001, high = 0.1 }", confirm=3)
    text = study_description(spec, state, command="", uri="", best={"torch": 0.5}, found={}, view=None, trials=1,
                             baselines=(BASELINE,))
    assert f"**Status:** {said}\n" in text
    # Nothing was scored on test, so that there are no columns for it.
    assert """\
| model&emsp; | best trial: validation accuracy&emsp; |
|---|---:|
| torch&emsp; | 50.0 %&emsp; |
| bidirectional&emsp; |  |
| *linear (baseline)*&emsp; | 79.6 %&emsp; |
""" in text


def test_a_study_without_a_search_shows_no_trials(tmp_path: Path) -> None:
    spec, found = spec_of(tmp_path, trials=0, confirm=3), {"torch": confirmed([answered(70), answered(80)])}
    text = study_description(spec, "incomplete", command="", uri="", best={}, found=found, view=None, confirmed=2,
                             baselines=(BASELINE,))
    assert "**Status:** not complete: 2 of 6 confirm runs. The" in text
    assert "| model&emsp; | test accuracy&emsp; | 95 % interval&emsp; | seeds&emsp; |\n|---|---:|---|---:|\n" in text
    assert "| bidirectional&emsp; |  |  |  |\n| *linear (baseline)*&emsp; | 78.2 %&emsp; |  |  |\n" in text


def test_the_confirm_runs_of_a_study_with_looks_are_at_most_those_of_the_last_look(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "trials = 0\nconfirm = { looks = [5, 8] }")
    text = study_description(spec, "interrupted", command="", uri="", best={}, found={}, view=None, confirmed=3)
    assert "**Status:** interrupted after 3 of up to 16 confirm runs. The" in text


def test_a_study_that_has_found_nothing_shows_no_results_and_no_command_that_would_fail(tmp_path: Path) -> None:
    text = described(spec_of(tmp_path))
    assert "Question" not in text
    assert "|" not in text
    assert "gru-bench" not in text
    without = study_description(spec_of(tmp_path), "running", command="", uri="", best={}, found={}, view="")
    assert "There is no saved view of the runs: it needs MLflow 3.15 or later, below 4." in without


def test_what_a_user_writes_is_shown_as_it_is(tmp_path: Path) -> None:
    purpose = "# 1. [x](http://evil) <b>&amp;</b> `a` *b* _c_ | d\n- e"
    spec = spec_of(tmp_path, f"purpose = {purpose!r}".replace("'", '"'))
    (line,) = [line for line in described(spec, command="my\n# script `x` " + "y" * 9_000).splitlines()
               if line.startswith("**Question:**")]
    assert line == (r"**Question:** \# 1. \[x\](http&#58;//evil) &lt;b\>&amp;amp;&lt;/b\> \`a\` \*b\* \_c\_ \| d - e")
    text = described(spec, command="my\n# script `x` " + "y" * 9_000)
    (code,) = [line for line in text.splitlines() if "script" in line]
    assert code.startswith("    my # script `x` yyy")
    assert len(code) == 4 + MOST_COMMAND


def test_a_run_says_what_it_is() -> None:
    assert run_description("trial", {"training.lr": 0.00123, "model.hidden_size": 96}) == (
        "A trial of the search, scored on validation reviews: `lr 0.00123  hidden_size 96`")
    assert run_description("confirm", {}) == (
        "The best settings, trained again on a fresh seed and scored on test reviews")
    assert run_description("ablation", {"data.name": "a`b"}).endswith(": `name ab`")


def test_next_commands() -> None:
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
        swept(easy_csv, Script(WELL, WELL, WELL, WELL, WELL, WELL), confirm=1)
        assert told[0] == "running"
        assert told[-1] == "complete"
        (study,) = Store(create=False).studies("easy")
        text = study.run.tags[NOTE]
        assert "**Status:** complete. See all runs" in text
        assert "    python sweeps/run.py\n" in text
        assert "| torch&emsp; | 75.0 %&emsp; | 50.0 %&emsp; |" in text
        assert "    gru-bench predict --study study" in text
        assert "[in one table](#/experiments/1/runs?viewStateShareKey=gru-bench-accuracy)" in text
        assert sorted(run.name for run in study.runs) == [
            "seed 10000", "study", "trial 0", "trial 1", "trial 2", "trial 3", "trial 4"]
        assert all(run.tags[NOTE].startswith("A trial of the search") for run in study.trials)

    def test_an_interrupted_study_says_so(self, easy_csv: Path, told: list[str]) -> None:
        def interrupted(_: object) -> list[Message]:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            swept(easy_csv, interrupted)
        assert told == ["running", "interrupted"]
        (study,) = Store(create=False).studies("easy")
        assert "**Status:** interrupted after 0 of 5 trials. The" in study.run.tags[NOTE]

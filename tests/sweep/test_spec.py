"""Study files: what they mean, and what each mistake in one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from gru_bench.config import Scalar
from gru_bench.errors import DataError, UsageError
from gru_bench.sweep.spec import Range, known_studies, load_study, parsed_duration, parsed_looks
from tests.support.studies import HOMEWORK, study_file
from tests.support.values import present

GOOD = """
purpose = "test"
models = ["torch"]
trials = 4
[training]
epochs = 2
[space]
training.lr = { low = 1e-4, high = 1e-2, log = true }
model.hidden_size = { low = 8, high = 32, step = 8 }
model.pooling = { choices = ["last", "mean"] }
"""


def test_a_study_file(tmp_path: Path) -> None:
    spec = load_study(study_file(tmp_path, GOOD), confirm=3, settings={"training.batch_size": 8})
    assert (spec.name, spec.trials, spec.confirm, spec.base.training.epochs) == ("mine", 4, 3, 2)
    assert spec.space["model.hidden_size"] == Range(low=8, high=32, step=8)
    config = spec.config("torch", {"training.lr": 0.5}, seed=7)
    assert (config.model.name, config.training.lr, config.training.batch_size, config.seed) == ("torch", 0.5, 8, 7)


@pytest.mark.parametrize("name", ["a\x1b]0;b\x07", "two\nlines", "\u202etxt", " "])
def test_a_study_has_a_name_that_can_be_shown_and_carried(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="must have 1 to 250 characters, none of them a control character, but got"):
        load_study(study_file(tmp_path, GOOD), name=name)


def test_the_margin_is_part_of_a_study(tmp_path: Path) -> None:
    assert load_study(study_file(tmp_path, GOOD)).margin == 1.0
    assert load_study(study_file(tmp_path, "margin = 0.5\n" + GOOD)).margin == 0.5
    with pytest.raises(UsageError, match="margin"):
        load_study(study_file(tmp_path, "margin = 0\n" + GOOD))


@pytest.mark.parametrize(("lines", "hundredths"), [
    ("", 1.0), ('metric = "macro_f1"\n', 1.0), ('metric = "f1"\nmargin = 2.0\n', 2.0),
    ('metric = "log_loss"\nmargin = 0.02\n', 2.0), ('metric = "roc_auc"\nmargin = 0.005\n', 0.5)])
def test_a_study_is_about_one_score(tmp_path: Path, lines: str, hundredths: float) -> None:
    spec = load_study(study_file(tmp_path, lines + GOOD))
    assert f'metric = "{spec.metric}"' in (lines or 'metric = "accuracy"')
    assert spec.config("torch", {}, 0).training.metric == spec.metric
    assert spec.margin_in_hundredths == pytest.approx(hundredths)


def test_looks_are_part_of_the_confirm_stage(tmp_path: Path) -> None:
    planned = study_file(tmp_path, "confirm = { looks = [5, 8, 12] }\n" + GOOD)
    spec = load_study(planned)
    assert (spec.looks, spec.confirm, spec.confirm_seeds[-1]) == ([5, 8, 12], 12, 10_011)
    assert load_study(planned, looks=[3, 6]).confirm_seeds == tuple(range(10_000, 10_006))
    assert load_study(study_file(tmp_path, GOOD), looks=[5]).looks == [5]
    plan = present(spec.plan("data"))
    assert (plan.looks, plan.margin, plan.models, plan.data) == ((5, 8, 12), 0.01, ("torch",), "data")
    assert load_study(study_file(tmp_path, GOOD)).plan("data") is None
    nats = load_study(study_file(tmp_path, 'metric = "log_loss"\nmargin = 0.02\n' + GOOD), looks=[5, 9])
    assert present(nats.plan("data")).margin == pytest.approx(0.02)


@pytest.mark.parametrize(("line", "changes", "words"), [
    ("confirm = { looks = [5, 8] }", {"confirm": 5}, "plans looks at 5, 8 seeds, so --confirm must be left out"),
    ("", {"confirm": 5, "looks": [5]}, "got both --confirm and --looks"),
    ("confirm = { look = [5, 8] }", {}, "confirm must be a number of seeds such as 5, or the seeds at each look"),
    ("confirm = { looks = [] }", {}, "confirm must be a number of seeds such as 5, or the seeds at each look"),
    ("confirm = { looks = [8, 5] }", {}, "looks must be numbers of seeds that rise, .* but got 8, 5"),
    ("confirm = { looks = [5, 5] }", {}, "looks must be numbers of seeds that rise"),
    ("confirm = { looks = [0, 5] }", {}, "looks"),
    ('confirm = { looks = ["5"] }', {}, "looks must be whole numbers of seeds"),
    ("confirm = { looks = [2, 4] }", {}, "the last look must have at least 5 seeds"),
    ("looks = [5, 8]", {}, "unknown setting 'looks'"),
    ('metric = "f1"\nconfirm = { looks = [5, 8] }', {}, "looks need a metric whose error over several looks is known"),
])
def test_looks_that_are_none_are_refused(
    tmp_path: Path, line: str, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        load_study(study_file(tmp_path, f"{line}\n{GOOD}"), **changes)


@pytest.mark.parametrize("text", ["5;8", "five", "5,", "", "-1"])
def test_looks_are_typed_with_commas(text: str) -> None:
    assert parsed_looks("5, 8,12") == [5, 8, 12]
    assert parsed_looks(None) is None
    with pytest.raises(UsageError, match="--looks must be numbers of seeds with commas between"):
        parsed_looks(text)


def test_a_metric_is_given_once(tmp_path: Path) -> None:
    twice = 'metric = "f1"\n' + GOOD.replace("epochs = 2", 'epochs = 2\nmetric = "accuracy"')
    with pytest.raises(UsageError, match=r"the metric must be given once, but metric and training\.metric"):
        load_study(study_file(tmp_path, twice))


def test_some_models_of_a_study() -> None:
    assert load_study("smoke", models=["bidirectional"]).models == ["bidirectional"]
    assert load_study("smoke", models=["bidirectional", "scratch"]).models == ["scratch", "bidirectional"]
    torch = load_study("homework", models=["torch"])
    assert (torch.models, list(torch.own), torch.ablations, list(present(torch.timings).backends)) == (
        ["torch"], ["torch"], None, ["torch"])
    with pytest.raises(UsageError, match=r"unknown model 'torch': it must be one of bidirectional, scratch\. These"):
        load_study("smoke", models=["torch"])


def test_random_trials_are_not_pruned_unless_a_file_says_so(tmp_path: Path) -> None:
    assert load_study("smoke").pruner == "median"
    assert load_study("smoke", sampler="random").pruner == "none"
    assert load_study(study_file(tmp_path, 'pruner = "median"\n' + GOOD), sampler="random").pruner == "median"


@pytest.mark.parametrize("name", known_studies())
def test_every_study_of_ours_is_sound(name: str) -> None:
    spec = load_study(name)
    assert spec.purpose
    assert spec.name == name


@pytest.mark.parametrize("seed", [0, 1, 9_999])
def test_confirm_seeds_are_never_search_seeds(tmp_path: Path, seed: int) -> None:
    path = study_file(tmp_path, GOOD)
    seeds = load_study(path, seed=seed, confirm=50).confirm_seeds
    assert len(set(seeds)) == 50
    assert min(seeds) > 9_999
    assert not set(seeds) & set(load_study(path, seed=(seed + 1) % 10_000, confirm=50).confirm_seeds)


@pytest.mark.parametrize(("change", "message"), [
    (("trials = 4", "trials = -1"), r"mine\.toml: trials must be at least 0, but got -1"),
    (("trials = 4", "trails = 4"), r"mine\.toml: unknown setting 'trails'\. Did you mean 'trials'\? It must be"),
    (('["torch"]', '["lstm"]'),
     r"models\.0 must be one of 'scratch', 'torch', 'bidirectional' or 'rnn', but got 'lstm'"),
    (("epochs = 2", "epochs = 0"), r"training\.epochs must be at least 1, but got 0"),
    (("epochs = 2", "epoch = 2"), r"mine\.toml: unknown setting 'training\.epoch'\. Did you mean 'training\.epochs'\?"),
    (("low = 8, high", "low = 0, high"), r"model\.hidden_size must be at least 1, but got 0"),
    (("low = 1e-4, high = 1e-2", "low = 1e-2, high = 1e-4"), r"space\.training\.lr must have low below high"),
    (("low = 1e-4, high", "low = 0.0, high"), r"on a log scale must have low above 0"),
    (("model.pooling", "model.poolings"), r"unknown setting 'model\.poolings'.* Did you mean 'model\.pooling'\?"),
    (("model.pooling = ", "model.backend = "), r"model\.backend must not be searched"),
    (("model.pooling = ", "model.bidirectional = "), r"model\.bidirectional must not be searched"),
    (("training.lr = { low = 1e-4, high = 1e-2, log = true }", "training.lr = 3"),
     r"space\.training\.lr must be a range such as \{ low = 1, high = 3 \} or"),
    (('["last", "mean"]', '["last", "first"]'), r"model\.pooling must be one of .*, but got 'first'"),
    (("[space]", "[space]\nseed.x = { low = 1, high = 2 }"), r"unknown setting 'seed\.x'"),
    (("[space]", "[space]\nmodel.layers = [1, 2]"),
     r"space\.model\.layers must be \{ choices = \[1, 2\] \}, but got \[1, 2\]"),
    (("training.lr = {", "training.learning_rate = {"),
     r"unknown setting 'training\.learning_rate'\. Did you mean 'training\.lr'\? training has adversarial, average"),
    (("training.lr = {", "lr = {"), r"mine\.toml: unknown setting 'lr'\. Did you mean 'training\.lr'\?"),
    (("trials = 4", "trials = 4\nepochs = 3"), r"unknown setting 'epochs'\. Did you mean 'training\.epochs'\?"),
    (("trials = 4", "trials = 4\nbase = 1"), r"unknown setting 'base'"),
    (("trials = 4", "trials = 4\nown = { x = 1 }"), r"unknown setting 'own'"),
    (('["torch"]', '["torch", "torch"]'), r"mine\.toml: models must hold each entry once, but got \['torch', 't"),
    (('["last", "mean"]', '["last", "mean", "last"]'),
     r"space\.model\.pooling must hold each value once, but 'last' and 'last' are the same"),
    (("{ low = 8, high = 32, step = 8 }", "{ choices = [8, 8.0] }"), "but 8 and 8.0 are the same"),
    (("{ low = 8, high = 32, step = 8 }", "{ choices = [8, '8'] }"), "but 8 and '8' are the same"),
    (("{ low = 1e-4, high = 1e-2, log = true }", "{ choices = [0.3, 0.30000000000000004] }"), "are the same"),
    (("high = 32, step = 8", "high = 32, step = 0"), r"must have a step above 0 and at most high - low = 24"),
    (("high = 32, step = 8", "high = 32, step = -1"), r"must have a step above 0"),
    (("high = 32, step = 8", "high = 32, step = 25"), r"must have a step above 0 and at most high - low = 24"),
    (("high = 32, step = 8", "high = 32, step = 0.3"), r"must have a whole number as step"),
    (("log = true", "step = 1e-300"), r"must have values that differ in their first 9 digits"),
    (("low = 1e-4, high = 1e-2", "low = 0.5, high = 0.5000000000001"), r"must have values that differ in their"),
    (("low = 8, high = 32, step = 8", "low = 8, high = 32.0"), r"must have whole numbers for low and high, because"),
    (("high = 32", "high = 1000000000000"), r"model\.hidden_size must be at most 16,384, but got 1000000000000"),
    (("epochs = 2", "epochs = 1" + "0" * 40), r"training\.epochs must be at most 100,000, but got 1000000"),
    (("epochs = 2", 'device = "' + "x" * 5_000 + '"'), r"must be a name of at most 255 bytes, .*\(5,000 characters\)"),
    (("[training]\nepochs = 2", "training = 1"), r"mine\.toml: training must be a table, but got 1"),
    (("epochs = 2", "epochs = 2\ntorch.lr = [1]"), r"training\.torch\.lr must be text, a number, true or false, but"),
    (("epochs = 2", "epochs = [1]"), r"training\.epochs must be a whole number, but got \[1\]"),
    (("low = 8, high", "low = 'x', high"), r"space\.model\.hidden_size\.low must be a number, but got 'x'"),
    (("[space]", "[recall]\nsteps = [5, 5]\n[space]"), r"recall\.steps must hold each entry once"),
    (("[space]", "[recall]\nsteps = [5]\nsequences = 1000000000000\n[space]"),
     r"n of recall data must be .*1000000000000'"),
    (("trials = 4", 'trials = 4\nmetric = "luck"'), r"training\.metric must be one of .*log_loss.*, but got 'luck'"),
    (("trials = 4", 'trials = 4\nmetric = "log_loss"'), r"a study of log_loss must give its margin, .*margin = 0\.01"),
    (("trials = 4", 'trials = 4\nmetric = "roc_auc"'), r"a study of roc_auc must give its margin"),
    (("epochs = 2", 'epochs = 2\nmetric = "f1"\ntorch.metric = "accuracy"'), r"must share its metric, f1, but 'torch'"),
    (("[space]", '[space]\ntraining.metric = { choices = ["f1", "accuracy"] }'), r"metric must not be searched"),
    (("epochs = 2", 'selection = "lowest_train_window"'), r"a search needs training\.selection 'best_validation'"),
])
def test_each_mistake_is_named(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    assert change[0] in GOOD
    with pytest.raises(UsageError, match=message):
        load_study(study_file(tmp_path, GOOD.replace(*change)))


@pytest.mark.parametrize(("first", "message"), [
    ("training.lr = 1e-3", r"\[first\] must give each setting .* but model\.layers is in \[space\] only: add it"),
    ("training.lr = 1e-3\nmodel.layers = 1\nmodel.dropout = 0.1", r"model\.dropout is in \[first\] only: remove it"),
    ("training.lr = 0.5\nmodel.layers = 1", r"first\.training\.lr must lie in its search space, .* but got 0\.5"),
    ("training.lr = true\nmodel.layers = 1", r"first\.training\.lr must lie in its search space, .* but got True"),
    ("training.lr = 1e-3\nmodel.layers = 1.5", r"first\.model\.layers must lie in its search space"),
])
def test_a_first_trial_outside_the_space(tmp_path: Path, first: str, message: str) -> None:
    text = ('models = ["torch"]\ntrials = 3\n[space]\ntraining.lr = { low = 1e-4, high = 1e-2, log = true }\n'
            "model.layers = { low = 1, high = 2 }\n[first]\n")
    with pytest.raises(UsageError, match=message):
        load_study(study_file(tmp_path, text + first))


@pytest.mark.parametrize(("span", "held", "not_held"), [
    (Range(low=64, high=256, step=32), [64, 96, 256], [128.0, 65, 32, 288, "64", True, None]),
    (Range(low=0.2, high=0.7, step=0.1), [0.2, 0.3, 0.7, 0.6], [0.25, 0.8, "0.3"]),
    (Range(low=1e-4, high=1e-2, log=True), [1e-4, 0.0031, 1e-2], [0.011, 0]),
    (Range(choices=["mean", "max", None, 1]), ["mean", None, 1], ["last", True, 1.0]),
])
def test_what_a_range_holds(span: Range, held: list[Scalar], not_held: list[Scalar]) -> None:
    assert all(map(span.holds, held))
    assert not any(map(span.holds, not_held))


def test_a_search_needs_a_space_and_a_study_something_to_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a study with trials must have a search space"):
        load_study(study_file(tmp_path, 'models = ["torch"]\ntrials = 2'))
    with pytest.raises(UsageError, match="trials and confirm are both 0"):
        load_study(study_file(tmp_path, 'models = ["torch"]'), confirm=0)


def test_unknown_study_missing_file_and_no_toml(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown study 'bidirektional'.*Did you mean 'bidirectional'\?"):
        load_study("bidirektional")
    with pytest.raises(UsageError, match=r"there is no file 'absent\.toml'"):
        load_study("absent.toml")
    for text, message in (
        ("models = [", "a study file must be TOML"),
        ("x = " + "[" * 5_000, "at most 12 levels of nested tables"),
        ("x = " + "[" * 13 + "]" * 13, "at most 12 levels of nested tables"),
        ("a." * 30_000 + "b = 1", "at most 12 levels of nested tables"),
        ("seed = " + "1" * 5_000, "numbers of a few digits"),
        ("#" * 100_001, "at most 100,000 bytes"),
    ):
        with pytest.raises(DataError, match=message):
            load_study(study_file(tmp_path, text))
    for name in ("x" * 5_000 + ".toml", "a\0.toml", "studies/mine", "studies\\mine"):
        with pytest.raises(UsageError, match="there is no file"):
            load_study(name)


@pytest.mark.parametrize("value", ["1", "[]", '"x"', "[1]"])
def test_a_space_that_is_no_table(tmp_path: Path, value: str) -> None:
    with pytest.raises(UsageError, match=r"a search space must be a table that holds lines like training\.lr = "):
        load_study(study_file(tmp_path, f'models = ["torch"]\nspace = {value}'))


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), (None, None)])
def test_durations(text: str | None, seconds: float | None) -> None:
    assert parsed_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "ten", "-5", "0", "5 days"])
def test_wrong_durations(text: str) -> None:
    with pytest.raises(UsageError, match=r"--timeout must be a time such as 90s, 10m or 1\.5h"):
        parsed_duration(text)


class TestModelsOfTheirOwn:
    def test_each_has_its_settings(self, tmp_path: Path) -> None:
        spec = load_study(study_file(tmp_path, HOMEWORK))
        scratch, torch = spec.config("scratch", {}, 0), spec.config("torch", {}, 0)
        assert (scratch.model.backend, scratch.model.relu, scratch.training.lr) == ("auto", False, 0.5)
        assert (torch.model.backend, torch.model.relu, torch.training.lr) == ("torch", True, 1e-3)
        assert spec.base.data.max_length is None

    def test_what_is_typed_goes_before_them(self, tmp_path: Path) -> None:
        spec = load_study(study_file(tmp_path, HOMEWORK), settings={"model.backend": "reference"})
        torch = spec.config("torch", {}, 0).model
        assert (torch.backend, torch.relu) == ("reference", True)

    @pytest.mark.parametrize(("change", "message"), [
        (('["scratch", "torch"]', '["torch"]'), r"of the study \(torch\), but training\.lr is set for 'scratch'"),
        (("relu = true", "rely = true"), r"unknown setting 'model\.rely'.* Did you mean 'model\.relu'\?"),
        (("lr = 0.5", "lr = -1.0"), r"training\.lr must be greater than 0, but got -1\.0"),
        (('"torch"\nseeds', '"bidirectional"\nseeds'), r"ablations\.model must be .*, but got 'bidirectional'"),
        (("hidden_size = 7", "hidden = 7"), r"unknown setting 'model\.hidden'"),
        (("hidden_size = 7", "hidden_size = 0"), r"model\.hidden_size must be at least 1, but got 0"),
        (("0.2", "0.0"), r"ablations are scored on validation reviews, but data\.validation_share is 0"),
        (("seeds = 3", "seeds = 0"), r"ablations\.seeds must be at least 1, but got 0"),
        (('question = "How wide?"', ""), r"ablations\.other\.size\.question is required"),
        (("settings = { model.hidden_size = 7 }", ""),
         r"ablations\.other\.size must have either settings or tune, but has neither"),
        (("{ model.hidden_size = 7 }", "{ model.hidden_size = 7 }\ntune = { model.layers = [2] }"), "but has both"),
        (("settings = { model.hidden_size = 7 }", "tune = { model.hidden = [7] }"), "unknown setting 'model.hidden'"),
        (("settings = { model.hidden_size = 7 }", "tune = { model.hidden_size = [7, 0] }"),
         r"model\.hidden_size must be at least 1, but got 0"),
        (("settings = { model.hidden_size = 7 }", "tune = { model.hidden_size = [100] }"),
         r"ablations\.other\.size\.tune must hold another value than the study's own, but got "
         r"\{'model\.hidden_size': \[100\]\}"),
        (("settings = { model.hidden_size = 7 }", "tune = { model.hidden_size = [7, 7] }"), "but 7 and 7 are the same"),
        (("settings = { model.hidden_size = 7 }", "tune = { model.hidden_size = " + str([*range(1, 302)]) +
          ", training.epochs = " + str([*range(1, 302)]) + " }"),
         r"ablations\.other\.size\.tune must give at most 1,000 points, but gives 90,601: remove values"),
        (("settings = { data.validation_share = 0.2 }", "settings = 1"), r"ablations\.settings must be a table, but"),
        (("[ablations.other.pooling]", "[ablations.other]\nx = 1\n[ablations.other.pooling]"),
         r"ablations\.other\.x must be a table, but got 1"),
        (('question = "How wide?"', 'quastion = "How wide?"'),
         r"unknown setting 'ablations\.other\.size\.quastion'\. Did you mean 'ablations\.other\.size\.question'\?"),
        (("settings = { model.hidden_size = 7 }", "tune = { model.hidden_size = [] }"),
         r"ablations\.other\.size\.tune\.model\.hidden_size must have at least 1 entry, but got \[\]"),
    ])
    def test_each_mistake_is_named(self, tmp_path: Path, change: tuple[str, str], message: str) -> None:
        assert change[0] in HOMEWORK
        with pytest.raises(UsageError, match=message):
            load_study(study_file(tmp_path, HOMEWORK.replace(*change)))


def test_the_smoke_study_says_what_its_accuracies_are_worth() -> None:
    assert "the accuracies mean nothing" in load_study("smoke").purpose

"""Study files: what they mean, and the error that each mistake in one causes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gru_bench.config import Scalar
from gru_bench.errors import DataError, UsageError
from gru_bench.sweep.spec import Range, known_studies, load_study, parsed_duration
from tests.support.commands import mentions
from tests.support.studies import HOMEWORK, study_file

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


def test_reads_a_study_from_its_file(tmp_path: Path) -> None:
    spec = load_study(study_file(tmp_path, GOOD), confirm=3, settings={"training.batch_size": 8})
    assert (spec.name, spec.trials, spec.confirm, spec.base.training.epochs) == ("mine", 4, 3, 2)
    assert spec.space["model.hidden_size"] == Range(low=8, high=32, step=8)
    config = spec.config("torch", {"training.lr": 0.5}, seed=7)
    assert (config.model.name, config.training.lr, config.training.batch_size, config.seed) == ("torch", 0.5, 8, 7)


@pytest.mark.parametrize("name", ["a\x1b]0;b\x07", "two\nlines", "\u202etxt", " ", "x" * 101])
def test_refuses_a_name_of_control_or_blank_characters_or_too_many(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"name.*1 to 100.*control character"):
        load_study(study_file(tmp_path, GOOD), name=name)


@pytest.mark.parametrize("name", ["smoke/scratch", "a\\b", "/"])
def test_refuses_a_name_that_could_be_a_search_of_another_study(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"name.*/.*use -"):
        load_study(study_file(tmp_path, GOOD), name=name)


def test_the_equivalence_margin_is_1_point_unless_the_file_sets_it(tmp_path: Path) -> None:
    assert load_study(study_file(tmp_path, GOOD)).margin == 1.0
    assert load_study(study_file(tmp_path, "margin = 0.5\n" + GOOD)).margin == 0.5
    with pytest.raises(UsageError, match=r"margin.*\b0\b"):
        load_study(study_file(tmp_path, "margin = 0\n" + GOOD))


@pytest.mark.parametrize(("lines", "hundredths"), [
    ("", 1.0), ('metric = "macro_f1"\n', 1.0), ('metric = "macro_f1"\nmargin = 2.0\n', 2.0),
    ('metric = "log_loss"\nmargin = 0.02\n', 2.0)])
def test_a_metric_has_its_own_unit_of_the_margin(tmp_path: Path, lines: str, hundredths: float) -> None:
    spec = load_study(study_file(tmp_path, lines + GOOD))
    assert f'metric = "{spec.metric}"' in (lines or 'metric = "accuracy"')
    assert spec.config("torch", {}, 0).training.metric == spec.metric
    assert spec.margin_in_hundredths == pytest.approx(hundredths)


@pytest.mark.parametrize(("lines", "parts"), [
    ("trials = true\n", ["trials", "whole number", "true"]), ("confirm = 2.0\n", ["confirm", "whole number", "2.0"]),
    ('seed = "1"\n', ["seed", "whole number", "'1'"]), ('[data]\nlimit = "600"\n', ["data.limit", "'600'"]),
    ("[model]\nhidden_size = true\n", ["model.hidden_size", "true"]),
    ('[training]\nlr = "0.1"\n', ["training.lr", "'0.1'"])])
def test_a_value_must_have_the_type_of_its_setting(tmp_path: Path, lines: str, parts: list[str]) -> None:
    with pytest.raises(UsageError) as refused:
        load_study(study_file(tmp_path, lines))
    mentions(str(refused.value).lower(), *parts)


def test_a_whole_number_is_a_number(tmp_path: Path) -> None:
    spec = load_study(study_file(tmp_path, "models = ['torch']\nmargin = 2\ntrials = 0\n[training]\nlr = 1\n"))
    assert (spec.margin, spec.base.training.lr) == (2.0, 1.0)


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert load_study(study_file(tmp_path, "\ufeff" + GOOD)) == load_study(study_file(tmp_path, GOOD))


def test_a_class_may_be_called_none(tmp_path: Path) -> None:
    spec = load_study(study_file(tmp_path, GOOD + '\n[data]\nclasses = ["none", "mild"]\n'))
    assert spec.base.data.classes == ("none", "mild")


def test_none_is_a_choice(tmp_path: Path) -> None:
    text = GOOD.replace('model.pooling = { choices = ["last", "mean"] }',
                        'training.clip_norm = { choices = [1.0, "none"] }')
    spec = load_study(study_file(tmp_path, text))
    assert spec.space["training.clip_norm"].described() == {"choices": [1.0, None]}
    assert spec.config("torch", {"training.clip_norm": None}, 0).training.clip_norm is None


def test_refuses_two_metrics_in_one_file(tmp_path: Path) -> None:
    twice = 'metric = "macro_f1"\n' + GOOD.replace("epochs = 2", 'epochs = 2\nmetric = "accuracy"')
    with pytest.raises(UsageError, match=r"metric and training\.metric"):
        load_study(study_file(tmp_path, twice))


def test_a_study_can_be_of_some_models_of_its_file() -> None:
    assert load_study("smoke", models=["bidirectional"]).models == ["bidirectional"]
    assert load_study("smoke", models=["bidirectional", "scratch"]).models == ["scratch", "bidirectional"]
    assert load_study("homework", models=["torch"]).own == {"torch": load_study("homework").own["torch"]}
    with pytest.raises(UsageError, match=r"'torch'.*bidirectional, scratch"):
        load_study("smoke", models=["torch"])


def test_random_trials_are_not_pruned_unless_a_file_says_so(tmp_path: Path) -> None:
    assert load_study(study_file(tmp_path, GOOD)).pruner == "halving"
    assert load_study(study_file(tmp_path, GOOD), sampler="random").pruner == "none"
    assert load_study(study_file(tmp_path, 'pruner = "halving"\n' + GOOD), sampler="random").pruner == "halving"
    inherits = 'base = "bidirectional"\nsampler = "random"\n'
    assert load_study(study_file(tmp_path, inherits)).pruner == "none"
    assert load_study(study_file(tmp_path, inherits + 'pruner = "halving"')).pruner == "halving"


@pytest.mark.parametrize("name", known_studies())
def test_every_study_of_the_package_can_be_read(name: str) -> None:
    spec = load_study(name)
    assert spec.purpose
    assert spec.name == name


@pytest.mark.parametrize("seed", [0, 1, 9_999])
def test_confirmation_seeds_are_outside_every_search(tmp_path: Path, seed: int) -> None:
    path = study_file(tmp_path, GOOD)
    seeds = load_study(path, seed=seed, confirm=50).confirm_seeds
    assert len(set(seeds)) == 50
    assert min(seeds) > 9_999 >= load_study(path, seed=seed, trials=1).seed
    assert not set(seeds) & set(load_study(path, seed=(seed + 1) % 10_000, confirm=50).confirm_seeds)


@pytest.mark.parametrize(("change", "parts"), [
    (("trials = 4", "trials = -1"), r"mine\.toml.*trials.*-1"),
    (("trials = 4", "trails = 4"), r"mine\.toml.*'trails'.*'trials'\?"),
    (('["torch"]', '["lstm"]'), r"models\.0.*bidirectional.*FILE\.py:CLASS.*'lstm'"),
    (("epochs = 2", "epochs = 0"), r"training\.epochs.*\b0\b"),
    (("epochs = 2", "epoch = 2"), r"mine\.toml.*'training\.epoch'.*'training\.epochs'\?"),
    (("low = 8, high", "low = 0, high"), r"model\.hidden_size.*\b0\b"),
    (("low = 1e-4, high = 1e-2", "low = 1e-2, high = 1e-4"), r"space\.training\.lr.*low below high"),
    (("low = 1e-4, high", "low = 0.0, high"), r"space\.training\.lr.*low above 0.*log"),
    (("model.pooling", "model.poolings"), r"'model\.poolings'.*'model\.pooling'\?"),
    (("model.pooling = ", "model.backend = "), r"model\.backend cannot be searched"),
    (("training.lr = { low = 1e-4, high = 1e-2, log = true }", "training.lr = 3"), r"space\.training\.lr.*\b3\b"),
    (('["last", "mean"]', '["last", "first"]'), r"model\.pooling.*'first'"),
    (("[space]", "[space]\nmodel.layers = [1, 2]"), r"space\.model\.layers.*\{ choices = \[1, 3\] \}.*\[1, 2\]"),
    (("training.lr = {", "training.learning_rate = {"), r"'training\.learning_rate'.*'training\.lr'\?"),
    (("training.lr = {", "lr = {"), r"mine\.toml.*'lr'.*'training\.lr'\?"),
    (("trials = 4", "trials = 4\nepochs = 3"), r"'epochs'.*'training\.epochs'\?"),
    (("trials = 4", "trials = 4\nbase = 1"), r"unknown base '1'.*bidirectional"),
    (("trials = 4", "trials = 4\nown = { x = 1 }"), r"'own'"),
    (('["torch"]', '["torch", "torch"]'), r"mine\.toml.*models.*once.*'torch', 't"),
    (('["last", "mean"]', '["last", "mean", "last"]'), r"space\.model\.pooling.*once.*'last'"),
    (("{ low = 8, high = 32, step = 8 }", "{ choices = [8, '8'] }"), r"model\.hidden_size.*whole number.*'8'"),
    (("high = 32, step = 8", "high = 32, step = 0"), r"1 to 1,000,000,000 steps.*0"),
    (("high = 32, step = 8", "high = 32, step = 25"), r"steps from low to high.*25"),
    (("high = 32, step = 8", "high = 32, step = 0.3"), r"whole number as step"),
    (("log = true", "step = 1e-300"), r"space\.training\.lr.*steps.*1e-300"),
    (("low = 8, high = 32, step = 8", "low = 8, high = 32.0"), r"model\.hidden_size.*whole number.*32\.0"),
    (("epochs = 2", "epochs = 1" + "0" * 40), r"training\.epochs.*at most 100000.*1000000"),
    (("epochs = 2", 'device = "' + "x" * 5_000 + '"'), r"training\.device.*cuda:N.*5,000"),
    (("[training]\nepochs = 2", "training = 1"), r"mine\.toml.*training must be a table"),
    (("epochs = 2", "epochs = 2\ntorch.beta1 = [1]"), r"training\.beta1.*number.*\[1\]"),
    (("low = 8, high", "low = 'x', high"), r"space\.model\.hidden_size\.low.*'x'"),
    (("trials = 4", 'trials = 4\nmetric = "luck"'), r"training\.metric.*log_loss.*'luck'"),
    (("trials = 4", 'trials = 4\nmetric = "log_loss"'), r"log_loss.*margin = 0\.01"),
    (("trials = 4", 'trials = 4\nmetric = "log_loss"\nmargin = 0.6'), r"margin.*0\.5 nats.*0\.6"),
    (("epochs = 2", 'epochs = 2\nmetric = "macro_f1"\ntorch.metric = "accuracy"'),
     r"training\.metric.*for all.*'torch'"),
    (("epochs = 2", 'selection = "lowest_train_window"'), r"training\.selection 'best_validation'"),
])
def test_names_the_mistake_in_a_study_file(tmp_path: Path, change: tuple[str, str], parts: str) -> None:
    assert change[0] in GOOD
    with pytest.raises(UsageError, match=parts):
        load_study(study_file(tmp_path, GOOD.replace(*change)))


@pytest.mark.parametrize(("lines", "parts"), [
    ("[space]\ntraining.seed = { choices = [1, 2] }", ("training.seed", "remove it")),
    ('model = "scratch"', ("model", "'scratch'", "models = [...]"))])
def test_common_mistakes_are_answered_in_one_short_sentence(tmp_path: Path, lines: str, parts: tuple[str, ...]) -> None:
    (tmp_path / "a.toml").write_text(f"{lines}\n", encoding="utf-8")
    with pytest.raises(UsageError) as refused:
        load_study(str(tmp_path / "a.toml"))
    mentions(str(refused.value), "a.toml", *parts)
    assert len(str(refused.value)) < 160


@pytest.mark.parametrize(("first", "parts"), [
    ("training.lr = 1e-3", r"\[first\].*model\.layers.*add it"),
    ("training.lr = 1e-3\nmodel.layers = 1\nmodel.dropout = 0.1", r"model\.dropout.*remove it"),
    ("training.lr = 0.5\nmodel.layers = 1", r"first\.training\.lr.*got 0\.5"),
    ("training.lr = true\nmodel.layers = 1", r"first\.training\.lr.*got True"),
    ("training.lr = 1e-3\nmodel.layers = 1.5", r"first\.model\.layers.*1\.5"),
])
def test_refuses_a_first_trial_outside_the_space(tmp_path: Path, first: str, parts: str) -> None:
    text = ('models = ["torch"]\ntrials = 3\n[space]\ntraining.lr = { low = 1e-4, high = 1e-2, log = true }\n'
            "model.layers = { low = 1, high = 2 }\n[first]\n")
    with pytest.raises(UsageError, match=parts):
        load_study(study_file(tmp_path, text + first))


@pytest.mark.parametrize(("span", "held", "not_held"), [
    (Range(low=64, high=256, step=32), [64, 96, 256], [128.0, 65, 32, 288, "64", True, None]),
    (Range(low=0.2, high=0.7, step=0.1), [0.2, 0.3, 0.7, 0.6], [0.25, 0.8, "0.3"]),
    (Range(low=1e-4, high=1e-2, log=True), [1e-4, 0.0031, 1e-2], [0.011, 0]),
    (Range(choices=["mean", "max", None, 1]), ["mean", None, 1], ["last", True, 1.0]),
])
def test_a_range_holds_its_own_values_alone(span: Range, held: list[Scalar], not_held: list[Scalar]) -> None:
    assert all(map(span.holds, held))
    assert not any(map(span.holds, not_held))


def test_refuses_a_search_without_a_space_and_a_study_of_no_runs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"trials is 2, but \[space\] is empty"):
        load_study(study_file(tmp_path, 'models = ["torch"]\ntrials = 2'))
    with pytest.raises(UsageError, match="trials and confirm are both 0"):
        load_study(study_file(tmp_path, 'models = ["torch"]'), confirm=0)


def test_suggests_a_study_for_a_misspelt_name() -> None:
    with pytest.raises(UsageError, match=r"'bidirektional'.*'bidirectional'\?"):
        load_study("bidirektional")


@pytest.mark.parametrize("name", ["absent.toml", "x" * 5_000 + ".toml", "a\0.toml", "studies/mine", "studies\\mine"])
def test_refuses_a_study_file_that_does_not_exist(name: str) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_study(name)


@pytest.mark.parametrize("content", [b"models = [", b"x = " + b"[" * 5_000, b"seed = " + b"1" * 5_000, b"# \xff"],
                         ids=["unclosed", "nested too deeply", "number of thousands of digits", "no UTF-8"])
def test_refuses_a_file_that_is_not_toml(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine.toml").write_bytes(content)
    with pytest.raises(DataError, match=r"mine\.toml is not valid TOML"):
        load_study(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), (None, None)])
def test_reads_a_duration_in_seconds_minutes_or_hours(text: str | None, seconds: float | None) -> None:
    assert parsed_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "ten", "-5", "0", "5 days"])
def test_refuses_a_duration_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match=f"timeout.*{text}"):
        parsed_duration(text)


class TestModelsOfTheirOwn:
    def test_a_model_has_the_settings_of_its_own_table(self, tmp_path: Path) -> None:
        spec = load_study(study_file(tmp_path, HOMEWORK))
        scratch, torch = spec.config("scratch", {}, 0), spec.config("torch", {}, 0)
        assert (scratch.model.backend, scratch.model.relu, scratch.training.lr) == ("auto", False, 0.5)
        assert (torch.model.backend, torch.model.relu, torch.training.lr) == ("torch", True, 1e-3)
        assert spec.base.data.max_length is None

    def test_a_typed_setting_replaces_that_of_a_models_table(self, tmp_path: Path) -> None:
        spec = load_study(study_file(tmp_path, HOMEWORK), settings={"model.backend": "reference"})
        torch = spec.config("torch", {}, 0).model
        assert (torch.backend, torch.relu) == ("reference", True)

    @pytest.mark.parametrize(("change", "parts"), [
        (('["scratch", "torch"]', '["torch"]'), r"training\.lr.*'scratch'"),
        (("relu = true", "rely = true"), r"'model\.rely'.*'model\.relu'\?"),
        (("lr = 0.5", "lr = -1.0"), r"training\.lr.*-1\.0"),
    ])
    def test_names_the_mistake_in_the_settings_of_a_model(
        self, tmp_path: Path, change: tuple[str, str], parts: str
    ) -> None:
        assert change[0] in HOMEWORK
        with pytest.raises(UsageError, match=parts):
            load_study(study_file(tmp_path, HOMEWORK.replace(*change)))

"""What a study file leaves out: it is inherited from a study of gru-bench, or follows the data."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from gru_bench.config import RunConfig, TrainingConfig, flat
from gru_bench.errors import UsageError
from gru_bench.resources import resource
from gru_bench.sweep.console.opening import settings_lines
from gru_bench.sweep.defaults import BY_SIZE, RECIPE, by_size
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.spec import known_studies, load_study
from gru_bench.sweep.study import StudyRecord
from tests.support.commands import mentions
from tests.support.studies import study_file
from tests.support.sweeps import only_study, sweep

OWN = 'models = ["torch"]\n[data]\nname = "tickets.csv"\n'
DEFAULT_TRAINING = 26_777
"""Training reviews of the default data."""


class TestBySize:
    @pytest.mark.parametrize(("examples", "epochs", "log_every"), [
        (DEFAULT_TRAINING, 2, 100), (1_000_000, 2, 100), (8_000, 4, 83), (2_400, 7, 25), (800, 12, 8), (64, 20, 1),
        (1, 20, 1), (0, 20, 1)])
    def test_fewer_iterations_get_more_epochs_by_their_root_within_bounds(
        self, examples: int, epochs: int, log_every: int
    ) -> None:
        assert by_size(examples, TrainingConfig(batch_size=32)) == {
            "training.epochs": epochs, "training.log_every": log_every}

    def test_every_epoch_of_three_batches_fills_three_windows(self) -> None:
        for batches in range(3, 1_000):
            assert batches // by_size(32 * batches, TrainingConfig(batch_size=32))["training.log_every"] >= 3


class TestRecipe:
    def test_a_file_of_models_and_data_has_the_settings_of_a_tuned_study(self, tmp_path: Path) -> None:
        spec = load_study(study_file(tmp_path, OWN)).fitted(800)
        tuned = load_study(RECIPE)
        ours = flat(spec.base)
        expected = {**flat(tuned.base), **tuned.first, "training.epochs": 12, "training.log_every": 8,
                    "data.name": "tickets.csv"}
        assert ours == expected
        assert (ours["embedding.trainable"], ours["model.pooling"], ours["training.average"]) == (
            True, "meanmax", 0.995)
        assert (spec.trials, spec.space, spec.first) == (0, {}, {})

    def test_each_setting_of_the_file_or_of_an_option_wins_over_the_recipe(self, tmp_path: Path) -> None:
        text = OWN + "max_length = 7\n[training]\nepochs = 4\n[model]\npooling = 'max'\n[embedding]\ntrainable = false"
        spec = load_study(study_file(tmp_path, text), settings={"training.log_every": 3}).fitted(800)
        assert (spec.base.data.max_length, spec.base.training.epochs, spec.base.training.log_every) == (7, 4, 3)
        assert (spec.base.model.pooling, spec.base.embedding.trainable) == ("max", False)
        assert (spec.base.embedding.scale, spec.base.training.schedule) == (0.2, "linear")

    def test_a_searched_setting_does_not_follow_the_number_of_texts(self, tmp_path: Path) -> None:
        text = OWN + "[space]\ntraining.epochs = { low = 1, high = 3 }"
        assert load_study(study_file(tmp_path, text), trials=2).sized == {"training.log_every"}

    def test_the_largest_batches_of_a_study_decide_its_window(self, tmp_path: Path) -> None:
        text = 'models = ["torch", "scratch"]\ntraining.scratch.batch_size = 320'
        spec = load_study(study_file(tmp_path, text)).fitted(3_200)
        assert spec.base.training.log_every == 10 // 3

    def test_a_base_of_none_leaves_the_plain_defaults(self, tmp_path: Path) -> None:
        spec = load_study(study_file(tmp_path, f'base = "none"\n{OWN}')).fitted(800)
        assert flat(spec.base) == {**flat(RunConfig()), "data.name": "tickets.csv"}
        assert not spec.sized

    def test_no_study_of_gru_bench_takes_a_setting_from_the_recipe(self) -> None:
        """So that a change of the recipe changes no other study."""
        for name in known_studies():
            values = tomllib.loads((resource("studies") / f"{name}.toml").read_text(encoding="utf-8"))
            given = {f"{section}.{key}" for section in ("data", "embedding", "model", "training")
                     for key in values.get(section, {})}
            spec = load_study(name)
            plain = flat(RunConfig())
            for model in spec.models:
                ours = flat(spec.config(model, {}, 0))
                known = given | spec.own.get(model, {}).keys() | set(BY_SIZE) | {"model.name"}
                assert {key for key in ours if ours[key] != plain[key]} <= known, name

    def test_the_amazon_study_trains_three_epochs_whatever_the_data(self) -> None:
        for examples in (800, 18_302):
            assert load_study("amazon").fitted(examples).base.training.epochs == 3

    @pytest.mark.parametrize("name", ["bidirectional", "torch", "scratch", "compare"])
    def test_the_tuned_studies_train_two_epochs_on_the_default_data(self, name: str) -> None:
        spec = load_study(name)
        assert spec.fitted(DEFAULT_TRAINING).base == spec.base
        assert (spec.base.training.epochs, spec.base.training.log_every) == (2, 100)


class TestMacroF1:
    @pytest.mark.parametrize(("text", "weight"), [
        ('metric = "macro_f1"\n', "balanced"), ("training.metric = 'macro_f1'\n", "balanced"),
        ("", "none"), ('metric = "accuracy"\n', "none"), ('metric = "log_loss"\nmargin = 0.01\n', "none"),
        ('metric = "macro_f1"\nbase = "bidirectional"\n', "balanced"), ('metric = "macro_f1"\nbase = "none"\n', "none"),
        ('metric = "macro_f1"\nbase = "homework"\n', "none"),
        ('metric = "macro_f1"\ntraining.class_weight = "none"\n', "none"),
        ('training.class_weight = "balanced"\n', "balanced")])
    def test_its_studies_weigh_classes_unless_the_file_says_so(self, tmp_path: Path, text: str, weight: str) -> None:
        spec = load_study(study_file(tmp_path, text + OWN)).fitted(800)
        assert spec.config("torch", {}, 0).training.class_weight == weight
        assert "training.class_weight" not in spec.sized

    def test_the_metric_and_the_weights_may_be_typed(self, tmp_path: Path) -> None:
        typed = {"training.metric": "macro_f1"}
        for study in ("bidirectional", study_file(tmp_path, OWN)):
            assert load_study(study, settings=typed).base.training.class_weight == "balanced"
            spec = load_study(study, settings={**typed, "training.class_weight": "none"})
            assert spec.base.training.class_weight == "none"
        file = study_file(tmp_path, 'metric = "macro_f1"\n' + OWN)
        assert load_study(file, settings={"training.metric": "accuracy"}).base.training.class_weight == "none"

    def test_weights_of_one_model_or_in_the_search_space_come_first(self, tmp_path: Path) -> None:
        text = 'metric = "macro_f1"\nmodels = ["torch", "scratch"]\ntraining.torch.class_weight = "none"\n'
        spec = load_study(study_file(tmp_path, text))
        assert [spec.config(model, {}, 0).training.class_weight for model in spec.models] == ["none", "balanced"]
        space = "[space]\ntraining.class_weight = { choices = ['none', 'balanced'] }"
        searched = load_study(study_file(tmp_path, f'metric = "macro_f1"\n{OWN}{space}'), trials=2)
        assert searched.base.training.class_weight == "none"
        weights = searched.space["training.class_weight"].choices or ()
        assert [searched.config("torch", {"training.class_weight": weight}, 0).training.class_weight
                for weight in weights] == ["none", "balanced"]


class TestBase:
    def test_a_file_inherits_the_search_and_the_settings_of_its_base(self, tmp_path: Path) -> None:
        spec, base = load_study(study_file(tmp_path, 'base = "bidirectional"')), load_study("bidirectional")
        assert (spec.name, spec.purpose) == ("mine", "")
        for key in ("models", "trials", "confirm", "pruner", "space", "first"):
            assert getattr(spec, key) == getattr(base, key), key
        assert flat(spec.base) == {**flat(base.base), **base.first}
        assert spec.sized == set(BY_SIZE)

    def test_the_keys_of_a_file_win_over_its_base(self, tmp_path: Path) -> None:
        text = ('base = "bidirectional"\nmodels = ["torch"]\ntrials = 4\nconfirm = 8\n'
                "model.layers = 2\n[training]\nepochs = 1\n[model.torch]\nhidden_size = 9\n")
        spec = load_study(study_file(tmp_path, text))
        assert (spec.models, spec.trials, spec.confirm) == (["torch"], 4, 8)
        assert (spec.base.model.layers, spec.base.training.epochs, spec.base.model.pooling) == (2, 1, "meanmax")
        assert (list(spec.space), dict(spec.first)) == (["training.lr"], {"training.lr": 3e-3})

    def test_a_space_in_the_file_replaces_that_of_the_base(self, tmp_path: Path) -> None:
        text = 'base = "bidirectional"\n[space]\ntraining.lr = { low = 1e-4, high = 1e-3 }\n'
        spec = load_study(study_file(tmp_path, text))
        assert (list(spec.space), spec.space["training.lr"].low, spec.first) == (["training.lr"], 1e-4, {})
        assert (spec.base.model.hidden_size, spec.base.model.layers) == (48, 1)  # of the base's first trial

    def test_a_typed_setting_is_not_searched(self, tmp_path: Path) -> None:
        for study in ("bidirectional", study_file(tmp_path, 'base = "bidirectional"')):
            spec = load_study(study, settings={"training.lr": 5e-4})
            assert (list(spec.space), list(spec.first)) == (["model.hidden_size", "model.layers"],) * 2
            assert spec.config("bidirectional", spec.first, 0).training.lr == 5e-4
        storage = open_storage(str(tmp_path / "optuna.journal"))
        StudyRecord(load_study("bidirectional"), storage, "data", "mine")
        with pytest.raises(UsageError, match=r"training\.lr"):
            StudyRecord(load_study("bidirectional", settings={"training.lr": 5e-4}), storage, "data", "mine")

    def test_settings_of_a_single_model_are_inherited_for_the_models_of_the_file(self, tmp_path: Path) -> None:
        text = 'base = "homework"\nmodels = ["torch", "scratch"]\n[model]\nrelu = false\n[training.torch]\nlr = 0.5\n'
        spec = load_study(study_file(tmp_path, text))
        assert spec.own == {"torch": {"model.backend": "torch", "training.lr": 0.5},
                            "scratch": {"model.backend": "fused"}}

    @pytest.mark.parametrize("base", ["bidirectinal", "mine.toml", ""])
    def test_an_unknown_base_lists_the_known_ones(self, tmp_path: Path, base: str) -> None:
        with pytest.raises(UsageError) as raised:
            load_study(study_file(tmp_path, f'base = "{base}"'))
        mentions(str(raised.value), "mine.toml", f"unknown base '{base}'", "none", *known_studies())


class TestNoTrials:
    SPACE = "[space]\ntraining.lr = { low = 1e-3, high = 1e-2 }\n"

    def test_without_trials_a_searched_setting_has_the_value_of_the_first_trial(self, tmp_path: Path) -> None:
        tuned = load_study("bidirectional")
        spec = load_study("bidirectional", trials=0)
        assert flat(spec.base) == {**flat(tuned.base), **tuned.first}
        assert (spec.space, spec.first) == ({}, {})
        inherited = load_study(study_file(tmp_path, 'base = "bidirectional"\ntrials = 0'))
        assert (flat(inherited.base), inherited.space) == (flat(spec.base), {})

    def test_a_value_that_somebody_gave_or_else_the_recipe_comes_first(self, tmp_path: Path) -> None:
        spec = load_study("torch", trials=0, settings={"training.lr": 1e-4})
        assert (spec.base.training.lr, spec.base.model.hidden_size) == (1e-4, 48)
        assert load_study("smoke", trials=0).base.training.lr == 5e-3
        spec = load_study(study_file(tmp_path, f"trials = 0\n{OWN}{self.SPACE}"))
        assert (spec.base.training.lr, spec.space) == (load_study(RECIPE).first["training.lr"], {})
        first = "[first]\ntraining.lr = 2e-3\n"
        spec = load_study(study_file(tmp_path, f"{OWN}{self.SPACE}{first}"), trials=0)
        assert spec.base.training.lr == 2e-3
        spec = load_study(study_file(tmp_path, f"{OWN}{self.SPACE}{first}[training]\nlr = 4e-3"), trials=0)
        assert spec.base.training.lr == 4e-3

    def test_a_study_without_trials_is_refused_with_another_value(self, tmp_path: Path) -> None:
        storage = open_storage(str(tmp_path / "optuna.journal"))
        StudyRecord(load_study("torch", trials=0, settings={"training.lr": 1e-3}), storage, "data", "mine")
        with pytest.raises(UsageError, match=r"training\.lr was 0\.001 and is now 0\.01"):
            StudyRecord(load_study("torch", trials=0, settings={"training.lr": 1e-2}), storage, "data", "mine")

    @pytest.mark.parametrize("base", ["", 'base = "compare"\n'])
    def test_refuses_a_space_whose_trials_were_forgotten(self, tmp_path: Path, base: str) -> None:
        with pytest.raises(UsageError, match=r"\[space\].*trials = 12"):
            load_study(study_file(tmp_path, f"{base}{OWN}{self.SPACE}"))


@pytest.mark.parametrize(("lines", "said"), [
    ("", "default settings: training.epochs=8, training.log_every=19 (for 1,800 training texts)"),
    ("training.log_every = 5\nmodel.torch.hidden_size = 2\ntraining.torch.epochs = 2\n", None)])
def test_a_start_says_which_settings_follow_the_number_of_texts(
    tmp_path: Path, lines: str, said: str | None
) -> None:
    spec = load_study(study_file(tmp_path, lines + OWN)).fitted(1_800)
    assert next(settings_lines(spec, 1_800), None) == said


def test_a_sweep_of_an_own_file_says_what_was_chosen(
    tmp_path: Path, easy_csv: Path, database: Path
) -> None:
    study = ('models = ["torch"]\nmetric = "macro_f1"\nconfirm = 1\n[embedding]\ndimension = 4\n'
             '[model]\nhidden_size = 2\n')
    done = sweep(tmp_path, easy_csv, "--limit", "100", study=study)
    assert done.returncode == 0, done.stderr
    (run,) = only_study(tmp_path).confirms
    mentions(done.stdout, "default settings: training.epochs=20, training.log_every=")
    assert "warning: training.log_every" not in done.stdout
    assert (run.params["training.epochs"], run.params["model.pooling"], run.params["model.hidden_size"]) == (
        "20", "meanmax", "2")
    assert run.params["training.class_weight"] == "balanced"

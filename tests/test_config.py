"""Whatever is typed or written into a study file is refused in a short message, or runs to its end."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gru_bench.config import POOLING_PARTS, Part, Pooling, RunConfig, flat, parsed_settings, with_settings
from gru_bench.errors import GruBenchError, UsageError
from gru_bench.resources import resource
from gru_bench.sweep.search import is_exhausted
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.spec import KEYS, StudySpec, known_studies, load_study
from gru_bench.sweep.study import StudyRecord

SETTINGS = sorted(flat(RunConfig()))


TYPED = ["0", "-1", "0.3", "1e30", "-1e308", "nan", "inf", "", "none", "true", str(2**32), str(2**63), "7" * 70,
         "9" * 5_000, "[" * 5_000, "[[[[", "{}", "\0", "x" * 5_000, "x" * 300, "~nobody-at-all/x"]


RANGES = [
    "{ low = 1, high = 3 }", "{ low = 1, high = 3, step = 5 }", "{ low = 1, high = 3, step = 0 }",
    "{ low = 0.1, high = 3 }", "{ low = 1, high = 3, step = -1 }",
    "{ low = 1, high = 3, step = 0.3 }", "{ low = 0.1, high = 0.3, step = 1e-300 }",
    "{ low = 1, high = 1000000000000 }", "{ low = 0.1, high = 1" + "0" * 400 + " }", "{ low = 1, high = 2.5 }",
    "{ low = 0.5, high = 0.50000000000001 }", "{ low = 1e-300, high = 1e300, log = true }", "{ low = true, high = 3 }",
    "{ low = -1e308, high = 1e308 }", "{ low = nan, high = inf }", "{ choices = [0.1, 0.1, 0.1] }", "{ choices = [] }",
    "{ choices = [1, 1.0, true, '1'] }", "{ choices = [1, 2] }", "{ choices = [[1]] }", "{ choices = ['x'], low = 1 }",
]


VALUES = [*RANGES, "0", "-1", "1", "0.3", "1e30", "nan", "inf", '""', '"none"', str(2**63), "7" * 70, "9" * 5_000,
          "true", "[" * 5_000, "[[[[]]]]", "[]", "{}", '"\\u0000"', '"' + "x" * 5_000 + '"', "1979-05-27",
          '["torch", "torch"]', str([*range(2_000)]), "{ a = { b = { c = 1 } } }"]


FILE_KEYS = [
    *KEYS, "trails", "base", "own", *SETTINGS, *(f"space.{key}" for key in SETTINGS), "training.torch.lr",
    "model.torch.relu",
]


STUDIES = ['models = ["torch"]\ntrials = 4\nspace.model.pooling = { choices = ["last", "mean"] }',
           *((resource("studies") / f"{name}.toml").read_text(encoding="utf-8") for name in known_studies())]


def test_an_odd_value_of_a_setting_is_accepted_or_refused_in_a_short_message() -> None:
    enormous = {"1e30", str(2**63), "7" * 70}
    accepted = set()
    for key in SETTINGS:
        for value in TYPED:
            said = _refused(parsed_settings([f"{key}={value}"]))
            assert key in said or not said
            assert len(said) < 400
            if not said and value in enormous:
                accepted.add(key)
    # A step of that size fails a run, which ends.
    assert accepted == {"training.lr", "training.clip_norm"}


def _refused(values: Mapping[str, Any]) -> str:
    try:
        with_settings(RunConfig(), values)
    except GruBenchError as error:
        return str(error)
    return ""


lines = st.tuples(st.sampled_from(FILE_KEYS), st.sampled_from(VALUES)).map(" = ".join)


@given(study=st.sampled_from(STUDIES), added=st.lists(lines, min_size=1, max_size=3), dropped=st.integers(0, 30),
       cut=st.integers(0, 40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_odd_study_file_is_refused_in_a_short_message_or_its_search_ends(
    tmp_path: Path, study: str, added: list[str], dropped: int, cut: int
) -> None:
    given_lines = study.splitlines()
    del given_lines[cut:cut + max(0, dropped - 27)]  # mostly none
    (tmp_path / "wild.toml").write_text("\n".join([*added, *given_lines]), encoding="utf-8")
    try:
        spec, said = load_study(str(tmp_path / "wild.toml")), ""
    except GruBenchError as error:
        spec, said = None, str(error)
    if spec is None:
        assert max(map(len, said.splitlines())) < 900
        return
    if spec.space:
        _search_to_its_end(spec.model_copy(update={"trials": 6, "sampler": "random"}), tmp_path)


def _search_to_its_end(spec: StudySpec, tmp_path: Path) -> None:
    journal = tmp_path / "wild.journal"
    journal.unlink(missing_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's, of ranges that its steps do not divide
        search = StudyRecord(spec, open_storage(str(journal)), "data", "mine").searches[spec.models[0]]
        while (trial := search.ask()) is not None:
            spec.config(spec.models[0], trial[1], 0)
            search.complete(trial[0], 0.5)
    assert sum(trial.counts for trial in search.stored) == 6 or is_exhausted(search.stored, search.space)
    assert all(trial.state != optuna.trial.TrialState.WAITING for trial in search.study.trials)


def test_each_name_has_an_entry_in_its_table() -> None:
    assert set(POOLING_PARTS) == set(get_args(Pooling))
    assert {part for parts in POOLING_PARTS.values() for part in parts} == set(get_args(Part))


class TestSettings:
    def test_typed_values_become_numbers_booleans_none_or_text(self) -> None:
        assert parsed_settings(["a=1", "b=1e-3", "c=true", "d=none", "e=text", "f=a=b", "g=-1"]) == {
            "a": 1, "b": 1e-3, "c": True, "d": None, "e": "text", "f": "a=b", "g": -1}

    def test_settings_replace_and_are_checked(self) -> None:
        config = with_settings(RunConfig(), {"training.clip_norm": None, "seed": 5})
        assert (config.training.clip_norm, config.seed) == (None, 5)
        with pytest.raises(UsageError, match=r"training\.batch_size.*whole number.*1\.5"):
            with_settings(RunConfig(), {"training.batch_size": 1.5})


class TestClasses:
    @pytest.mark.parametrize(("typed", "classes"), [
        ('["so, so", "gr\u00fcn"]', ("so, so", "gr\u00fcn")), ("[5, 4.0, 4.5]", ("5", "4", "4.5")),
        ("[true, false]", ("true", "false")), ('["None", "none"]', ("None", "none")), ("none", None)])
    def test_a_list_of_classes_comes_back_from_its_text(self, typed: str, classes: tuple[str, ...] | None) -> None:
        config = with_settings(RunConfig(), parsed_settings([f"data.classes={typed}"]))
        assert config.data.classes == classes
        assert with_settings(RunConfig(), flat(config)) == config
        hash(config.data)

    def test_a_study_file_lists_the_classes(self, tmp_path: Path) -> None:
        (tmp_path / "a.toml").write_text(
            'models = ["torch"]\n[data]\nclasses = ["low", "high"]\n', encoding="utf-8")
        data = load_study(str(tmp_path / "a.toml")).base.data
        assert data.classes == ("low", "high")

    @pytest.mark.parametrize(("value", "message"), [
        ("low,high", r"list.*\[\"low\", \"high\"\].*'low,high'"), (5, "list"), (["a"], "at least 2"),
        ([str(n) for n in range(1001)], "at most 1000.*1001"), (["a", "a"], "once"), (["1", 1.0], "once"),
        (["a", ""], "at least 1"), (["a", "x" * 251], "at most 250"), (["a", None], "text"), (["a", ["b"]], "text"),
        ([f"{n} {'x' * 200}" for n in range(30)], "5,000"),
    ])
    def test_anything_but_a_list_of_distinct_short_names_is_refused(self, value: object, message: str) -> None:
        with pytest.raises(UsageError, match=rf"^data\.classes.*{message}"):
            with_settings(RunConfig(), {"data.classes": value})


class TestEncodings:
    @pytest.mark.parametrize(("name", "known"), [
        ("UTF8", "utf-8"), ("latin-1", "iso8859-1"), ("windows-1252", "cp1252"), ("utf_16", "utf-16")])
    def test_an_encoding_has_one_name(self, name: str, known: str) -> None:
        assert with_settings(RunConfig(), {"data.encoding": name}).data.encoding == known

    @pytest.mark.parametrize("setting", ["name", "test_name", "text_column", "label_column", "category_column",
                                         "split_column", "group_column", "id_column"])
    def test_data_and_columns_have_names(self, setting: str) -> None:
        with pytest.raises(UsageError, match=rf"data\.{setting}.*empty"):
            with_settings(RunConfig(), {f"data.{setting}": ""})

    @pytest.mark.parametrize("name", ["", "utf-9", "hex", "rot13", "zlib", "idna", "undefined", "unicode_escape", "\0"])
    def test_anything_but_an_encoding_of_text_is_refused(self, name: str) -> None:
        with pytest.raises(UsageError, match=r"^data\.encoding .*utf-8, cp1252"):
            with_settings(RunConfig(), {"data.encoding": name})

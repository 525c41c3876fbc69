"""The command data: the parts of data and of a study, with the ids that predictions and compare name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gru_bench.config import DataConfig
from gru_bench.data.corpus import SPLITS, load_corpus
from gru_bench.errors import ExitCode
from gru_bench.predictions.__main__ import app as compare_app
from gru_bench.predictions.parts import app
from gru_bench.tracking import open_reader
from tests.support.commands import completed, mentions
from tests.support.reviews import reviews, write
from tests.support.trained_study import SEEDS, database, log_study


def parts(folder: str) -> dict[str, pd.DataFrame]:
    return {name: pd.read_csv(f"{folder}/{name}.csv", keep_default_na=False) for name in SPLITS}


@pytest.fixture
def study(easy_csv: Path, empty_database: Path) -> Path:
    """A study of one model in the working directory. Returns its data, which a test may change."""
    shutil.copy(empty_database, Path())
    csv = Path(shutil.copy(easy_csv, Path("easy.csv"))).resolve()
    log_study(Path().resolve(), csv)
    return csv


def test_the_parts_of_data_have_the_ids_texts_labels_and_groups_that_a_run_reads() -> None:
    rows = [(text, ("bad", "good")[label], f"film {place // 4}", f"r{place}")
            for place, (text, label) in enumerate(reviews(240))]
    csv = write(Path("films.csv"), rows, header=("text", "label", "group", "id"))
    done = completed(app, "--data", csv, "--group-column", "group", "--id-column", "id", "--out", "parts")
    assert done.returncode == ExitCode.DONE, done.stderr
    corpus = load_corpus(DataConfig(name=csv, group_column="group", id_column="id"))
    found = parts("parts")
    known = {name: (text, label, group) for text, label, group, name in rows}
    for name, table in found.items():
        split = corpus.split(name)
        assert table["id"].tolist() == split.example_id_N.tolist()
        assert {row.row: (row.text, row.label, row.group) for row in table.itertuples()}.items() <= known.items()
    assert sum(map(len, found.values())) == len(rows)
    groups = [set(table["group"]) for table in found.values()]
    assert not any(one & other for place, one in enumerate(groups) for other in groups[:place])


def test_the_parts_of_a_study_are_those_of_its_runs_and_can_be_compared_with_them(study: Path) -> None:
    done = completed(app, "--study", "quick", "--out", "parts")
    assert done.returncode == ExitCode.DONE, done.stderr
    store = open_reader(database(Path().resolve()))
    logged, = store.studies("easy")
    runs = [store.predictions(run.run_id, "test").by_id() for run in logged.confirms]
    test = parts("parts")["test"].sort_values("id")
    assert test["id"].tolist() == runs[0].example_id_N.tolist()
    classes = sorted(set(test["label"]))
    assert [classes.index(label) for label in test["label"]] == runs[0].label_N.tolist()
    test["prediction"] = [classes[answer] for answer in runs[0].probability_NC.argmax(axis=1)]
    test.sample(frac=1, random_state=0).to_csv("mine.csv", index=False)
    compared = completed(compare_app, "mine.csv", "--study", "quick", "--json")
    assert compared.returncode == ExitCode.DONE, compared.stderr
    pair, = json.loads(compared.stdout)["pairs"]
    right_RN = np.stack([run.probability_NC.argmax(axis=1) == run.label_N for run in runs])
    assert pair["examples"] == len(test)
    assert sorted(pair["seeds"]) == [1, len(SEEDS)]
    test["probability_1"] = runs[0].probability_NC[:, 1]
    test.to_csv("mine.csv", index=False)
    reported = completed(compare_app, "mine.csv", "--study", "quick", "--out", "out")
    assert reported.returncode == ExitCode.DONE, reported.stderr
    mentions(Path("out/report.md").read_text("utf-8"), "Confirmation runs of a study, and files of predictions: mine")
    assert abs(pair["difference"]) == pytest.approx(abs(right_RN[0].mean() - right_RN.mean()), abs=1e-12)


def test_without_labels_the_test_texts_have_only_ids_and_texts(study: Path) -> None:
    assert completed(app, "--study", "quick", "--out", "parts").returncode == ExitCode.DONE
    assert completed(app, "--study", "quick", "--no-labels", "--out", "hand-out").returncode == ExitCode.DONE
    complete, handed_out = parts("parts"), parts("hand-out")
    assert list(handed_out["test"]) == ["id", "text"]
    assert handed_out["test"].equals(complete["test"][["id", "text"]])
    assert all(handed_out[split].equals(complete[split]) for split in ("train", "validation"))


def test_a_study_whose_data_are_read_otherwise_today_is_refused(study: Path) -> None:
    store = open_reader(database(Path().resolve()))
    logged, = store.studies("easy")
    rows = study.read_text("utf-8").splitlines()
    study.write_text("\n".join(rows[:-1]) + "\n", "utf-8")
    done = completed(app, "--study", "quick", "--out", "parts")
    assert done.returncode == ExitCode.FAILED
    mentions(done.stderr, "the study quick", f"then {logged.run.fingerprint}", "Restore the files")
    assert not Path("parts").exists()


def test_no_file_but_the_same_texts_is_replaced(easy_csv: Path) -> None:
    shutil.copy(easy_csv, "train.csv")
    before = Path("train.csv").read_bytes()
    done = completed(app, "--data", "train.csv", "--out", ".")
    assert done.returncode == ExitCode.MISTYPED
    mentions(done.stderr, "--out", "'train.csv'")
    assert Path("train.csv").read_bytes() == before
    assert not Path("test.csv").exists()
    for _ in range(2):
        assert completed(app, "--data", "train.csv", "--out", "parts").returncode == ExitCode.DONE
    written = Path("parts/train.csv").read_bytes()
    assert completed(app, "--data", "train.csv", "--limit", "100", "--out", "parts").returncode == ExitCode.MISTYPED
    assert Path("parts/train.csv").read_bytes() == written


def test_a_file_is_no_folder_to_write_to(easy_csv: Path) -> None:
    Path("file").touch()
    done = completed(app, "--data", str(easy_csv), "--out", "file")
    assert done.returncode == ExitCode.MISTYPED
    mentions(done.stderr, "--out must be a folder", "file is a file")


def test_an_empty_split_has_a_header(easy_csv: Path) -> None:
    done = completed(app, "--data", str(easy_csv), "--set", "data.validation_share=0", "--out", "parts")
    assert done.returncode == ExitCode.DONE, done.stderr
    assert {"id", "text", "label"} <= set(parts("parts")["validation"])


@pytest.mark.parametrize("setting", ["data.max_length=3", "model.hidden_size=7"])
def test_a_setting_without_effect_on_the_texts_is_refused(easy_csv: Path, setting: str) -> None:
    done = completed(app, "--data", str(easy_csv), "--set", setting, "--out", "parts")
    assert done.returncode == ExitCode.MISTYPED
    mentions(done.stderr, "--set", setting.partition("=")[0])
    assert not Path("parts").exists()


def test_an_unknown_setting_is_named() -> None:
    done = completed(app, "--set", "split_seed=3", "--out", "others")
    assert done.returncode == ExitCode.MISTYPED
    mentions(done.stderr, "unknown setting", "data.split_seed")


def test_a_study_and_data_are_not_given_together(study: Path) -> None:
    done = completed(app, "--study", "quick", "--data", str(study), "--out", "parts")
    assert done.returncode == ExitCode.MISTYPED
    mentions(done.stderr, "--study", "--data")

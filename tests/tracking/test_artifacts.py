"""Tables that runs keep: what was written is read back, and nothing else swells or passes."""

from __future__ import annotations

import csv
import io
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gru_bench.results.runs import Predictions
from gru_bench.stats.scores import scores
from gru_bench.tracking.artifacts import class_table, prediction_table, predictions_of, texts_of
from gru_bench.tracking.writer import _parquet, _text_table
from tests.support.fake_store import TestSet
from tests.support.values import present


def packed(columns: dict[str, object]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def columns() -> dict[str, Any]:
    table = prediction_table(TestSet.draw(50).predictions(np.random.default_rng(1), np.zeros(50), 0.0))
    return dict(zip(table.column_names, table.columns, strict=True))


def test_predictions_and_texts_are_read_as_they_were_written() -> None:
    drawn = TestSet.draw(300).predictions(np.random.default_rng(1), np.zeros(300), 0.0)
    found = predictions_of(_parquet(prediction_table(drawn)))
    for one in fields(Predictions):
        was, now = getattr(drawn, one.name), getattr(found, one.name)
        assert np.array_equal(was, now)
        assert np.asarray(was).dtype.kind == np.asarray(now).dtype.kind
    texts = {name: f"review {name}\n" for name in drawn.example_id_N}
    assert texts_of(_parquet(_text_table(list(texts), list(texts.values())))) == texts


def several(classes: int, examples: int = 40) -> Predictions:
    """Predictions of several classes."""
    drawn = TestSet.draw(examples).predictions(np.random.default_rng(1), np.zeros(examples), 0.0)
    generator = np.random.default_rng(2)
    return replace(
        drawn, label_N=generator.integers(classes, size=examples).astype(np.int16 if classes > 128 else np.int8),
        probability_NC=generator.dirichlet(np.full(classes, 0.1), size=examples).astype(np.float32))


@pytest.mark.parametrize("classes", [3, 50])
def test_all_probabilities_of_up_to_fifty_classes_are_kept(classes: int) -> None:
    drawn = several(classes)
    found = predictions_of(_parquet(prediction_table(drawn)))
    assert found.whole
    assert np.array_equal(found.probability_NC, drawn.probability_NC)
    assert np.array_equal(found.label_N, drawn.label_N)


@pytest.mark.parametrize("classes", [51, 1000])
def test_of_more_classes_the_true_one_and_the_likeliest_are_kept(classes: int) -> None:
    drawn = several(classes)
    found = predictions_of(_parquet(prediction_table(drawn)))
    assert not found.whole
    assert found.probability_NC.shape == drawn.probability_NC.shape
    kept = found.probability_NC > 0
    assert (kept.sum(axis=1) <= 6).all()
    assert np.array_equal(found.probability_NC[kept], drawn.probability_NC[kept])
    wanted = scores(drawn.label_N, drawn.probability_NC, whole=False)
    assert scores(found.label_N, found.probability_NC, whole=False) == wanted
    assert wanted.keys() == {"accuracy", "macro_f1", "loss", "calibration_error"}


@pytest.mark.parametrize(("change", "text"), [
    ({"label": pa.array([3] * 40)}, "labels must be 0 to 2"),
    ({"probabilities": pa.array([[0.5, 0.5, 1.5]] * 40, pa.list_(pa.float32(), 3))}, "must lie between 0 and 1"),
    ({"probabilities": pa.array([[0.5, None, 0.5]] * 40, pa.list_(pa.float32(), 3))}, "missing values"),
    ({"probabilities": pa.array([None, *[[0.5, 0.5, 0.0]] * 39], pa.list_(pa.float32(), 3))}, "to be of size=3"),
    ({"probabilities": pa.array([[0.5, 0.5]] * 40)}, "its column 'probabilities' contains list"),
    ({"probabilities": pa.array([[1.0]] * 40, pa.list_(pa.float32(), 1))}, "2 to 1000 classes, but is about 1"),
    ({"likeliest": pa.array([[0, 1]] * 40, pa.list_(pa.int16(), 2)), "true_probability": pa.array([0.5] * 40)},
     "2 to 1000 classes, but is about 0"),
])
def test_predictions_of_several_classes_of_another_form_are_refused(change: dict[str, pa.Array], text: str) -> None:
    table = prediction_table(several(3))
    for name, values in change.items():
        place = table.column_names.index(name) if name in table.column_names else table.num_columns
        table = (table.set_column(place, name, values) if place < table.num_columns
                 else table.append_column(name, values))
    with pytest.raises(ValueError, match=text):
        predictions_of(_parquet(table))


@pytest.mark.parametrize("classes", [2, 4])
def test_the_table_of_classes_has_the_scores_of_each(classes: int) -> None:
    drawn = several(4) if classes == 4 else TestSet.draw(60).predictions(np.random.default_rng(1), np.zeros(60), 0.0)
    names = ["a, b", "ü", "3", "😀"][:classes]
    rows = list(csv.DictReader(io.StringIO(class_table(drawn, names).decode())))
    assert [row["class"] for row in rows] == names
    assert sum(int(row["examples"]) for row in rows) == len(drawn)
    found = scores(drawn.label_N, drawn.probability_NC)
    assert np.mean([float(row["f1"]) for row in rows]) == pytest.approx(found["macro_f1"])
    areas = [float(row["roc_auc"]) for row in rows]
    assert (areas[1] if classes == 2 else np.mean(areas)) == pytest.approx(found["roc_auc"])


@pytest.mark.parametrize(("change", "text"), [
    ({"label": [2] * 50}, "labels must be 0 or 1"),
    ({"label": ["1"] * 50}, "its column 'label' contains string"),
    ({"probability": [float("nan")] * 50}, "probabilities must lie between 0 and 1"),
    ({"probability": [1.5] * 50}, "probabilities must lie between 0 and 1"),
    ({"probability": [None, *[0.5] * 49]}, "its column 'probability' has missing values"),
    ({"example_id": [None, *["x"] * 49]}, "its column 'example_id' has missing values"),
    ({"example_id": [1] * 50}, "its column 'example_id' contains int64"),
    ({"example_id": [["x"]] * 50}, "its column 'example_id' contains list"),
    ({"category": None}, "it has no column 'category'"),
    ({"tokens": [-1] * 50}, "its counts of tokens"),
    ({"dropped": [2**40] * 50}, "its counts of tokens"),
    ({"tokens": None}, "it has no column 'tokens'"),
])
def test_predictions_of_another_form_are_refused(change: dict[str, object], text: str) -> None:
    whole = {name: values for name, values in (columns() | change).items() if values is not None}
    with pytest.raises(ValueError, match=text):
        predictions_of(packed(whole))


def test_an_empty_table_and_a_damaged_file_are_refused() -> None:
    with pytest.raises(ValueError, match="it contains no example"):
        predictions_of(packed({name: values[:0] for name, values in columns().items()}))
    for content in (b"", b"PAR1", b"PAR1" * 100, packed(columns())[:-20]):
        with pytest.raises(ValueError, match=r"."):
            predictions_of(content)


def test_names_of_rows_and_groups_are_read_as_they_were_written() -> None:
    drawn = TestSet.draw(40).predictions(np.random.default_rng(1), np.zeros(40), 0.0)
    names_N = np.array([f"é {n}" for n in range(40)])
    named = replace(drawn, name_N=names_N, group_N=names_N[np.arange(40) // 4])
    table = prediction_table(named)
    found = predictions_of(_parquet(table))
    for written, read in ((named.name_N, found.name_N), (named.group_N, found.group_N)):
        assert np.array_equal(present(written), present(read))
    assert "group" not in prediction_table(replace(named, group_N=None)).column_names
    assert predictions_of(_parquet(table.drop_columns(["row"]))).name_N is None
    ordered = named.of(np.arange(40)[::-1]).by_id()
    assert np.array_equal(present(ordered.name_N), names_N)
    assert ordered.whole

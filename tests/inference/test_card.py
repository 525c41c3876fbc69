"""The model card: front matter that hubs can read, what must be stated, and nothing of the data's texts."""

from __future__ import annotations

import ast
import re
import shlex
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt

from gru_bench.data.corpus import load_corpus
from gru_bench.inference.card import model_card, scores_of
from gru_bench.inference.winner import Winner, choose, load
from gru_bench.models.trained import TrainedModel
from gru_bench.report.document.numbers import NBSP
from tests.inference.conftest import Studied
from tests.support.commands import mentions
from tests.support.trained_study import seed_of
from tests.support.values import present


@dataclass(frozen=True)
class Loaded:
    winner: Winner
    model: TrainedModel


@pytest.fixture(scope="module")
def loaded(studied: Studied) -> Loaded:
    store = studied.store()
    winner = choose(store, store.study("quick"))
    return Loaded(winner, load(store, winner))


def front(card: str) -> dict[str, Any]:
    opening, matter, _ = card.split("---\n", 2)
    assert opening == ""
    found: dict[str, Any] = yaml.safe_load(matter)
    return found


def card_of(loaded: Loaded) -> str:
    return model_card(loaded.winner, loaded.model, scores_of(loaded.winner))


def test_the_front_matter_is_what_hubs_read(loaded: Loaded) -> None:
    found = front(card_of(loaded))
    assert found["library_name"] == "gru-bench"
    assert found["pipeline_tag"] == "text-classification"
    assert found["datasets"] == ["easy"]
    assert found["metrics"] == ["accuracy"]
    (entry,) = found["model-index"]
    (result,) = entry["results"]
    assert entry["name"] == "quick"
    assert result["dataset"]["split"] == "test"
    assert result["metrics"] == [{"type": "accuracy", "name": "test accuracy",
                                  "value": pytest.approx(present(loaded.winner.group.accuracy.value))}]


def test_the_scores_are_those_of_the_runs(loaded: Loaded, studied: Studied) -> None:
    scores = scores_of(loaded.winner)
    right_R = [np.mean((p.probability_NC[:, 1] >= 0.5) == p.label_N)
               for p in (result.predictions["test"] for result in studied.results)]
    assert scores["value"] == pytest.approx(np.mean(right_R))
    assert scores["means"]["score/test_accuracy"] == pytest.approx(np.mean(right_R))
    losses = [-np.log(p.probability_NC[np.arange(len(p)), p.label_N]).mean()
              for p in (result.predictions["validation"] for result in studied.results)]
    assert scores["means"]["score/val_loss"] == pytest.approx(np.mean(losses), rel=1e-4)
    assert scores["seeds"] == [10_000, 10_001]


def test_a_card_states_data_classes_score_limits_and_use(loaded: Loaded) -> None:
    card = card_of(loaded)
    group = loaded.winner.group
    data = load_corpus(loaded.model.config.data)
    mentions(
        card, "# quick: torch", "2 classes", "0, 1.", "seeds 10000, 10001", data.fingerprint,
        f"{len(data.train):,} training", f"{len(data.validation):,} validation", f"{len(data.test):,} test",
        f"**{group.score.text.replace(NBSP, ' ')}", "mean of 2 seeds",
        f"{len(loaded.model.words_V) - 1:,} words", "400 known words", "not calibrated", "gru-bench predict --model .",
        "A text of yours.", "| model.hidden_size | 5 |", "| data.max_length | 400 |",
        "`gru-bench sweep --study quick.toml --data easy.csv`")
    assert [line[3:] for line in card.splitlines() if line.startswith("## ")] == [
        "Data", "Scores", "Limits", "Use", "Settings"]


def test_an_interval_is_shown_with_its_method(loaded: Loaded) -> None:
    group = replace(loaded.winner.group)
    number = replace(group.accuracy, value=0.9, low=0.85, high=0.95, method="95 % interval: bootstrap")
    group.__dict__["score"] = number  # of five seeds, which take longer to train
    five = replace(loaded, winner=replace(loaded.winner, group=group))
    card, scores = card_of(five), scores_of(five.winner)
    low, high = number.ends
    assert (scores["low"], scores["high"]) == (0.85, 0.95)
    assert f"[{low.text}, {high.text}] %".replace(NBSP, " ") in card
    assert "95 % interval: bootstrap" in card


def test_a_sentence_on_a_better_baseline_is_complete(loaded: Loaded) -> None:
    said = ("the baseline TF-IDF + logistic regression scores better than this model: test accuracy 76.5 %, and "
            "here 57.0 %")
    scores = {**scores_of(loaded.winner), "better_baseline": said}
    assert f"Note: {said}." in model_card(loaded.winner, loaded.model, scores)


def test_a_card_gives_the_temperature(loaded: Loaded) -> None:
    card = card_of(replace(loaded, model=replace(loaded.model, temperature=1.2345)))
    mentions(card, "calibrated on the validation texts (temperature 1.234)", "of a seed before calibration is")
    assert "not calibrated" not in card


def test_one_seed_is_one_model(loaded: Loaded) -> None:
    card = card_of(replace(loaded, model=seed_of(loaded.model, 1)))
    mentions(card, "one seed (10001)", "those of one seed")


def test_no_text_of_the_data_is_in_a_card(loaded: Loaded) -> None:
    card = card_of(loaded)
    corpus = load_corpus(loaded.model.config.data)
    texts = [text for split in ("train", "validation", "test") for text in corpus.texts(split)]
    assert len(texts) > 300
    assert not [text for text in texts if text in card]


def named(winner: Winner, name: str) -> Winner:
    """The winner of a study of data with another name."""
    return replace(winner, group=replace(winner.group, data=replace(present(winner.group.data), name=name)))


ODD = 'a: "b" \\ #c\n--- é \u2028 \x85\x9f\x7f \U0001f600 {x} [y] & * !'


def test_odd_names_are_escaped_in_the_front_matter(loaded: Loaded) -> None:
    odd = Loaded(named(loaded.winner, ODD), replace(loaded.model, study=ODD))
    found = front(card_of(odd))
    assert found["datasets"] == [ODD]
    assert found["model-index"][0]["name"] == ODD


def test_many_classes_are_counted(loaded: Loaded) -> None:
    names = tuple(f"class {place}\n" for place in range(1000))
    card = card_of(replace(loaded, model=replace(loaded.model, classes=names)))
    mentions(card, "1,000 classes", "class 199\\\\n and 800 more")


def test_names_from_outside_are_shown_and_not_rendered(loaded: Loaded) -> None:
    hostile = "<img src=x onerror=alert(1)> [a](javascript:alert(1)) \x1b[2J | `b`"
    model = replace(loaded.model, name=hostile, study=hostile, classes=(hostile, "good"))
    run = replace(loaded.winner.study.run, tags={"mlflow.source.name": "gru-bench sweep --data `` <b>"})
    winner = named(replace(loaded.winner, study=replace(loaded.winner.study, run=run)), hostile)
    card = card_of(Loaded(winner, model))
    assert yaml.safe_load(card.split("---\n", 2)[1])["model-index"][0]["name"] == hostile
    shown = MarkdownIt("gfm-like", {"linkify": False}).render(card.split("---\n", 2)[2])
    assert "<img" not in shown
    assert "href" not in shown
    assert "<b>" not in shown
    assert "\x1b" not in card
    assert shown.count("&lt;img src=x onerror=alert(1)&gt; [a](javascript:alert(1)) \\x1b[2J | `b`") == 5


def test_the_card_compares_with_all_seeds_together_and_the_linear_models(loaded: Loaded) -> None:
    (together,) = loaded.winner.group.together.scores("accuracy")
    linear = [run for run in loaded.winner.study.baselines if run.model != "majority"]
    text = " ".join(card_of(loaded).split())
    mentions(text, f"all seeds together {100 * together:.1f} %",
             *(f"{100 * run.metrics['score/test_accuracy']:.1f} %" for run in linear))


@pytest.mark.parametrize("command", [
    """gru_bench.run_study('/home/ann/a client/reviews.csv', text='the text', label="it's", folder='/home/ann/out', """
    """tracking_uri='sqlite:////home/ann/mlflow.db', settings={'embedding.name': '..\\\\ann\\\\v.txt'})""",
    "gru-bench sweep --data=/home/ann/x.csv --test-data ../ann/y.csv --tracking-uri sqlite:////home/ann/mlflow.db "
    "--name 'of two' --storage '/home/ann/a b/journal'"])
def test_the_command_of_a_card_has_no_folders_and_can_be_read_again(command: str, loaded: Loaded) -> None:
    run = replace(loaded.winner.study.run, tags={"mlflow.source.name": command})
    card = card_of(replace(loaded, winner=replace(loaded.winner, study=replace(loaded.winner.study, run=run))))
    shown = re.search(r"`(gru(?:-bench |_bench\.).*?)`", card[card.index(command[:13]) - 1:].replace("\n", " "))
    assert shown is not None
    assert not re.search(r"ann|[/\\]", shown[1])
    if command.startswith("gru-bench"):
        assert shlex.split(shown[1]) == ["gru-bench", "sweep", "--data=x.csv", "--test-data", "y.csv", "--tracking-uri",
                                         "mlflow.db", "--name", "of two", "--storage", "journal"]
        return
    call = ast.parse(shown[1], mode="eval").body
    assert isinstance(call, ast.Call)
    assert [ast.literal_eval(value) for value in (*call.args, *(one.value for one in call.keywords))] == [
        "reviews.csv", "the text", "it's", "out", "mlflow.db", {"embedding.name": "v.txt"}]

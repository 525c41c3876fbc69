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
from gru_bench.document.numbers import NBSP
from gru_bench.evidence.candidates import Candidate, Candidates
from gru_bench.inference.card import model_card, scores_of
from gru_bench.inference.taken import asked, candidates, read
from gru_bench.models.trained import TrainedModel
from gru_bench.stats.calibration import calibrated
from tests.inference.conftest import Studied
from tests.support.commands import mentions
from tests.support.trained_study import seed_of
from tests.support.values import present


@dataclass(frozen=True)
class Loaded:
    chosen: Candidate
    every: Candidates
    model: TrainedModel


@pytest.fixture(scope="module")
def loaded(studied: Studied) -> Loaded:
    store = studied.store()
    every = candidates(store, store.study("quick"))
    chosen = asked(every, "quick", "torch")
    model = read(store, chosen)
    return Loaded(chosen, every, model)


def front(card: str) -> dict[str, Any]:
    opening, matter, _ = card.split("---\n", 2)
    assert opening == ""
    found: dict[str, Any] = yaml.safe_load(matter)
    return found


def card_of(loaded: Loaded) -> str:
    return model_card(loaded.chosen, loaded.every, loaded.model, scores_of(loaded.chosen))


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
                                  "value": pytest.approx(present(loaded.chosen.accuracy.value))}]


def test_the_scores_are_those_of_all_seeds_together(loaded: Loaded, studied: Studied) -> None:
    scores = scores_of(loaded.chosen)
    mean_NC = np.mean([result.predictions["test"].by_id().probability_NC for result in studied.results], axis=0)
    label_N = studied.results[0].predictions["test"].by_id().label_N
    right = np.mean((mean_NC[:, 1] >= 0.5) == label_N)
    assert scores["value"] == scores["scores"]["score/test_accuracy"] == pytest.approx(right)
    read = [result.predictions["validation"].by_id() for result in studied.results]
    mean_NC = calibrated(np.mean([one.probability_NC for one in read], axis=0), loaded.chosen.temperatures[0])
    loss = -np.log(mean_NC[np.arange(len(mean_NC)), read[0].label_N]).mean()
    assert scores["scores"]["score/val_loss"] == pytest.approx(loss, rel=1e-4)
    assert scores["test_texts"] == len(label_N)


def test_a_card_states_data_classes_score_limits_and_use(loaded: Loaded) -> None:
    card = card_of(loaded)
    group = loaded.chosen
    data = load_corpus(loaded.model.config.data)
    mentions(
        card, "# quick: Torch GRU (all seeds)", "2 classes", "0, 1.", "seeds 10000, 10001", data.fingerprint,
        f"{len(data.train):,} training", f"{len(data.validation):,} validation", f"{len(data.test):,} test",
        f"**{group.score.text.replace(NBSP, ' ')}", "95 % interval",
        f"{len(loaded.model.words_V) - 1:,} words", "400 known words", "not calibrated", "gru-bench predict --model .",
        "A text of yours.", "| model.hidden_size | 5 |", "| data.max_length | 400 |",
        "`gru-bench sweep --study quick.toml --data easy.csv`")
    assert [line[3:] for line in card.splitlines() if line.startswith("## ")] == [
        "Data", "Scores", "Limits", "Use", "Settings"]


def test_a_card_gives_the_temperature(loaded: Loaded) -> None:
    card = card_of(replace(loaded, chosen=replace(loaded.chosen, temperatures=(1.2345,))))
    mentions(card, "calibrated on the validation texts (temperature 1.234)")
    assert "not calibrated" not in card


def test_one_seed_is_one_model(loaded: Loaded) -> None:
    mentions(card_of(replace(loaded, model=seed_of(loaded.model, 1))), "one seed (10001)")


def test_no_text_of_the_data_is_in_a_card(loaded: Loaded) -> None:
    card = card_of(loaded)
    corpus = load_corpus(loaded.model.config.data)
    texts = [text for split in ("train", "validation", "test") for text in corpus.texts(split)]
    assert len(texts) > 300
    assert not [text for text in texts if text in card]


def named(chosen: Candidate, name: str) -> Candidate:
    """A candidate of a study of data with another name."""
    return replace(chosen, data=replace(present(chosen.data), name=name))


ODD = 'a: "b" \\ #c\n--- é \u2028 \x85\x9f\x7f \U0001f600 {x} [y] & * !'


def test_odd_names_are_escaped_in_the_front_matter(loaded: Loaded) -> None:
    odd = replace(loaded, chosen=named(loaded.chosen, ODD), model=replace(loaded.model, study=ODD))
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
    run = replace(loaded.chosen.study.run, tags={"mlflow.source.name": "gru-bench sweep --data `` <b>"})
    chosen = named(replace(loaded.chosen, label=hostile, study=replace(loaded.chosen.study, run=run)), hostile)
    card = card_of(replace(loaded, chosen=chosen, model=model))
    assert yaml.safe_load(card.split("---\n", 2)[1])["model-index"][0]["name"] == hostile
    shown = MarkdownIt("gfm-like", {"linkify": False}).render(card.split("---\n", 2)[2])
    assert "<img" not in shown
    assert "href" not in shown
    assert "<b>" not in shown
    assert "\x1b" not in card
    assert shown.count("&lt;img src=x onerror=alert(1)&gt; [a](javascript:alert(1)) \\x1b[2J | `b`") == 5


@pytest.mark.parametrize("command", [
    """gru_bench.run_study('/home/ann/a client/reviews.csv', text='the text', label="it's", folder='/home/ann/out', """
    """tracking_uri='sqlite:////home/ann/mlflow.db', settings={'embedding.name': '..\\\\ann\\\\v.txt'})""",
    "gru-bench sweep --data=/home/ann/x.csv --test-data ../ann/y.csv --tracking-uri sqlite:////home/ann/mlflow.db "
    "--name 'of two' --storage '/home/ann/a b/journal'"])
def test_the_command_of_a_card_has_no_folders_and_can_be_read_again(command: str, loaded: Loaded) -> None:
    run = replace(loaded.chosen.study.run, tags={"mlflow.source.name": command})
    card = card_of(replace(loaded, chosen=replace(loaded.chosen, study=replace(loaded.chosen.study, run=run))))
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

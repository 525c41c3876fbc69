"""Studies that follow the homework's protocol: their runs and settings, and how they depart from the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gru_bench.config import Scalar
from gru_bench.report.document.numbers import Number, Numbers, file_name, plain, slug, written
from gru_bench.report.document.sentences import Sentence, joined
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import ModelRuns, model_name
from gru_bench.report.evidence.progress import study_name
from gru_bench.report.evidence.settings import as_number, setting
from gru_bench.report.homework import published
from gru_bench.results.runs import DataSummary
from gru_bench.tracking import LoggedStudy

NAMES: Mapping[str, str] = {
    "embedding.name": "word vectors",
    "embedding.scale": "factor on each vector",
    **{name: words for name, (words, _) in published.PROTOCOL.items()},
    "model.relu": "ReLU before the last linear layer",
}
"""The settings that the table of the training shows, in its order. It also shows those of `published.UNUSED` in use."""
_ALL_NAMES = {**NAMES, **published.UNUSED}
IN_WORDS: Mapping[str, Mapping[Scalar, str]] = {
    "model.bidirectional": {None: "as the model’s name says", True: "both"},
    "embedding.unknown": {"drop": "left out", "draw": "a vector at random"},
    "model.reset": {"after": "after the product", "before": "before the product"},
    "training.bucket": {False: "shuffled", True: "shuffled among like lengths"},
    "training.drop_last": {False: "used", True: "dropped"},
    "training.selection": {
        "lowest_train_window": "the lowest training loss", "best_validation": "the best validation score",
    },
    "data.max_length": {None: "all"},
    "data.limit": {None: "all"},
}
"""Setting -> words for those of its values that are not numbers, other than no, yes and none."""
OTHER_VECTORS: Mapping[str, str] = {
    "corpus": "trained on the training reviews", "random": "drawn at random", "glove-6b-50d": "GloVe’s",
}
"""Word vectors that are not the homework's, with words for them."""


@dataclass(frozen=True)
class Reproduction:
    """One study that follows the homework's protocol, with its groups of confirmation runs by model."""

    numbers: Numbers
    """Makes the numbers that the study's own run holds."""
    name: str
    """Its name; empty where there is one such study only."""
    study: LoggedStudy
    groups: Mapping[str, ModelRuns]
    data: DataSummary

    @property
    def these_runs(self) -> str:
        """Return what a sentence calls its runs."""
        return f"the runs of {self.name}" if self.name else "these runs"

    def titled(self, title: str) -> str:
        """Return the title of a table, with the study's name where there are several."""
        return f"{title}, {self.name}" if self.name else title


def reproductions(evidence: Evidence) -> tuple[Reproduction, ...]:
    """Return the studies of the homework's protocol that have confirmation runs, unfinished ones included."""
    found = []
    for study in evidence.studies:
        groups = {group.model: group for group in evidence.groups if group.study is study}
        data = next((group.data for group in groups.values()), None)
        known = study.plan() if study.summary is None else study.summary
        if data is not None and known.protocol == "homework":
            found.append((study_name(study), study, groups, data))
    return tuple(
        Reproduction(evidence.numbers.named("of", name, same=study.run.run_id).on([study.run.run_id]),
                     name if len(found) > 1 else "", study, groups, data)
        for name, study, groups, data in found)


def names_shown(groups: Iterable[ModelRuns]) -> dict[str, str]:
    """Return setting -> words for the settings that the table of the training shows for these groups."""
    used = {name for group in groups for name, off in published.OFF.items() if group.settings[name] != off}
    return {name: words for name, words in _ALL_NAMES.items() if name in NAMES or name in used}


def shown_setting(group: ModelRuns, name: str) -> Number | str:
    """Return a setting of a group as it is shown: a number where it is one, else words."""
    value = group.settings[name]
    if as_number(value) is None:
        return in_words(name, value)
    return setting(group.of_runs, f"protocol.{slug(name)}", value)


def in_words(name: str, value: Scalar) -> str:
    """Return a setting's value as text; for a file, its name."""
    if name == "embedding.name":
        kind = OTHER_VECTORS.get(str(value))
        return f"vectors {kind}" if kind else file_name(str(value))
    number = as_number(value)
    words = {False: "no", True: "yes", None: "none", **IN_WORDS.get(name, {})}
    return words.get(value, plain(str(value))) if number is None else written(number, "setting")


def departures(one: Reproduction) -> Sentence:
    """Return how the runs depart from the homework's protocol; empty where they do not."""
    parts: list[Sentence] = []
    if one.data.embedding in OTHER_VECTORS:
        vectors = OTHER_VECTORS[one.data.embedding]
        parts.append((f"the word vectors are {vectors} (homework: word2vec of a news corpus)",))
    if one.data.embedding_dimension != published.DIMENSION:
        parts.append(("a vector has ", one.numbers.add("departs.dimension", one.data.embedding_dimension, "count"),
                      f" numbers (homework: {published.DIMENSION})"))
    for model, group in one.groups.items():
        relu = published.RELU.get(model, group.config.model.relu)
        parts += (
            (f"{model_name(model)}, {_ALL_NAMES[name]}: ", shown_setting(group, name),
             f" (homework: {in_words(name, theirs)})")
            for name, theirs in {**published.SETTINGS, "model.relu": relu, **published.OFF}.items()
            if group.settings[name] != theirs)
    if not parts:
        return ()
    return ("These runs differ from the homework’s protocol as follows: ", *joined(parts, "; "), ".")

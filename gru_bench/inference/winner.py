"""The winner of a study: which of its models it is, and how its weights are read from the tracking store.

Validation scores of the confirm seeds decide, never the test reviews. What a run predicted for a few test reviews is
computed again when its weights are read: other data, words or vectors than in training would be noticed.

Shapes: `S` seeds, `N` test reviews.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from gru_bench import cli
from gru_bench.config import RunConfig
from gru_bench.data.corpus import Corpus, Split, load_corpus
from gru_bench.data.vectors import Vectors, load_vectors
from gru_bench.errors import DataError, GruBenchError, IncompleteError, RunError, UsageError, unknown, without_passwords
from gru_bench.models.trained import TrainedModel
from gru_bench.report.evidence.groups import Group, confirm_groups
from gru_bench.report.evidence.store import Store as ReportStore
from gru_bench.results.logged_metrics import PARAMETERS, compared, score
from gru_bench.stats.together import mean_probability
from gru_bench.tracking import LoggedStudy, Store

REPEATED = 64
"""Largest number of logged test predictions that are computed again."""
TOLERANCE = 0.02
"""Largest difference of a probability that is computed again. Kernels of other machines differ by less than 0.001;
other words or vectors differ by tenths."""


@dataclass(frozen=True)
class Winner:
    """A model of a study, with its complete confirm runs."""

    study: LoggedStudy
    group: Group
    """The confirm runs that belong together, as a report shows them."""
    beaten: tuple[str, ...]
    """Names of the study's other models."""

    @property
    def name(self) -> str:
        """Return the name of the model."""
        return self.group.model


def find_study(store: Store, name: str) -> LoggedStudy:
    """Return the newest study of this name.

    Raises:
        UsageError: for an unknown study. The error lists the known ones.
    """
    studies = [study for experiment in store.experiments() for study in store.studies(experiment)]
    found = [study for study in studies if study.run.study == name]
    where = without_passwords(store.uri)
    if not found:
        known = {study.run.study for study in studies}
        if not known:
            raise UsageError(f"--study must name a study in {where}, but there is none yet: "
                             f"{cli.line(['gru-bench', 'sweep', '--study', 'smoke'])} runs one")
        raise unknown("study", name, known, f"These are the studies in {where}.")
    return max(found, key=lambda study: study.run.started)


def choose(store: ReportStore, study: LoggedStudy, model: str | None = None) -> Winner:
    """Return the winner of a study, or the model that is named.

    Of several models, the one with the best mean validation score over its confirm seeds wins, by the score that the
    study is about. Ties go to the lower validation log loss, then to fewer parameters.

    Args:
        store: Store of the study.
        study: The study.
        model: Name of a model of the study. None: the winner.

    Raises:
        IncompleteError: where the study has no complete confirm run.
        UsageError: for an unknown model, and where the runs have no validation scores and the study has several models.
    """
    groups, _ = confirm_groups([study], store)
    name = study.run.study
    if not groups:
        raise IncompleteError(f"the study {name!r} must have a complete confirm run, because only these have weights, "
                              f"but it has none yet: the same command continues it ({study.run.command})")
    by_model = {group.model: group for group in groups}
    if model is None:
        model = _best(study, groups)
    if model not in by_model:
        raise unknown("model", model, by_model, f"These are the models of the study {name!r} with confirm runs.")
    return Winner(study, by_model[model], tuple(other for other in by_model if other != model))


def _best(study: LoggedStudy, groups: Sequence[Group]) -> str:
    if len(groups) == 1:
        return groups[0].model
    metric = study.plan().metric
    deciding, loss = compared(metric, "val"), score("loss", "val")
    sign = -1 if deciding.higher_is_better else 1

    def rank(group: Group) -> tuple[float, float, float]:
        return (sign * fmean(run.metrics[deciding.key] for run in group.runs),
                fmean(run.metrics[loss.key] for run in group.runs),
                group.runs[0].metrics.get(PARAMETERS.key, 0.0))

    try:
        return min(groups, key=rank).model
    except KeyError:
        raise UsageError(f"the winner is chosen by validation scores, but the runs of the study {study.run.study!r} "
                         "have none: name one of its models by --model: "
                         f"{', '.join(group.model for group in groups)}") from None


def best_seed(winner: Winner) -> int:
    """Return the position of the seed with the best validation score, or 0 where there are none."""
    deciding = compared(winner.study.plan().metric, "val")
    sign = -1 if deciding.higher_is_better else 1
    values = [run.metrics.get(deciding.key) for run in winner.group.runs]
    return min(range(len(values)), key=lambda place: math.inf if (value := values[place]) is None else sign * value)


@dataclass(frozen=True)
class Loaded:
    """A model with its weights, and the data that it was trained on."""

    winner: Winner
    model: TrainedModel
    corpus: Corpus


def load(store: Store, winner: Winner, *, single: bool = False) -> Loaded:
    """Return the winner with the weights of all its confirm seeds.

    The words and the vectors that were not trained come from the data of the study, which must still be there.

    Args:
        store: Store of the study.
        winner: The model.
        single: Whether only the seed with the best validation score is read.

    Raises:
        RunError: where a run holds no weights. The error says how they come back.
        DataError: where the data are gone or have changed, so that the model would read other words.
    """
    place = best_seed(winner)
    runs = winner.group.runs[place:place + 1] if single else winner.group.runs
    read = []
    for run in runs:
        try:
            read.append(store.model(run.run_id))
        except RunError as error:
            raise _without_weights(winner, run.run_id, imported=bool(run.earlier_ids), error=error) from error
    config = read[0][0]
    corpus, vectors = _material(winner, config)
    model = TrainedModel(
        study=winner.study.run.study, name=winner.name, config=config,
        seeds=tuple(config.seed for config, _ in read), classes=corpus.classes, words_V=vectors.words_V,
        table_VE=None if config.embedding.trainable else vectors.table_VE,
        weights_S=tuple(weights for _, weights in read), run_ids=tuple(run.run_id for run in runs),
        best=0 if single else place)
    _repeat(winner, model, corpus, [list(winner.group.runs).index(run) for run in runs])
    return Loaded(winner, model, corpus)


def _material(winner: Winner, config: RunConfig) -> tuple[Corpus, Vectors]:
    """Return the data and the word vectors of the runs.

    Raises:
        DataError: where the data are gone or have changed.
    """
    data = config.data.name
    remedy = (f"put them back, or use a folder that was saved where they are ({_save(winner)}, then "
              f"{cli.line(['gru-bench', 'predict', '--model', 'DIR'])})")
    try:
        corpus = load_corpus(config.data)
        vectors = load_vectors(config.embedding, corpus)
    except GruBenchError as error:
        raise DataError(f"the words of the study {winner.study.run.study!r} come from its data {data!r}, which must be "
                        f"there, but: {error}. Or use a saved model: {_save(winner)} where the data are") from error
    known = winner.group.fingerprint
    if known and corpus.fingerprint != known:
        raise DataError(f"the data must be what the study {winner.study.run.study!r} was trained on, but {data} has "
                        f"changed since (fingerprint {corpus.fingerprint}, then {known}): {remedy}")
    return corpus, vectors


def _save(winner: Winner) -> str:
    return cli.line(["gru-bench", "save-model", "--study", winner.study.run.study, "DIR"])


def _without_weights(winner: Winner, run_id: str, *, imported: bool, error: RunError) -> RunError:
    study = winner.study.run.study
    again = f"delete the runs in MLflow and run the sweep again, which trains them anew ({winner.study.run.command})"
    if imported:
        again = (f"import an archive that was exported without --no-weights under another name "
                 f"({cli.line(['gru-bench', 'archive', 'import', 'FILE', '--study-name', f'{study}-2'])}), or {again}")
    return RunError(f"the run {run_id} of the study {study!r} must hold its weights, but they cannot be read "
                    f"({error}): {again}")


def tokens_of(corpus: Corpus, split: Split) -> list[list[str]]:
    """Return the tokens of each example of a split."""
    words = np.array(corpus.words, dtype=object)
    return [words[split.ids[start:end]].tolist() for start, end in itertools.pairwise(split.offsets_N1.tolist())]


def _repeat(winner: Winner, model: TrainedModel, corpus: Corpus, places: Sequence[int]) -> None:
    """Compute some logged test predictions again.

    Raises:
        DataError: where they differ from what was logged.
    """
    from gru_bench.inference.predictor import Predictor

    group = winner.group
    position = {name: place for place, name in enumerate(corpus.test.example_id_N.tolist())}
    known = [place for place, name in enumerate(group.example_N.tolist()) if name in position]
    step = max(1, len(known) // REPEATED)
    some = known[::step][:REPEATED]
    if not some:
        return
    split = corpus.test.select(np.array([position[str(group.example_N[place])] for place in some], np.int64))
    predictor = Predictor(model)
    got_NC = predictor.predict_tokens(tokens_of(corpus, split)).probability_NC
    logged_NC = mean_probability(group.probability_RNC[places][:, some])
    if group.whole and (worst := float(np.abs(got_NC - logged_NC).max())) > TOLERANCE:
        raise DataError(f"the model must predict for test reviews what its runs logged, but differs by up to "
                        f"{worst:.2f}: the word vectors {model.config.embedding.name!r} are others than in training; "
                        f"use a model that was saved where it was trained ({_save(winner)})")

"""Summaries of a study: of its data, of its trials, and of the accuracy of its confirmation runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gru_bench.data.batches import encode
from gru_bench.data.corpus import Corpus
from gru_bench.data.vectors import Vectors
from gru_bench.results.baselines import AVERAGE
from gru_bench.results.logged_metrics import SEARCH_SECONDS, STUDY_SECONDS, Metric, importance, trials_in
from gru_bench.results.runs import DataSummary, StudySummary
from gru_bench.stats.estimate import Estimate, EvidenceLevel
from gru_bench.stats.intervals import interval
from gru_bench.stats.scores import best_trial, over_seeds
from gru_bench.sweep.identity import objective
from gru_bench.sweep.plan import StudyState
from gru_bench.sweep.search import IMPORTANCE_METHOD, Search
from gru_bench.sweep.spec import StudySpec

if TYPE_CHECKING:
    from gru_bench.evidence.collect import Evidence
    from gru_bench.tracking import LoggedRun


def data_summary(spec: StudySpec, corpus: Corpus, vectors: Vectors) -> DataSummary:
    """Return a summary of the data of a study, as its models read it."""
    splits = (corpus.train, corpus.validation, corpus.test)
    label_N = np.concatenate([split.label_N for split in splits])
    category_N = np.concatenate([split.category_N for split in splits])
    names, counts = np.unique(category_N, return_counts=True)
    encoded = [encode(split, vectors, spec.base.data.max_length) for split in splits]
    seen_groups, seen_texts = corpus.seen_groups
    dropped = sum(int(part.dropped_N.sum()) for part in encoded)
    return DataSummary(
        name=corpus.name, fingerprint=corpus.fingerprint, train=len(corpus.train), validation=len(corpus.validation),
        test=len(corpus.test), positive_share=float((label_N == 1).mean()),
        categories={str(name): int(count) for name, count in zip(names, counts, strict=True) if name},
        repeats_removed=corpus.repeats_removed, test_repeats_removed=corpus.test_repeats_removed,
        vocabulary=len(corpus.words), embedding=spec.base.embedding.name, embedding_dimension=vectors.dimension,
        covered_words=int((vectors.row_of_word >= 0).sum()),
        dropped_share=dropped / max(1, sum(len(split.ids) for split in splits)),
        max_length=spec.base.data.max_length,
        cut_share=float(np.concatenate([part.cut_N for part in encoded]).mean()),
        available=corpus.available, classes=corpus.classes,
        class_counts=tuple(np.bincount(label_N, minlength=len(corpus.classes)).tolist()),
        vector_norm=vectors.mean_norm, vector_cosine=vectors.mean_cosine, vector_passes=vectors.passes,
        groups=corpus.groups, group_column=corpus.group_column, has_strata=corpus.has_strata,
        seen_groups=seen_groups, seen_group_reviews=seen_texts, near=corpus.near, text_labels=corpus.text_labels)


def study_summary(
    state: StudyState, data: DataSummary, searches: Mapping[str, Search], *,
    seconds: float, search_seconds: float, notes: Sequence[str],
) -> StudySummary:
    """Return the summary of a study, which is logged as study.json.

    Args:
        state: The study as it was last read.
        data: Summary of its data.
        searches: Model -> its search.
        seconds: Seconds that all starts took together.
        search_seconds: Those of them before the last search had ended.
        notes: Sentences for the reader on what happened during the study.
    """
    spec = state.spec
    return StudySummary(
        name=spec.name, purpose=spec.purpose, models=tuple(spec.models),
        space={key: span.described() for key, span in spec.space.items()}, sampler=spec.sampler, pruner=spec.pruner,
        objective=objective(spec), epochs=spec.base.training.epochs, search_seed=spec.seed,
        confirm_seeds=spec.confirm_seeds, metric=spec.metric,
        trials=tuple(trial for model in spec.models for trial in searches[model].trials()),
        best={model: search.best.settings for model, search in state.searches.items() if search.best is not None},
        best_value=state.best_values,
        importance={model: searches[model].importance() for model in spec.models},
        importance_method=IMPORTANCE_METHOD, data=data, seconds=seconds,
        search_seconds=search_seconds, notes=tuple(notes))


def study_metrics(summary: StudySummary) -> dict[str, float]:
    """Return the metrics of a study: key -> value."""
    states = [trial.state for trial in summary.trials]
    return {
        **{trials_in(state).key: float(states.count(state)) for state in ("complete", "pruned", "failed")},
        **{best_trial(model, summary.metric).key: value for model, value in summary.best_value.items()},
        **{importance(model, key).key: share for model, shares in summary.importance.items()
           for key, share in shares.items()},
        STUDY_SECONDS.key: summary.seconds,
        **({} if summary.search_seconds is None else {SEARCH_SECONDS.key: summary.search_seconds}),
    }


@dataclass(frozen=True)
class Confirmed:
    """Test score of the confirmation runs of one model."""

    estimate: Estimate
    """Mean score with its interval over seeds and texts."""
    by_seed: tuple[float, ...]
    """Score of each run."""

    def interval(self, metric: Metric) -> str:
        """Return the 95 % interval of the score, which is that of `metric`, as text, or why there is none."""
        if not self.estimate.has_interval:
            return f"{len(self.by_seed)} seeds: no interval"
        low, high = metric.written(self.estimate.low).removesuffix(" %"), metric.written(self.estimate.high)
        return f"{low} to {high}{' (test texts alone)' if self.estimate.evidence_level is EvidenceLevel.RUNS else ''}"


@dataclass(frozen=True)
class Conclusion:
    """What a study concludes from its logged runs, as far as known."""

    decision: str = ""
    """The decision in words; empty where no model is confirmed."""
    scores: Mapping[str, Confirmed] = field(default_factory=dict)
    """Name of each trained model (over its seeds), of the average and of each baseline -> its test score."""
    baselines: Sequence[LoggedRun] = ()
    """The runs of the baselines."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Key -> test score of a model, of the average or of a linear model, to four digits."""


def conclusion(evidence: Evidence) -> Conclusion:
    """Return what a study concludes from what it has logged."""
    from gru_bench.document.sentences import in_text
    from gru_bench.evidence.decision import decision_sentence
    from gru_bench.evidence.progress import baseline_runs

    average = [one for one in evidence.candidates.every if one.model == AVERAGE]
    tested = (*evidence.groups, *average)
    return Conclusion(
        in_text(decision_sentence(evidence)) if evidence.groups else "",
        {group.model: Confirmed(interval(group.metric, group), tuple(group.scores(group.metric)))
         for group in (*tested, *evidence.baselines)},
        [run for study in evidence.studies for run in baseline_runs(study)],
        {over_seeds(group.model, group.metric, part).key: round(float(value), 4)
         for group in (*tested, *evidence.baselines) if group.score.value is not None
         for part, value in (("mean", group.score.value), ("low", group.score.low), ("high", group.score.high),
                             ("seeds", len(group.runs))) if value is not None})

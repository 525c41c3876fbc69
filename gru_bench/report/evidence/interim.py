"""Studies whose confirmation stage has interim analyses: the plan that was logged, and what each found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gru_bench.report.document.numbers import Numbers
from gru_bench.report.evidence.baselines import linear_model
from gru_bench.report.evidence.groups import ModelRuns
from gru_bench.report.evidence.mixtures import Mixture
from gru_bench.report.evidence.progress import artifact, interim_plan, study_name
from gru_bench.report.evidence.store import Store
from gru_bench.results.interim import INTERIM, MIXTURE, InterimAnalysis, InterimPlan
from gru_bench.stats.interim import PairAnalyses, follow, scored_at
from gru_bench.tracking import LoggedStudy


@dataclass(frozen=True)
class StudyAnalyses:
    """The interim analyses of one study."""

    study: LoggedStudy
    numbers: Numbers
    """Makes the numbers that the study's own run gives."""
    plan: InterimPlan
    digest: str
    """The digest that was logged with the plan."""
    analyses: tuple[InterimAnalysis, ...]
    """As they were logged."""
    pairs: tuple[PairAnalyses, ...]
    """Computed again from the predictions of the runs that the interim analyses rest on."""
    groups: Mapping[str, ModelRuns]
    """Model -> its confirmation runs; the linear model is not among them."""
    lost: tuple[str, ...]
    """Seeds that an interim analysis rests on and that have no run any more: `torch 10003`."""

    @property
    def ended(self) -> bool:
        """Return whether no further interim analysis will be taken."""
        return bool(self.analyses) and self.analyses[-1].stops

    def of(self, a: str, b: str) -> PairAnalyses | None:
        """Return the pair of two models, with the first minus the second."""
        for pair in self.pairs:
            if pair.analyses and set(pair.pair) == {a, b}:
                return pair if pair.pair == (a, b) else pair.flipped()
        return None

    def runs_at(self, place: int, *groups: ModelRuns) -> tuple[str, ...]:
        """Return the ids of the runs of some models that the look at a place rests on."""
        seeds = self.analyses[place].seeds
        return tuple(run.run_id for group in groups for part in group.parts for run in part.runs
                     if part.is_fitted_once or run.seed in seeds[part.model])


def study_analyses(
    studies: Sequence[LoggedStudy], groups: Sequence[ModelRuns], baselines: Sequence[ModelRuns], store: Store,
    numbers: Numbers, mixtures: Sequence[Mixture] = (),
) -> tuple[StudyAnalyses, ...]:
    """Return the interim analyses of the studies that have planned some.

    Raises:
        RunError: A plan or its interim analyses cannot be read.
    """
    found = []
    for study in studies:
        if (planned := interim_plan(study, store)) is None:
            continue
        (plan, digest), own_run = planned, study.run.run_id
        own = {group.model: group for group in groups if group.study is study}
        analyses = artifact(study, store, INTERIM, list[InterimAnalysis]) or []
        mixture = next((one for one in mixtures if one.study is study), None)
        runs = {group.model: {run.seed: replace(group, probability_RNC=group.probability_RNC[place][None])
                              for place, run in enumerate(group.runs) if run.seed is not None}
                for group in (*own.values(), *([] if mixture is None else [mixture]))}
        lost = tuple(f"{model} {seed}" for one in analyses[-1:] for model, seeds in one.seeds.items() for seed in seeds
                     if seed not in runs.get(model, ()))
        # An interim analysis whose runs of a model are all gone cannot be followed.
        known = all(any(seed in runs.get(model, ()) for seed in analysis.seeds.get(model, ()))
                    for analysis in analyses for model in plan.models)
        linear = linear_model(baselines, next(iter(own.values()))) if own else None
        trained = None if mixture is None else mixture.trained.model
        mixed = [one if trained is None else replace(one, seeds={**one.seeds, MIXTURE: one.seeds[trained]})
                 for one in analyses] if known else []
        pairs = follow(plan, [scored_at(analysis, runs) for analysis in mixed],
                       None if linear is None else (linear.model, linear), trained) if known else []
        found.append(StudyAnalyses(
            study, numbers.of("interim").named(study_name(study), same=own_run).on([own_run]), plan, digest,
            tuple(analyses), tuple(pairs), own, lost))
    return tuple(found)

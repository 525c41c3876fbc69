"""Studies whose confirmation stage has looks: the plan that was logged, and what each look found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gru_bench.report.document.numbers import Numbers
from gru_bench.report.evidence.baselines import linear_model
from gru_bench.report.evidence.groups import ModelRuns
from gru_bench.report.evidence.mixtures import Mixture
from gru_bench.report.evidence.progress import artifact, look_plan, study_name
from gru_bench.report.evidence.store import Store
from gru_bench.results.looks import LOOKS, MIXTURE, Look, LookPlan
from gru_bench.stats.looks import PairLooks, follow, scored_at
from gru_bench.tracking import LoggedStudy


@dataclass(frozen=True)
class StudyLooks:
    """The looks of one study."""

    study: LoggedStudy
    numbers: Numbers
    """Makes the numbers that the study's own run gives."""
    plan: LookPlan
    digest: str
    """The digest that was logged with the plan."""
    looks: tuple[Look, ...]
    """As they were logged."""
    pairs: tuple[PairLooks, ...]
    """Computed again from the predictions of the runs that the looks rest on."""
    groups: Mapping[str, ModelRuns]
    """Model -> its confirmation runs; the linear model is not among them."""
    lost: tuple[str, ...]
    """Seeds that a look rests on and that have no run any more: `torch 10003`."""

    @property
    def ended(self) -> bool:
        """Return whether no further look will be taken."""
        return bool(self.looks) and self.looks[-1].stops

    def of(self, a: str, b: str) -> PairLooks | None:
        """Return the pair of two models, with the first minus the second."""
        for pair in self.pairs:
            if pair.looks and set(pair.pair) == {a, b}:
                return pair if pair.pair == (a, b) else pair.flipped()
        return None

    def runs_at(self, place: int, *groups: ModelRuns) -> tuple[str, ...]:
        """Return the ids of the runs of some models that the look at a place rests on."""
        seeds = self.looks[place].seeds
        return tuple(run.run_id for group in groups for part in group.parts for run in part.runs
                     if part.is_fitted_once or run.seed in seeds[part.model])


def study_looks(
    studies: Sequence[LoggedStudy], groups: Sequence[ModelRuns], baselines: Sequence[ModelRuns], store: Store,
    numbers: Numbers, mixtures: Sequence[Mixture] = (),
) -> tuple[StudyLooks, ...]:
    """Return the looks of the studies that have a plan of looks.

    Raises:
        RunError: A plan or its looks cannot be read.
    """
    found = []
    for study in studies:
        if (planned := look_plan(study, store)) is None:
            continue
        (plan, digest), own_run = planned, study.run.run_id
        own = {group.model: group for group in groups if group.study is study}
        looks = artifact(study, store, LOOKS, list[Look]) or []
        mixture = next((one for one in mixtures if one.study is study), None)
        runs = {group.model: {run.seed: replace(group, probability_RNC=group.probability_RNC[place][None])
                              for place, run in enumerate(group.runs) if run.seed is not None}
                for group in (*own.values(), *([] if mixture is None else [mixture]))}
        lost = tuple(f"{model} {seed}" for look in looks[-1:] for model, seeds in look.seeds.items() for seed in seeds
                     if seed not in runs.get(model, ()))
        # A look whose runs of a model are all gone cannot be followed.
        known = all(any(seed in runs.get(model, ()) for seed in look.seeds.get(model, ()))
                    for look in looks for model in plan.models)
        linear = linear_model(baselines, next(iter(own.values()))) if own else None
        trained = None if mixture is None else mixture.trained.model
        mixed = [look if trained is None else replace(look, seeds={**look.seeds, MIXTURE: look.seeds[trained]})
                 for look in looks] if known else []
        pairs = follow(plan, [scored_at(look, runs) for look in mixed],
                       None if linear is None else (linear.model, linear), trained) if known else []
        found.append(StudyLooks(
            study, numbers.of("looks").named(study_name(study), same=own_run).on([own_run]), plan, digest,
            tuple(looks), tuple(pairs), own, lost))
    return tuple(found)

"""The appendix on data and runs: what each data set holds, what became of every run, and the confirmation runs."""

from __future__ import annotations

from collections.abc import Sequence

from gru_bench.document.blocks import Block, Cell, Column, Details, Heading, Paragraph, Table, sentences
from gru_bench.document.numbers import MISSING, plain, slug
from gru_bench.document.report import Section
from gru_bench.document.sentences import Anchor, Sentence
from gru_bench.evidence.collect import Evidence
from gru_bench.evidence.groups import ModelRuns
from gru_bench.evidence.progress import study_name
from gru_bench.evidence.store import Store, known_run
from gru_bench.evidence.trials import ENDED, run_state
from gru_bench.report.sections.data import data

STATE = ("The state of every run. Other runs were interrupted or are unfinished. Only confirmation runs have test "
         "scores.")
STATES = (*ENDED, "other")
"""What has become of a run; killed, interrupted and running ones are the others."""


def runs(evidence: Evidence) -> Section:
    """Return the section on data and runs."""
    return Section("runs", "Data and runs", (
        *data(evidence),
        *_states(evidence),
        Heading("Confirmation runs", "confirm-runs"), _confirm_runs(evidence.groups, evidence.store),
        *(block for study in evidence.studies for block in (
            Paragraph((f"Study {study_name(study)}: ", known_run(study.run, evidence.store))),
            *sentences([(plain(note),) for note in (study.summary.notes if study.summary is not None else ())]))),
    ), appendix=True)


def _states(evidence: Evidence) -> list[Block]:
    """Return how many runs of each study ended in which state, by stage, and why some did not complete."""
    rows: list[tuple[Cell, ...]] = []
    incomplete: list[Block] = []
    for study in evidence.studies:
        name = study_name(study)
        key = evidence.numbers.named("runs", name, same=study.run.run_id).key
        for stage, stage_runs in (("search", study.trials), ("confirm", study.confirms)):
            if not stage_runs:
                continue
            by_state = {state: [run for run in stage_runs if run_state(run) == state] for state in STATES}
            rows.append((name, stage, *(
                evidence.numbers.on([run.run_id for run in some]).add(f"{key}-{stage}.{state}", len(some))
                for state, some in by_state.items())))
            reasons: list[Sentence] = [
                (f"{plain(run.name) or run.run_id}: {state}{plain(run.reason)[:200] or unknown}",)
                for state, found, unknown in (("failed: ", "failed", "no reason logged"),
                                              ("", "other", "interrupted or unfinished"))
                for run in by_state[found]]
            if reasons:
                incomplete.append(Details(f"Runs of {name}, {stage}, that did not complete", tuple(sentences(reasons))))
    return [] if not rows else [Table(
        "runs", "Runs by state", (STATE,),
        (Column("Study", align="left", width=5), Column("Stage", align="left"), Column("Complete"), Column("Pruned"),
         Column("Failed"), Column("Other")),
        tuple(rows), grouped=True), *incomplete]


def _confirm_runs(groups: Sequence[ModelRuns], store: Store) -> Table:
    """Return the confirmation runs of each model, to which the numbers computed from all of them or from one link."""
    rows: list[tuple[Cell, ...]] = []
    have_seeds = any(run.seed is not None for group in groups for run in group.runs)
    for group in groups:
        model: Cell = (Anchor(f"runs-of-{group.key}", group.ids, (group.label,)),)
        for run, accuracy in zip(group.runs, group.scores_by_run("accuracy"), strict=True):
            shown = known_run(run, store) if group.is_logged else plain(run.name)
            own = Anchor(f"run-{slug(run.run_id)}", (run.run_id,), (shown,))
            seed = MISSING if run.seed is None else str(run.seed)
            rows.append((model, (own,), *([seed] if have_seeds else []), accuracy))
            model = group.label
    return Table(
        "confirm", "Confirmation runs", ("The runs or files from which the results are computed.",),
        (Column("Model", align="left", width=4.6), Column("Run", align="left", width=6.6),
         *([Column("Seed", width=1.4)] if have_seeds else []), Column("Accuracy", "%")),
        tuple(rows), grouped=True)

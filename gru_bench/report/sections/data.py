"""The studies of a report, their data, and the state of every run."""

from __future__ import annotations

from collections.abc import Sequence

from gru_bench.report.document.numbers import Number, file_name, plain, slug
from gru_bench.report.document.report import DataView, KnownRun, RunCounts, StudyView
from gru_bench.report.evidence.groups import free_name
from gru_bench.report.evidence.progress import study_data
from gru_bench.report.evidence.store import Store
from gru_bench.report.sections.errors import UNCATEGORIZED
from gru_bench.results.runs import DataSummary
from gru_bench.tracking import LoggedRun, LoggedStudy


def study_view(study: LoggedStudy, store: Store) -> StudyView:
    """Return the name, purpose, notes and own run of a study."""
    summary = study.summary
    return StudyView(
        name=plain(study.run.study or study.run.name),
        purpose=plain(summary.purpose) if summary else "",
        run_id=study.run.run_id,
        url=store.run_url(study.run),
        notes=tuple(plain(note) for note in summary.notes) if summary else (),
    )


def known_runs(studies: Sequence[LoggedStudy], store: Store) -> tuple[KnownRun, ...]:
    """Return every run of the studies, the studies' own runs included."""
    return tuple(
        KnownRun(run.run_id, plain(run.name) or run.run_id, plain(run.study), store.run_url(run))
        for study in studies for run in (study.run, *study.trials, *study.confirms, *study.ablations)
    )


def data_views(studies: Sequence[LoggedStudy], store: Store) -> tuple[DataView, ...]:
    """Return the data of the studies, each once."""
    found: dict[str, tuple[DataSummary, list[str], list[str]]] = {}
    for study in studies:
        data = study_data(study, store)
        if data is not None:
            _, names, ids = found.setdefault(data.fingerprint, (data, [], []))
            names.append(plain(study.run.study or study.run.name))
            ids.append(study.run.run_id)
    views = []
    for place, (data, names, ids) in enumerate(found.values(), start=1):
        key, runs = f"data-{place}", tuple(ids)

        def count(name: str, value: int, key: str = key, runs: tuple[str, ...] = runs) -> Number:
            return Number(f"{key}.{name}", value, "count", runs)

        def share(name: str, value: float, key: str = key, runs: tuple[str, ...] = runs) -> Number:
            return Number(f"{key}.{name}", value, "percent", runs, method="share, as the study logged it")

        left = 0 if data.available is None else data.available - data.train - data.validation - data.test
        held = [("reviews held back by data.limit", count("held-back", left))] if left else []
        length: Number | str = "all" if data.max_length is None else count("max-length", data.max_length)
        facts: list[tuple[str, Number | str]] = [
            ("training reviews", count("train", data.train)),
            ("validation reviews", count("validation", data.validation)),
            ("test reviews", count("test", data.test)),
            *held,
            ("positive reviews over all splits, %", share("positive", data.positive_share)),
            ("exact duplicates removed", count("repeats", data.repeats_removed)),
            ("training rows removed as also in the test file", count("test-repeats", data.test_repeats_removed)),
            ("distinct words", count("vocabulary", data.vocabulary)),
            ("word vectors", file_name(data.embedding)),
            ("dimension of a word vector", count("dimension", data.embedding_dimension)),
            ("words with a vector", count("covered", data.covered_words)),
            ("tokens without a vector, dropped, %", share("dropped", data.dropped_share)),
            ("most tokens read of a review, from its start", length),
            ("reviews cut to that length, %", share("cut", data.cut_share)),
            ("fingerprint", plain(data.fingerprint)),
        ]
        taken: set[str] = set()
        categories = tuple(
            (plain(name) or UNCATEGORIZED, count(f"category.{free_name(slug(name, 'none'), taken)}", size))
            for name, size in data.categories.items()
        )
        views.append(DataView(key, data, plain(data.name), tuple(names), tuple(facts), categories))
    return tuple(views)


def run_counts(studies: Sequence[LoggedStudy]) -> tuple[RunCounts, ...]:
    """Return how many runs of each study ended in which state, by stage."""
    taken: set[str] = set()
    counts = []
    for study in studies:
        name = plain(study.run.study or study.run.name)
        key = free_name(f"runs-{slug(name, 'study')}", taken)
        for stage, runs in (("search", study.trials), ("confirm", study.confirms), ("ablation", study.ablations)):
            if runs:
                counts.append(_count(f"{key}-{stage}", name, stage, runs))
    return tuple(counts)


def _count(key: str, study: str, stage: str, runs: Sequence[LoggedRun]) -> RunCounts:
    by_state: dict[str, list[LoggedRun]] = {}
    for run in runs:
        by_state.setdefault(_state(run), []).append(run)

    def number(state: str) -> Number:
        some = by_state.get(state, [])
        return Number(f"{key}.{state}", len(some), "count", tuple(run.run_id for run in some))

    reasons = tuple(
        (plain(run.name) or run.run_id, f"{_state(run)}: {plain(run.reason)[:200] or 'no reason logged'}")
        for state in ("failed", "other")
        for run in by_state.get(state, [])
    )
    return RunCounts(
        key, study, stage, number("complete"), number("pruned"), number("failed"), number("other"), reasons
    )


def _state(run: LoggedRun) -> str:
    """Return complete, pruned, failed, or other (killed, interrupted, still running)."""
    if run.complete:
        return "complete"
    state = run.tags.get("gru_bench.state", "")
    if state == "pruned" or run.reason.startswith("pruned"):
        return "pruned"
    return "failed" if state == "failed" or run.status == "FAILED" else "other"

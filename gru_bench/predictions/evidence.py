"""Models of files -> the evidence of a report: the same as that of studies, without what only a sweep logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from gru_bench.config import MetricName
from gru_bench.document.numbers import Numbers, plain
from gru_bench.document.sentences import Sentence
from gru_bench.errors import IncompleteError, RunError
from gru_bench.evidence.baselines import baselines_of
from gru_bench.evidence.collect import Evidence, assembled
from gru_bench.evidence.groups import ModelRuns, confirm_groups
from gru_bench.evidence.pairs import margin_of
from gru_bench.evidence.store import Histories, Store
from gru_bench.predictions.align import Examples, FileModel, KnownExamples
from gru_bench.predictions.read import FileRun, class_of
from gru_bench.results.runs import Predictions
from gru_bench.tracking import FILE, LoggedRun, LoggedStudy
from gru_bench.wording import listed

FILES = "files of predictions"


@dataclass
class FileStore:
    """A store of files of predictions: it has their texts and their number, and asks a real store for all else."""

    texts_of_files: dict[str, str] | None
    """Example id -> text; None where no file has texts."""
    models: int
    """Number of models of the files that are compared with those of the study."""
    others: Store | None = None
    """The store of the study that the files are compared with."""

    def histories(self, run_ids: Sequence[str], metrics: Sequence[str]) -> Histories:
        """Return the histories of the runs of studies."""
        return {} if self.others is None or not run_ids else self.others.histories(run_ids, metrics)

    def predictions(self, run_id: str, split: str) -> Predictions:
        """Return a run's predictions; RunError for a run of a file, which is read already."""
        if self.others is None:
            raise RunError(f"the run {run_id} is one of a file")
        return self.others.predictions(run_id, split)

    def texts(self, run_id: str, split: str) -> dict[str, str] | None:
        """Return the texts of a study, or those of the files."""
        return self.others.texts(run_id, split) if self.others is not None and run_id != FILES else self.texts_of_files

    def text(self, run_id: str, path: str) -> str | None:
        """Return a text that a run of a study logged."""
        return None if self.others is None or run_id == FILES else self.others.text(run_id, path)

    def confirmed_models(self, test_set: str) -> list[tuple[str, str]]:
        """Return the models of the files, which have no study, and those of the store, scored on a test set."""
        if self.others is None:
            return []
        return [*(("", str(place)) for place in range(self.models)), *self.others.confirmed_models(test_set)]

    def studies_on_test(self, test_set: str, until: float) -> int:
        """Return the number of studies of the store that were scored on a test set."""
        return 0 if self.others is None else self.others.studies_on_test(test_set, until)

    def studies_again(self, original: str) -> int:
        """Return the number of studies of the store that ask the question of a study again."""
        return 0 if self.others is None else self.others.studies_again(original)

    def run_url(self, run: LoggedRun) -> str | None:
        """Return the page of a run of a study."""
        return None if self.others is None or not run.experiment_id else self.others.run_url(run)


def evidence_of(
    examples: Examples, models: Sequence[FileModel], digests: Mapping[Path, str], metric: MetricName,
    margin: float | None, own_study: StudyRuns | None = None, *, are_groups_off: bool = False,
) -> Evidence:
    """Return the evidence of models from files.

    Args:
        examples: The examples.
        models: The models that answer them.
        digests: A file -> the SHA-256 of its content.
        metric: The score that they are compared by.
        margin: The equivalence margin, the largest difference of no practical weight, in the unit of the score. None:
            that of the study, or one point.
        own_study: The runs of a study that they are compared with.
        are_groups_off: Whether columns of groups were not looked for.
    """
    numbers = Numbers() if own_study is None else own_study.numbers
    known = dict(zip(examples.id_N.tolist(), examples.about.get("text", ()), strict=False)) or None
    store = FileStore(known, len(models), None if own_study is None else own_study.store)
    study = LoggedStudy(_logged(FILES, "", "", None, examples.fingerprint), None, (), ())
    groups = [_group(one, examples, study, digests, numbers, metric) for one in models]
    gaps = _gaps(examples, numbers)
    if own_study is None:
        return assembled((), store, numbers, groups, gaps, margin_of((), margin, numbers, metric),
                         are_groups_off=are_groups_off)
    store.texts_of_files = known or own_study.store.texts(own_study.studies[0].run.run_id, "test")
    own = [own_study.cut(group, examples, metric) for group in own_study.groups]
    read, missing = baselines_of(own_study.studies, store, metric, numbers)
    baselines = [own_study.cut(one, examples, metric) for one in read]
    return assembled(own_study.studies, store, numbers, [*own, *groups], [*own_study.gaps, *missing, *gaps],
                     margin_of(own_study.studies, margin, numbers, metric), baselines)


@dataclass(frozen=True)
class StudyRuns:
    """The confirmation runs of a study that files are compared with."""

    studies: Sequence[LoggedStudy]
    store: Store
    numbers: Numbers
    groups: Sequence[ModelRuns]
    gaps: Sequence[Sentence]

    @classmethod
    def of(cls, studies: Sequence[LoggedStudy], store: Store) -> StudyRuns:
        """Read the predictions of the confirmation runs.

        Raises:
            IncompleteError: None of them is complete.
        """
        numbers = Numbers()
        groups, gaps = confirm_groups(studies, store, numbers)
        if not groups:
            raise IncompleteError("the study has no complete confirmation run to compare with: finish the study")
        return cls(studies, store, numbers, groups, gaps)

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes, spelled as those of files."""
        return tuple(map(class_of, self.groups[0].classes))

    @property
    def examples(self) -> KnownExamples:
        """Return the test examples. Files name them by their ids, as `gru-bench data` writes them, or by the names of
        the rows in the data."""
        first = self.groups[0]
        name_N = self.store.predictions(first.ids[0], "test").by_id().name_N
        return KnownExamples(f"the study {first.study.name}", first.example_N.tolist(), first.label_N, self.classes,
                             () if name_N is None else name_N.tolist())

    def described(self, examples: Examples) -> Examples:
        """Return the examples with what the study knows of them."""
        first = self.groups[0]
        kept_N = np.isin(first.example_N, examples.id_N)
        about = examples.about | {"category": first.category_N[kept_N].tolist(),
                                  "tokens": list(map(str, first.tokens_N[kept_N].tolist()))}
        return replace(examples, about=about, group_N=first.groups_of(kept_N)[0], group_columns=first.grouped_by,
                       fingerprint=first.fingerprint)

    def cut(self, group: ModelRuns, examples: Examples, metric: MetricName) -> ModelRuns:
        """Return a group with the examples that are compared alone."""
        kept_N = np.isin(group.example_N, examples.id_N)
        return replace(
            group, metric=metric,
            example_N=group.example_N[kept_N], label_N=group.label_N[kept_N], category_N=group.category_N[kept_N],
            tokens_N=group.tokens_N[kept_N], probability_RNC=group.probability_RNC[:, kept_N],
            group_N=group.groups_of(kept_N)[0], stratum_N=None, unused=examples.unused)


def _group(
    model: FileModel, examples: Examples, study: LoggedStudy, digests: Mapping[Path, str], numbers: Numbers,
    metric: MetricName,
) -> ModelRuns:
    name, size = plain(model.name), len(examples.id_N)
    runs = tuple(_logged(_id(run, digests), run.name, run.model, run.seed, examples.fingerprint)
                 for run in model.runs)
    about, scored = examples.about, model.scored
    tokens = about.get("tokens", ())
    known = bool(tokens) and all(one.isdigit() for one in tokens)
    return ModelRuns(
        scored.label_N, scored.probability_RNC, examples.group_N, scored.named_RN, scored.unused,
        numbers=numbers.named(name), label=name, model=model.name, study=study, data=None, runs=runs,
        example_N=examples.id_N, metric=metric,
        category_N=np.array(about.get("category", [""] * size), dtype=np.str_),
        tokens_N=np.array([int(one) for one in tokens] if known else np.zeros(size), dtype=np.int32),
        given_classes=tuple(map(plain, model.classes)), group_columns=tuple(map(plain, examples.group_columns)),
        refusals=model.refusals)


def _logged(run_id: str, name: str, model: str, seed: int | None, fingerprint: str = "") -> LoggedRun:
    """Return a run of which nothing but its predictions is known."""
    return LoggedRun(
        run_id, "", plain(name), FILE, "", model, "", seed, "FINISHED", complete=True, reason="", params={},
        metrics={}, tags={"gru_bench.data_fingerprint": fingerprint}, started=0.0)


def _id(run: FileRun, digests: Mapping[Path, str]) -> str:
    """Return the id of a run: it changes with the content of its file."""
    own = [digests[run.path], run.study, run.model, str(run.seed)]
    return sha256("\0".join(own).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _gaps(examples: Examples, numbers: Numbers) -> list[Sentence]:
    gaps: list[Sentence] = []
    if examples.left_out:
        gaps.append((numbers.on(()).add("left-out", examples.left_out),
                     " examples are left out, because some files lack them."))
    if examples.unused:
        names = listed([plain(examples.classes[place]) for place in examples.unused])
        gaps.append((f"Means over classes leave out classes without examples: {names}.",))
    return gaps

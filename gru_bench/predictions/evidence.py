"""Models of files -> the evidence of a report: the same as that of studies, without what only a sweep logs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np

from gru_bench.config import ComparedName
from gru_bench.errors import RunError, UsageError
from gru_bench.predictions.align import Examples, FileModel
from gru_bench.predictions.read import FileRun
from gru_bench.report.document.numbers import Numbers, plain, scale_of
from gru_bench.report.document.sentences import Sentence
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import Group
from gru_bench.report.evidence.pairs import Margin, compare, families_of
from gru_bench.report.evidence.store import Store
from gru_bench.results.runs import Predictions
from gru_bench.stats.verdict import MARGIN
from gru_bench.tracking import FILE, LoggedRun, LoggedStudy

FILES = "files of predictions"


@dataclass
class FileStore:
    """A store of files of predictions: it holds their texts and their number, and for all else asks a real store."""

    texts_of_files: dict[str, str] | None
    """Example id -> text; None where no file has texts."""
    models: int
    """Number of models that come from files."""
    others: Store | None = None
    """The store of the studies that the files are compared with."""
    study_ids: Collection[str] = field(default_factory=tuple)

    def histories(
        self, run_ids: Sequence[str], metrics: Sequence[str]
    ) -> dict[str, dict[str, list[tuple[int, float]]]]:
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
        """Return a text that a run of a study holds."""
        return None if self.others is None or run_id == FILES else self.others.text(run_id, path)

    def confirmed_models(self, test_set: str, fingerprints: Collection[str]) -> int:
        """Return the number of models of the files and of the store that were scored on a test set."""
        known = 0 if self.others is None else self.others.confirmed_models(test_set, fingerprints)
        return self.models + known

    def run_url(self, run: LoggedRun) -> str | None:
        """Return the page of a run of a study."""
        return None if self.others is None or not run.experiment_id else self.others.run_url(run)


def evidence_of(
    examples: Examples, models: Sequence[FileModel], digests: Mapping[str, str], metric: ComparedName,
    margin: float | None,
) -> Evidence:
    """Return the evidence of models from files.

    Args:
        examples: The examples that all of them answer.
        models: The models.
        digests: Path of a file -> the SHA-256 of its content.
        metric: The score that they are compared by.
        margin: Largest difference of no practical weight, in the unit of the score. None: one point.

    Raises:
        UsageError: for a score without a margin.
    """
    if margin is None and metric == "score":
        raise UsageError("--margin must be given with --metric score, because only you know which difference of such "
                         "scores does not matter: try --margin and that difference")
    numbers = Numbers()
    texts = examples.about.get("text")
    store = FileStore(None if texts is None else dict(zip(examples.id_N.tolist(), texts, strict=True)), len(models))
    study = LoggedStudy(_logged(FILES, "", "", None), None, (), ())
    groups = [_group(one, examples, study, digests, numbers, metric) for one in models]
    chosen = Margin(MARGIN if margin is None else margin, (), numbers, scale_of(metric))
    families = families_of(groups, store, numbers)
    compared, apart = compare(groups, chosen.value, (), families, numbers)
    return Evidence((), numbers, groups, _gaps(examples, numbers), store, {}, chosen, compared, apart, (), None,
                    families=families)


def _group(
    model: FileModel, examples: Examples, study: LoggedStudy, digests: Mapping[str, str], numbers: Numbers,
    metric: ComparedName,
) -> Group:
    name, size = plain(model.name), len(examples.id_N)
    runs = tuple(_logged(_id(run, digests), run.name, run.model, run.seed) for run in model.runs)
    about, scored = examples.about, model.scored
    tokens = about.get("tokens", ())
    known = bool(tokens) and all(one.isdigit() for one in tokens)
    return Group(
        numbers.named(name, runs=[run.run_id for run in runs], examples=size), name, model.name, study, None, runs,
        examples.id_N, scored.label_N, np.array(about.get("category", [""] * size), dtype=np.str_),
        np.array([int(one) for one in tokens] if known else np.zeros(size), dtype=np.int32), scored.probability_RNC,
        metric=metric, group_N=examples.group_N, given_classes=tuple(map(plain, examples.classes)),
        named_RN=scored.named_RN, score_RN=scored.score_RN)


def _logged(run_id: str, name: str, model: str, seed: int | None) -> LoggedRun:
    """Return a run of which nothing but its predictions is known."""
    return LoggedRun(
        run_id, "", plain(name), FILE, "", model, "", seed, "FINISHED", complete=True, reason="", params={},
        metrics={}, tags={}, started=0.0)


def _id(run: FileRun, digests: Mapping[str, str]) -> str:
    """Return the id of a run: it changes with the content of its file."""
    own = [digests[str(run.path)], run.study, run.model, str(run.seed)]
    return sha256("\0".join(own).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _gaps(examples: Examples, numbers: Numbers) -> list[Sentence]:
    if not examples.left_out:
        return []
    return [(numbers.add("left-out", examples.left_out), " examples are left out, because not all files have them.")]

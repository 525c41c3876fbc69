"""Files of predictions -> the report on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from gru_bench.config import MetricName
from gru_bench.data.groups import NONE
from gru_bench.document.numbers import plain
from gru_bench.document.report import Report, Source
from gru_bench.document.sentences import Sentence, in_text
from gru_bench.errors import UsageError, argument, shown
from gru_bench.evidence.groups import metric_of
from gru_bench.predictions.align import Examples, FileModel, aligned
from gru_bench.predictions.evidence import StudyRuns, evidence_of
from gru_bench.predictions.read import Read, read_all
from gru_bench.report.build import composed
from gru_bench.stats.scores import SCORES, as_difference
from gru_bench.wording import listed


def compared(
    files: Sequence[str], *, truth: str | None = None, metric: str | None = None, margin: float | None = None,
    columns: Mapping[str, str], common: bool = False, refusals: str | None = None,
    own_study: StudyRuns | None = None, say: Callable[[str], None] = lambda line: None,
) -> Report:
    """Return the report on the models of some files.

    Args:
        files: The files of predictions.
        truth: A file of true labels.
        metric: The score that is compared. None: that of the study, or accuracy.
        margin: The equivalence margin, the largest difference without practical weight, in the unit of the score:
            percentage points, or nats of log loss. None: one point, or 0.01.
        columns: Role (id, label, prediction, group) -> name of its column, where it was named. The group `none`
            turns groups off.
        common: Whether only the examples that all files have are compared.
        refusals: `wrong`: a prediction that is no class counts as wrong. None: it is refused.
        own_study: The runs of a study on the same examples, with which the models are compared.
        say: Called with a sentence on what was found by its name.

    Raises:
        UsageError: for files that cannot be compared.
        DataError: for a damaged file.
    """
    usual: MetricName = "accuracy" if own_study is None else metric_of(own_study.studies)
    known = [one.comparison.metric for one in SCORES.values() if one.comparison is not None]
    chosen = usual if metric is None else next((name for name in known if name == metric), None)
    if chosen is None:
        raise UsageError(f"the metric must be one of {', '.join(known)}, but got {metric!r}")
    if margin is not None and not 0 < margin < float("inf"):
        raise UsageError(f"the equivalence margin must be a number above 0, but got {margin:g}: leave it out")
    if refusals not in (None, "wrong"):
        raise UsageError(f"{argument('refusals')} must be wrong, or left out, but got {refusals!r}")
    has_groups = columns.get("group") != NONE
    if not has_groups:
        columns = {role: name for role, name in columns.items() if role != "group"}
    read = Read()
    runs, truths = read_all(files, truth, columns, read, has_study=own_study is not None,
                            has_groups=has_groups)
    if own_study is not None:
        truths = [own_study.examples.run(read, runs[0])]
    for note in read.notes:
        say(note)
    already = len(read.notes)
    examples, models = aligned(
        read, runs, truths[0] if truths else None, chosen, common=common, refusals_are_wrong=refusals == "wrong",
        classes=() if own_study is None else own_study.classes)
    for note in read.notes[already:]:
        say(note)
    if own_study is not None:
        examples = own_study.described(examples)
    if examples.group_N is not None and len(groups := np.unique(examples.group_N)) < 2:
        raise UsageError("there must be at least 2 groups of examples, but all examples are in "
                         f"{shown(str(groups[0]))}: compare examples of more groups, or leave out the group column if "
                         "each is independent")
    evidence = evidence_of(
        examples, models, read.digests, chosen, None if margin is None else as_difference(margin, chosen), own_study,
        are_groups_off=not has_groups)
    warnings: list[Sentence] = [
        *_equal_runs(models), *(_of_second(one, examples) for one in models if one.is_of_second)]
    for warning in (*warnings, *evidence.gaps):
        say(in_text(warning))
    names = [plain(path.name) for path in read.digests]
    return composed(
        evidence, f"Comparison: {listed([one.label for one in evidence.groups])}",
        f"{'Files' if own_study is None else 'Confirmation runs of a study, and files'} of predictions: "
        f"{', '.join(names[:10])}{f' and {len(names) - 10} more' if len(names) > 10 else ''}.",
        warnings, Source(
            experiment="", tracking_uri="", margin=evidence.margin.value, warnings_before=(),
            on_test={}, studies=(), files=tuple({"name": name, "sha256": digest}
                        for name, digest in zip(names, read.digests.values(), strict=True))))


def _equal_runs(models: Sequence[FileModel]) -> Iterator[Sentence]:
    """Yield a warning for each set of runs of a model that answer alike."""
    for model in models:
        names: dict[tuple[bytes, ...], list[str]] = {}
        for run in model.runs:
            names.setdefault(run.answers, []).append(run.name)
        for equal in names.values():
            if len(equal) > 1:
                yield (f"{len(equal)} runs of {plain(model.name)} have the same predictions "
                       f"({plain('; '.join(equal))}): make sure that these are different runs, because copies make the "
                       "interval too narrow.",)


def _of_second(model: FileModel, examples: Examples) -> Sentence:
    """Return the warning that one column of probabilities was taken as that of the second class."""
    first, second = map(plain, examples.classes)
    said = f"The only column of probabilities of {plain(model.name)} was read as that of the class {second}."
    if (model.scored.correct_RN.mean(axis=1) < 0.5).all():
        said += (f" Accuracy is below 50 %, so it may be of the class {first}; if so, rename it to "
                 f"probability_{first}.")
    return (said,)

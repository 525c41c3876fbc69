"""Runs of files -> models on the same examples, in the order of their ids.

Rows are aligned by id. Ids or true labels that differ are refused, and so is what cannot be a probability or a class.
A class may be spelled in any case and, if a study gives the classes their order, as its number from 0.

Shapes: `R` runs of a model, `N` examples, `C` classes, `K` columns of probabilities.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import MetricName, as_number
from gru_bench.data.labels import classes_of
from gru_bench.errors import UsageError, argument, shown
from gru_bench.predictions.read import FileRun, Names, Read, class_of, id_of
from gru_bench.stats.metrics import of_two
from gru_bench.stats.scores import Scored, score_of
from gru_bench.wording import listed

SHOWN = 3
"""Most examples that an error names."""
MOST_ASKED = 1000
"""Ids of a file by which it is found out how it names the examples of a study."""
SUM = 1e-3
"""Largest difference of the sum of the probabilities of an example from 1."""
TIE = 1e-6
"""Largest amount by which the probability of a predicted class may be below the largest one."""
NO_CLASS = "(no class)"
"""What stands for the class of a prediction that is none, such as the refusal of a language model."""


@dataclass(frozen=True)
class Examples:
    """What is known of the examples that all models answer."""

    id_N: NDArray[np.str_]
    """In order."""
    label_N: NDArray[np.int_]
    """Positions in `classes`. 0 where no labels are known."""
    classes: tuple[str, ...]
    """Empty where no labels are known."""
    about: dict[str, Sequence[str]]
    """Text, category and tokens of each example, as far as they are known."""
    group_N: NDArray[np.str_] | None = None
    """Group of each example, which is its id where it has none. None where no two examples are known to belong
    together."""
    group_columns: tuple[str, ...] = ()
    """The columns that tell them."""
    left_out: int = 0
    """Number of examples that only some files have."""
    unused: tuple[int, ...] = ()
    """Classes that means over classes leave out, as in `Scored`."""
    fingerprint: str = ""
    """Fingerprint of the data of a study whose test examples they are."""


@dataclass(frozen=True)
class KnownExamples:
    """Examples whose true classes are known apart from the files of predictions."""

    where: str
    """What holds them, for messages."""
    id_N: Sequence[str]
    label_N: NDArray[np.integer]
    """Positions in `classes`."""
    classes: tuple[str, ...]
    """As files spell them."""
    name_N: Sequence[str] = ()
    """Other names of the examples, by which files may name them, too. Empty: there are none."""

    def run(self, read: Read, asked: FileRun) -> FileRun:
        """Return them as a file of true labels would have them, which names them as the first rows of a run do."""
        ids, names = ([id_of(one) for one in some] for some in (self.id_N, self.name_N))
        wanted = {read.ids.names[place] for place in asked.place_N[:MOST_ASKED].tolist()}
        place_N = [read.ids.place(name) for name in (
            names if len(wanted & set(names)) > len(wanted & set(ids)) else ids)]
        for place, own in zip(place_N, self.id_N, strict=True):
            read.ids.names[place] = own
        spelling_C = np.array([read.spellings.place(name) for name in self.classes])
        return FileRun(Path(self.where), "", None, (), frozenset({"id", "label"}), np.array(place_N),
                       spelling_C[self.label_N])


@dataclass(frozen=True)
class FileModel:
    """The runs of one model on the examples."""

    name: str
    runs: tuple[FileRun, ...]
    scored: Scored
    classes: tuple[str, ...]
    """Those of the examples. `NO_CLASS` follows where predictions that are no class count as wrong."""
    refusals: Mapping[str, int] = field(default_factory=dict)
    """Prediction that is no class -> how often the runs predict it, the most frequent first."""

    @property
    def is_of_second(self) -> bool:
        """Return whether one column of probabilities was taken as that of the second class without a sign of it."""
        return self.scored.has_probabilities and not self.runs[0].classes and "prediction" not in self.runs[0].has


def aligned(
    read: Read, runs: Sequence[FileRun], truth: FileRun | None, metric: MetricName, *, common: bool = False,
    classes: Sequence[str] = (), refusals_are_wrong: bool = False,
) -> tuple[Examples, list[FileModel]]:
    """Return the examples and what each model answers on them.

    Args:
        read: What was read.
        runs: The runs of the models.
        truth: The file of true labels; None where each file has its own.
        metric: The score that the models are compared by.
        common: Whether only the examples that all files have are compared.
        classes: Names of the classes in their order, where a study tells them.
        refusals_are_wrong: Whether a prediction that is no class counts as wrong. Otherwise it is refused.

    Raises:
        UsageError: for other examples or labels, and for what the metric needs and a run lacks.
    """
    sources = [*([truth] if truth is not None else []), *runs]
    for run in sources:
        _refuse_repeats(run, read.ids)
    kept = _kept(sources, read.ids, common)
    names_N = np.array([read.ids.names[place] for place in kept])
    order = np.argsort(names_N, kind="stable")
    place_N, names_N = kept[order], names_N[order]
    left_out = len(np.unique(np.concatenate([run.place_N for run in sources]))) - len(place_N)
    rank = np.full(len(read.ids.names), -1)
    rank[place_N] = np.arange(len(place_N))
    spelled = {read.spellings.names[place] for run in sources if run.label_N is not None
               for place in np.unique(run.label_N)}
    sources = [run.select(_rows(run, rank)) for run in sources]
    is_known = bool(classes)
    label_N, classes = _labels(sources, names_N, read, classes, spelled)
    about: dict[str, Sequence[str]] = {
        role: [known.get(place, "") for place in place_N.tolist()] for role, known in read.about.items()}
    group_N = _groups(about.get("group"), names_N)
    examples = Examples(names_N, label_N, classes, about, group_N,
                        () if group_N is None else tuple(read.group_columns), left_out)
    meant = _Meant.of(read.spellings.names, classes, are_numbered=is_known)
    by_model: dict[tuple[str, str], list[FileRun]] = {}
    for run in sources[-len(runs):]:
        by_model.setdefault((run.study, run.model), []).append(run)
    named = Counter(model for _, model in by_model)
    models = []
    for (study, model), own in by_model.items():
        _refuse_same_seeds(model, own)
        name = f"{model} ({study})" if named[model] > 1 else model
        sorted_runs = sorted(own, key=lambda run: run.seed or 0)
        models.append(_model(name, sorted_runs, examples, read, meant, metric, refusals_are_wrong))
    examples = replace(examples, unused=_unused(examples, models, is_known))
    return examples, [replace(one, scored=replace(one.scored, unused=(
        *examples.unused, *range(len(classes), len(one.classes))))) for one in models]


def _unused(examples: Examples, models: Sequence[FileModel], is_known: bool) -> tuple[int, ...]:
    """Return the classes without examples that no model predicts. Means of a study, whose classes are known, are over
    all of them."""
    every = range(len(examples.classes))
    used = set(np.unique(examples.label_N).tolist())
    if len(used) < len(every):
        used.update(every if is_known else (
            place for one in models for place in np.unique(one.scored.predicted_RN).tolist()))
    return tuple(place for place in every if place not in used)


def _groups(name_N: Sequence[str] | None, id_N: NDArray[np.str_]) -> NDArray[np.str_] | None:
    if name_N is None or not any(name_N):
        return None
    group_N = np.array([name or own for name, own in zip(name_N, id_N.tolist(), strict=True)])
    return group_N if len(np.unique(group_N)) < len(group_N) else None


def _refuse_repeats(run: FileRun, ids: Names) -> None:
    places, counts = np.unique(run.place_N, return_counts=True)
    if (repeated := places[counts > 1]).size:
        raise UsageError(f"{run.name} must have one row for each id, but has several for {_named(repeated, ids)}: "
                         "remove the repeats, or add columns 'model' and 'seed'")


def _kept(sources: Sequence[FileRun], ids: Names, common: bool) -> NDArray[np.int_]:
    """Return the positions of the ids of the examples that are compared."""
    first = np.unique(sources[0].place_N)
    kept = first
    for run in sources[1:]:
        own = np.unique(run.place_N)
        kept = np.intersect1d(kept, own)
        if not common and not np.array_equal(first, own):
            differing = np.setxor1d(first, own)
            counts = (f"{len(np.setdiff1d(first, own)):,} are only in {sources[0].name}, "
                      f"{len(np.setdiff1d(own, first)):,} only in {run.name}")
            raise UsageError(f"all files must have the same ids, but {counts}, such as {_named(differing, ids)}: "
                             f"compare only the common ones ({argument('common')})")
    if len(kept) < 2:
        raise UsageError(f"at least 2 common examples are needed, but the files have {len(kept)}: check the id column")
    return kept


def _named(places: NDArray[np.int_], ids: Names) -> str:
    names = [shown(ids.names[place], most=40) for place in sorted(places.tolist())[:SHOWN]]
    return listed(names)


def _rows(run: FileRun, rank: NDArray[np.int_]) -> NDArray[np.int_]:
    """Return the row of each example in a run."""
    rank_N = rank[run.place_N]
    inside = np.flatnonzero(rank_N >= 0)
    return np.asarray(inside[np.argsort(rank_N[inside], kind="stable")])


def _refuse_same_seeds(model: str, runs: Sequence[FileRun]) -> None:
    if len(runs) == 1:
        return
    known: dict[int | None, FileRun] = {}
    for run in runs:
        if run.seed is None or run.seed in known:
            other = known.get(run.seed, runs[0] if run is not runs[0] else runs[1])
            if "model" not in run.has:
                raise UsageError(f"files of different models must have different names, but {other.path} and "
                                 f"{run.path} are both read as runs of {model}: rename one, or add a column 'model', "
                                 "or 'seed' if they are runs of the same model")
            raise UsageError(f"the runs of a model must have different seeds, but {model} has two with "
                             f"{'none' if run.seed is None else f'seed {run.seed}'} ({other.path.name} and "
                             f"{run.path.name}): add a column 'seed', or name the files like {model}-seed1.csv")
        known[run.seed] = run


def _labels(
    sources: Sequence[FileRun], id_N: NDArray[np.str_], read: Read, classes: Sequence[str], known: set[str]
) -> tuple[NDArray[np.int_], tuple[str, ...]]:
    """Return the true label of each example, and the classes; no classes where no file has labels.

    Args:
        sources: What has labels, on the examples that are compared.
        id_N: Their ids.
        read: What was read.
        classes: Names of the classes in their order, where a study tells them.
        known: The true labels of all examples, whether they are compared or not.
    """
    labeled = [(run, run.label_N) for run in sources if run.label_N is not None]
    if not labeled:
        lacking = next((run for run in sources if "right" not in run.has), None)
        if lacking is not None:
            raise UsageError(f"{lacking.name} has no true labels, because no column has a usual name for them: specify "
                             f"the label column ({argument('label')}), or give a file of true labels "
                             f"({argument('truth')})")
        return np.zeros(len(id_N), np.int_), ()
    first, spelling_N = labeled[0]
    same_D = (_Meant.of(read.spellings.names, classes, are_numbered=True).class_D if classes else
              np.arange(len(read.spellings.names)))
    for run, own_N in labeled[1:]:
        if (odd := np.flatnonzero(same_D[own_N] != same_D[spelling_N])).size:
            names = read.spellings.names
            differing = ", ".join(f"{shown(str(id_N[place]), most=40)} ({names[spelling_N[place]]} and "
                                  f"{names[own_N[place]]})" for place in odd[:SHOWN])
            raise UsageError(f"all files must have the same true labels, but {first.name} and {run.name} differ in "
                             f"{len(odd):,} of {len(id_N):,}, such as {differing}: check the label "
                             "column")
    spelled = [read.spellings.names[place] for place in spelling_N.tolist()]
    if classes:
        return same_D[spelling_N], tuple(classes)
    named = list(dict.fromkeys(read.spellings.names[read.spellings.place(class_of(name))]
                               for run in sources for name in run.classes))
    # Of columns of probabilities whose names are classes, one may be absent from the labels.
    extra = sorted(known - set(spelled)) + [name for name in named if name not in known and known <= set(named)]
    found = classes_of([*spelled, *extra], f"the true labels of {first.name}",
                       "specify another label column")
    label_N = found.label_N[:len(spelled)].astype(np.int_)
    if len(np.unique(label_N)) < 2:
        raise UsageError(f"the true labels must have at least two classes, but {first.name} has only "
                         f"{shown(spelled[0])}: check the label column")
    return label_N, found.names


@dataclass(frozen=True)
class _Meant:
    """Which class each spelling means."""

    class_D: NDArray[np.int_]
    """Position of its class, -1 for none."""
    is_number_D: NDArray[np.bool_]
    """Whether it is the number of the class, and not its name."""

    @classmethod
    def of(cls, spelling_D: Sequence[str], classes: Sequence[str], *, are_numbered: bool) -> _Meant:
        """Find the classes. A spelling is the name of a class, in any case if only one class has that name, or its
        number from 0, if the classes are numbered and no name is a number."""
        named = {name: place for place, name in enumerate(classes)}
        counts = Counter(map(str.casefold, classes))
        folded = {name.casefold(): place for name, place in named.items() if counts[name.casefold()] == 1}
        numbered = {str(place): place for place in range(len(classes))} if are_numbered and not any(
            as_number(name) is not None for name in classes) else {}
        by_name = [named.get(one, folded.get(one.casefold(), -1)) for one in spelling_D]
        class_D = [numbered.get(one, -1) if place < 0 else place
                   for one, place in zip(spelling_D, by_name, strict=True)]
        return cls(np.array(class_D, dtype=np.int_), np.array(class_D) != np.array(by_name))


def _model(
    name: str, runs: Sequence[FileRun], examples: Examples, read: Read, meant: _Meant, metric: MetricName,
    refusals_are_wrong: bool,
) -> FileModel:
    """Return what the runs of one model answer."""
    runs = [_with_class(run, examples.classes) for run in runs]
    predicted_RN, refusals = None, dict[str, int]()
    if "prediction" in runs[0].has:
        predicted_RN, refusals = _predicted(runs, examples, read, meant, refusals_are_wrong)
    scored = _scored(runs, examples, metric, predicted_RN, has_refusals=bool(refusals))
    return FileModel(name, tuple(runs), scored, (*examples.classes, *([NO_CLASS] if refusals else [])), refusals)


def _with_class(run: FileRun, classes: Sequence[str]) -> FileRun:
    """Return a run whose lone column `probability_positive` is of the class of that name in any case, or of none."""
    if [name.casefold() for name in run.classes] != ["positive"] or (run.classes[0] in classes and len(classes) == 2):
        return run
    return replace(run, classes=tuple(name for name in classes if name.casefold() == "positive" and len(classes) == 2))


def _scored(
    runs: Sequence[FileRun], examples: Examples, metric: MetricName, named_RN: NDArray[np.int_] | None, *,
    has_refusals: bool,
) -> Scored:
    first, size, group_N, needs = runs[0], len(examples.id_N), examples.group_N, score_of(metric).needs
    for run in runs[1:]:
        if run.has != first.has or run.classes != first.classes:
            raise UsageError(f"all runs of {first.model} must have the same columns, but those of {first.name} and "
                             f"{run.name} differ: write them alike, or leave one out")
    if "right" in first.has:
        if needs != "right answers":
            raise UsageError(f"{argument('metric', metric)} needs predictions, but {first.name} says only whether "
                             f"answers are right: use {argument('metric', 'accuracy')}, or specify the prediction "
                             f"column ({argument('prediction')})")
        # A right answer is the true class, a wrong one no class.
        right_RN = np.stack([run.right_N == 1 for run in runs if run.right_N is not None])
        return Scored(examples.label_N, np.empty((len(runs), size, 0), np.float32), group_N,
                      np.where(right_RN, examples.label_N, -1))
    count = len(examples.classes) + has_refusals
    probability_RNC = None if has_refusals else _probabilities(runs, examples, named_RN)
    if probability_RNC is None:
        if needs in ("probabilities", "all probabilities"):
            what = ("predicts no class for some examples: compare their accuracy" if has_refusals else
                    f"has none: add a column such as probability_{examples.classes[-1]}")
            raise UsageError(f"{argument('metric', metric)} needs the probability of each class, but {first.name} "
                             f"{what}")
        if named_RN is None:
            raise UsageError(f"{first.name} has only a column of probabilities, and their class is not known: rename "
                             f"it to probability_{examples.classes[-1]}")
        return Scored(examples.label_N, np.broadcast_to(np.float32(np.nan), (len(runs), size, count)), group_N,
                      named_RN)
    return Scored(examples.label_N, probability_RNC, group_N, named_RN)


def _predicted(
    runs: Sequence[FileRun], examples: Examples, read: Read, meant: _Meant, refusals_are_wrong: bool
) -> tuple[NDArray[np.int_], dict[str, int]]:
    """Return the predicted classes as positions, that after the last class for none, and what is predicted there."""
    names, classes = read.spellings.names, examples.classes
    spelling_RN = np.stack([run.prediction_N for run in runs if run.prediction_N is not None])
    found_RN = meant.class_D[spelling_RN]
    is_none_RN = found_RN < 0
    if is_none_RN.any() and (not refusals_are_wrong or is_none_RN.all(axis=1).any()):
        run, place = np.argwhere(is_none_RN)[0]
        raise UsageError(
            f"predictions must be among the classes of the true labels ({listed(classes[:10])}), but {runs[run].name} "
            f"predicts {shown(names[spelling_RN[run, place]], most=40)} for {int(is_none_RN[run].sum()):,} examples, "
            f"such as {shown(str(examples.id_N[place]), most=40)}: use the same spelling"
            + ("" if refusals_are_wrong else
               f", or count such predictions as wrong ({argument('refusals', 'wrong')})"))
    if meant.is_number_D[spelling_RN].any():
        numbered = listed([f"{place} for {shown(name, most=40)}" for place, name in enumerate(classes[:10])])
        read.notes.append(f"{runs[0].path.name}: numbers are classes in the order of the study, {numbered}")
    spelling_F, count_F = np.unique(spelling_RN[is_none_RN], return_counts=True)
    refusals = Counter({names[spelling]: count for spelling, count in zip(
        spelling_F.tolist(), count_F.tolist(), strict=True)})
    return np.where(is_none_RN, len(classes), found_RN), dict(refusals.most_common())


def _probabilities(
    runs: Sequence[FileRun], examples: Examples, named_RN: NDArray[np.int_] | None
) -> NDArray[np.floating] | None:
    """Return the probability of each class; None where they are not known."""
    first, count = runs[0], len(examples.classes)
    if not first.has & {"p:", "probability"}:
        return None
    value_RNK = np.stack([run.probability_NK for run in runs if run.probability_NK is not None])
    by_class = [class_of(name) for name in first.classes]
    missing_K = np.asarray(np.isnan(value_RNK).all(axis=(0, 1)))
    if missing_K.all():
        return None
    if by_class:
        value_RNK = value_RNK[:, :, ~missing_K]
        by_class = [name for name, gone in zip(by_class, missing_K.tolist(), strict=True) if not gone]
        unknown = [name for name in by_class if name not in examples.classes]
        if unknown:
            raise UsageError(f"columns of probabilities must be named after the classes "
                             f"({listed(examples.classes[:10])}), but {first.path.name} has one of "
                             f"{shown(unknown[0])}: rename it")
    elif count > 2:
        return None  # the probability of the predicted class says nothing of the others
    if (odd := np.argwhere(np.isnan(value_RNK))).size:
        raise UsageError(f"each example needs probabilities, but {runs[odd[0][0]].name} has none for "
                         f"{shown(str(examples.id_N[odd[0][1]]), most=40)}: fill them in")
    if by_class and len(by_class) not in (1 if count == 2 else count, count):
        absent = next(name for name in examples.classes if name not in by_class)
        raise UsageError(f"each class needs a probability, but {first.path.name} has none of {shown(absent)}: add the "
                         f"column probability_{absent}")
    if value_RNK.shape[2] == 1:
        one_RN = value_RNK[:, :, 0]
        is_second = by_class == [examples.classes[1]] if by_class else _is_of_second(one_RN, named_RN)
        found = of_two(one_RN) if is_second else of_two(one_RN)[:, :, ::-1]
    else:
        found = value_RNK[:, :, [by_class.index(name) for name in examples.classes]]
        sums_RN = found.sum(axis=2)
        if (odd := np.argwhere(np.abs(sums_RN - 1) > SUM)).size:
            run, place = odd[0]
            raise UsageError(f"the probabilities of each example must sum to 1, but in {runs[run].name} those of "
                             f"{shown(str(examples.id_N[place]), most=40)} sum to {sums_RN[run, place]:.4g}: check the "
                             "columns")
    if named_RN is not None:
        _refuse_other_predictions(runs, found, named_RN, examples)
    return np.ascontiguousarray(found)


def _is_of_second(one_RN: NDArray[np.float64], named_RN: NDArray[np.int_] | None) -> bool:
    """Return whether one column of probabilities is of the second class: it is high where that is predicted."""
    if named_RN is None:
        return True
    above_RN = one_RN > 0.5
    return bool((above_RN == (named_RN == 1)).mean() >= 0.5)


def _refuse_other_predictions(
    runs: Sequence[FileRun], probability_RNC: NDArray[np.floating], named_RN: NDArray[np.int_], examples: Examples
) -> None:
    own_RN = np.take_along_axis(probability_RNC, named_RN[:, :, None], axis=2)[:, :, 0]
    odd = np.argwhere(own_RN < probability_RNC.max(axis=2) - TIE)
    if odd.size:
        run, place = odd[0]
        raise UsageError(
            f"the predicted class must be the most likely one, but in {runs[run].name} it is not for "
            f"{int((odd[:, 0] == run).sum()):,} of {named_RN.shape[1]:,} examples, such as "
            f"{shown(str(examples.id_N[place]), most=40)}: leave out either the predictions or the probabilities; a "
            "single column 'probability' must be of the same class in all rows")

"""The homework's protocol: the studies that follow it, and the method section with every setting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gru_bench.report.document.blocks import Block, Cell, Column, Heading, Paragraph, Table, prose
from gru_bench.report.document.numbers import KINDS, Kind, Math, Number, Sentence, file_name, plain, slug
from gru_bench.report.evidence.groups import MODEL_NAMES, Evidence, Group, free_name
from gru_bench.report.evidence.progress import study_baselines, study_data
from gru_bench.report.homework import published, theory
from gru_bench.report.sections.search import as_number, setting_name
from gru_bench.report.sections.verdicts import joined
from gru_bench.results.logged_metrics import PARAMETER_TENSORS, PARAMETERS, Metric
from gru_bench.results.runs import Ablation, Baseline, DataSummary, Timing
from gru_bench.tracking import LoggedStudy

NAMES: Mapping[str, str] = {
    "embedding.name": "word vectors",
    "embedding.scale": "factor on each vector",
    "embedding.trainable": "vectors trained too",
    "model.hidden_size": "hidden size, each direction",
    "model.layers": "layers",
    "model.reset": "reset gate",
    "model.pooling": "pooling",
    "model.relu": "ReLU before the last linear layer",
    "training.epochs": "epochs",
    "training.batch_size": "batch size",
    "training.bucket": "order of the reviews",
    "training.drop_last": "incomplete last batch",
    "training.lr": "learning rate of Adam",
    "training.beta1": "first beta of Adam",
    "training.beta2": "second beta of Adam",
    "training.clip_norm": "gradient clipping",
    "training.log_every": "iterations in a loss window",
    "training.selection": "best checkpoint by",
    "data.validation_share": "share used for validation",
    "data.max_length": "most tokens read of a review",
    "data.limit": "reviews used of the data",
}
"""The settings of the training table, in its order."""
IN_WORDS: Mapping[str, Mapping[str, str]] = {
    "embedding.trainable": {"False": "no", "True": "yes"},
    "model.reset": {"after": "after the product", "before": "before the product"},
    "model.relu": {"False": "no", "True": "yes"},
    "training.bucket": {"False": "shuffled", "True": "shuffled among like lengths"},
    "training.drop_last": {"False": "used", "True": "dropped"},
    "training.clip_norm": {"None": "none"},
    "training.selection": {
        "lowest_train_window": "the lowest training loss", "best_validation": "the best validation score",
    },
    "data.max_length": {"None": "all"},
    "data.limit": {"None": "all"},
}
"""Setting -> words for those of its values that are not numbers."""
SPLITS: Mapping[str, str] = {"train": "training"}
OTHER_VECTORS: Mapping[str, str] = {
    "corpus": "trained on the training reviews", "random": "drawn at random", "glove-6b-50d": "GloVe’s",
}
"""Word vectors that are not the homework's, with words for them."""


@dataclass(frozen=True)
class Reproduction:
    """One study that follows the homework's protocol, with its groups of confirm runs by model."""

    key: str
    name: str
    """Its name; empty where there is one such study only."""
    study: LoggedStudy
    groups: Mapping[str, Group]
    data: DataSummary
    baselines: tuple[Baseline, ...] = ()
    seeds: int = 0
    """Number of seeds that each model is to be trained on."""
    ablations: tuple[Ablation, ...] = ()
    timings: tuple[Timing, ...] = ()
    seconds: float | None = None
    """Duration of the whole study; None while it is unfinished, when ablations and timings are empty too."""

    def number(self, name: str, value: float | None, kind: Kind, method: str = "") -> Number:
        """Return a number that the study's own run holds."""
        return Number(f"{self.key}.{name}", value, kind, (self.study.run.run_id,), method=method)

    def titled(self, title: str) -> str:
        """Return the title of a table, with the study's name where there are several."""
        return f"{title}, {self.name}" if self.name else title


def reproductions(evidence: Evidence) -> tuple[Reproduction, ...]:
    """Return the studies of the homework's protocol that have confirm runs, unfinished ones included."""
    found = []
    for study in evidence.studies:
        groups = {group.model: group for group in evidence.groups if group.parent is study.run}
        data = study_data(study, evidence.store)
        if groups and data is not None and _protocol(study) == "homework":
            found.append((study, groups, data))
    taken: set[str] = set()
    return tuple(_reproduction(study, groups, data, study_baselines(study, evidence.store), len(found) > 1, taken)
                 for study, groups, data in found)


def _protocol(study: LoggedStudy) -> str:
    return study.summary.protocol if study.summary is not None else study.run.params.get("protocol", "")


def _reproduction(
    study: LoggedStudy, groups: Mapping[str, Group], data: DataSummary, baselines: tuple[Baseline, ...],
    several: bool, taken: set[str],
) -> Reproduction:
    summary, own = study.summary, study.run.study or study.run.name
    begun = Reproduction(free_name(f"of-{slug(own)}", taken), plain(own) if several else "", study, groups, data,
                         baselines, max(len(group.runs) for group in groups.values()))
    if summary is None:
        return begun
    return replace(begun, seeds=len(summary.confirm_seeds), ablations=summary.ablations, timings=summary.timings,
                   seconds=summary.seconds)


def model_name(model: str) -> str:
    """Return the name of a model in a table."""
    return MODEL_NAMES.get(model, plain(model))


def backends(group: Group) -> str:
    """Return the backends that the runs of a group used."""
    return ", ".join(sorted({plain(run.backend) for run in group.runs}))


def method(studies: Sequence[Reproduction]) -> tuple[Block, ...]:
    """Return the method section: loader, scratch GRU and training."""
    wordless = joined([said for one in studies if (said := _wordless(one))])
    return (
        Heading("The loader", "loader"),
        Paragraph((
            *prose(r"""
                A review is a list of words. Words without a vector are left out, and the vectors of the others are
                stacked, so that a review of $T$ known words becomes a matrix of $T \times E$. The reviews of an epoch
                are shuffled and processed one at a time, so no padding is needed.
            """), " ", *wordless,
        )),
        *theory.scratch_unit(),
        Heading("Training", "training"),
        Paragraph(prose("""
            The last linear layer turns the pooled state into two numbers. Their log-softmax is the log probability of
            each label, and the loss is the negative log-likelihood of the correct one. The table shows every setting
            of the protocol as these runs had it.
        """)),
        *(_training_table(one) for one in studies),
        *(Paragraph(said) for one in studies if (said := departures(one))),
    )


def departures(one: Reproduction) -> Sentence:
    """Return how the runs depart from the homework's protocol; empty where they do not."""
    parts: list[Sentence] = list(_other_vectors(one))
    for model, group in one.groups.items():
        params = group.runs[0].params
        wanted = {**published.SETTINGS, **({"model.relu": published.RELU[model]} if model in published.RELU else {})}
        for name, theirs in wanted.items():
            if name in params and not _same(params[name], theirs):
                parts.append((f"{model_name(model)}, {NAMES.get(name, setting_name(name))}: ",
                              *_as_sentence(_setting(group, name)), f" (homework: {in_words(name, theirs)})"))
    if not parts:
        return ()
    return ("These runs depart from the homework’s protocol as follows: ", *joined(parts, "; "), ".")


def _other_vectors(one: Reproduction) -> Iterator[Sentence]:
    """Yield how the word vectors differ from those of the homework."""
    data = one.data
    if data.embedding in OTHER_VECTORS:
        yield (f"the word vectors are {OTHER_VECTORS[data.embedding]} (homework: word2vec of a news corpus)",)
    if data.embedding_dimension != published.DIMENSION:
        yield ("a vector has ", one.number("departs.dimension", data.embedding_dimension, "count"),
               f" numbers (homework: {published.DIMENSION})")


def in_words(name: str, value: object) -> str:
    """Return a setting's value as text; for a file, its name."""
    if name == "embedding.name":
        kind = OTHER_VECTORS.get(str(value))
        return f"vectors {kind}" if kind else file_name(str(value))
    if (words := IN_WORDS.get(name, {}).get(str(value))) is not None:
        return words
    number = as_number(value)
    return plain(str(value)) if number is None else Number("shown", number, "setting").text


def _wordless(one: Reproduction) -> Sentence:
    """Return how many reviews have no known word, and how they are read."""
    counts = one.data.wordless
    if not counts:
        return ()
    if not sum(counts.values()):
        return ("Every review has at least one word with a vector.",)
    parts: list[Sentence] = [
        (one.number(f"wordless.{slug(split)}", size, "count", "reviews without a known word"),
         f" of the {SPLITS.get(split, plain(split))} reviews")
        for split, size in counts.items()
    ]
    return (*joined(parts, ", "), " have no known word. Each is read as one step of zeros and stays in every count.")


def _training_table(one: Reproduction) -> Table:
    groups = list(one.groups.values())
    rows: list[tuple[Cell, ...]] = [
        (label, *(_setting(group, name) for group in groups))
        for name, label in NAMES.items() if any(name in group.runs[0].params for group in groups)
    ]
    rows += [
        ("initial weights, for hidden size H", *(("uniform in ", Math(r"\pm 1/\sqrt{H}")) for _ in groups)),
        ("backend", *(backends(group) for group in groups)),
        ("parameter tensors", *(_logged(group, PARAMETER_TENSORS, "tensors") for group in groups)),
        ("parameters", *(_logged(group, PARAMETERS, "parameters") for group in groups)),
    ]
    title = one.titled("The training")
    return Table(
        f"{one.key}-training", title, (f"{title}: every setting.",),
        (Column("Setting", 5.2), *(Column(model_name(model), 3.2) for model in one.groups)), tuple(rows),
    )


def _setting(group: Group, name: str) -> Cell:
    value = group.runs[0].params.get(name, "")
    number = as_number(value)
    if number is None or value in IN_WORDS.get(name, {}):
        return in_words(name, value)
    return group.number(f"protocol.{slug(name)}", number, "setting", "a setting")


def _as_sentence(cell: Cell) -> Sentence:
    return cell if isinstance(cell, tuple) else (cell,)


def _logged(group: Group, metric: Metric, name: str) -> Number:
    values = {run.metrics[metric.key] for run in group.runs if metric.key in run.metrics}
    value = values.pop() if len(values) == 1 else None
    said = "not logged" if value is None else "the same in all runs"
    return group.number(f"protocol.{name}", value, KINDS[metric.unit], said)


def _same(ours: str, theirs: object) -> bool:
    """Return whether a logged setting equals the published one."""
    number = as_number(ours)
    if number is not None and isinstance(theirs, int | float) and not isinstance(theirs, bool):
        return number == float(theirs)
    return ours == str(theirs)

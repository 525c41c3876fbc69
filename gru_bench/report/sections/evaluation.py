"""The section on results: the test scores and the cost of each model, and the baselines next to them.

Shapes: `R` runs (seeds) of a model, `N` test examples, `C` classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gru_bench.checks import uneven_on_test
from gru_bench.report.document.blocks import Block, Cell, Column, Details, Paragraph, Table, sentences
from gru_bench.report.document.numbers import KINDS, NBSP, Number, is_zero, slug
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Aside, Sentence, Warning, joined, listed
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import Group
from gru_bench.report.evidence.mixtures import Mixture
from gru_bench.report.evidence.settings import setting, setting_name
from gru_bench.results.baselines import REGULARIZATION
from gru_bench.results.logged_metrics import PEAK_MEMORY, TOKENS_PER_SECOND, TRAIN_SECONDS, score
from gru_bench.results.runs import MOST_WHOLE
from gru_bench.stats import metrics
from gru_bench.stats.estimate import EvidenceLevel
from gru_bench.stats.intervals import interval, interval_together

TIERS = {
    EvidenceLevel.EXAMPLES_ONLY: "this run", EvidenceLevel.ESTIMATE: "few", EvidenceLevel.FLAGGED: "few",
    EvidenceLevel.VERDICT: "for a verdict", EvidenceLevel.CLAIM: "for a claim"}
"""Sample-size tier -> what the seeds are enough for."""
HEADLINE_SETTINGS = ("training.lr", "model.hidden_size", "model.layers", "model.pooling")
"""Settings that are shown of a model that was not tuned."""
SCORES = {
    "precision": Column("Precision", unit="%"),
    "recall": Column("Recall", unit="%"),
    "roc_auc": Column("ROC AUC"),
    "average_precision": Column("Average precision", short="AP"),
    "loss": Column("Loss", note="{} is the negative log-likelihood in nats per text."),
    "calibration_error": Column("Calibration", note=(
        "{} is the calibration error: the mean distance between confidence and accuracy over ten ranges of confidence, "
        "for each seed alone, in points.")),
}
"""Name in `metrics.scores` -> column of the table of further scores."""
OF_TWO = ("precision", "recall")
"""Those that models with more than two classes do not have."""
AREAS = ("roc_auc", "average_precision")
"""Those that need the probabilities of all classes."""


def evaluation(evidence: Evidence) -> Section:
    """Return the section."""
    groups = evidence.groups
    return Section(
        "results", "Results",
        (_results(groups, evidence.baselines, evidence.mixtures), *sentences(evidence.not_mixed),
         *_same_settings(groups), *_uneven(evidence), *_further(groups), *_together(evidence)))


def _further(groups: Sequence[Group]) -> list[Block]:
    """Return the further scores, and the cost where it was logged."""
    classified, logged = (
        [group for group in groups if group.has_classes], [group for group in groups if group.is_logged])
    tables = [*([_further_scores(classified)] if any(
        group.has_probabilities or group.is_binary for group in classified) else []),
        *([_cost(logged)] if logged else [])]
    return [Details(f"Further scores{', speed and memory' if logged else ''}", tuple(tables))] if tables else []


def _results(groups: Sequence[Group], baselines: Sequence[Group], mixtures: Sequence[Mixture]) -> Table:
    sure = any(group.score.low is not None for group in groups)
    still = any(is_zero(group.score_deviation.text) for group in groups)
    logged, varied = any(group.is_logged for group in groups), any(len(group.runs) > 1 for group in groups)
    scale = None if groups[0].metric == "accuracy" else groups[0].scale
    compared = "" if scale is None else scale.score[0].upper() + scale.score[1:]
    f1s = [(column, shown) for column, shown in _f1_columns(groups) if column.heading != compared]
    also = f" Baselines are not GRUs{_fits(baselines)}." if baselines else ""
    also += (" A mixture is the mean of the log-odds of the trained model and the linear model that are best on "
             "validation, each calibrated there. No part of it was fitted or chosen by test texts."
             if mixtures else "")
    return Table.of(
        "results",
        "Test results",
        (f"Test results: {_means(groups)}{', 95 % intervals in brackets' if sure else ''}.{also}",),
        groups,
        (Column("Model", align="left", width=2.85), lambda group: _named(group, groups)),
        (Column("Seeds", note="Each number of seeds says what it is enough for: a verdict (5 or more) or a "
                              "published claim (10 or more)."), _seeds),
        *([] if scale is None else [
            (Column(compared, unit=scale.unit), lambda group: group.score)]),
        *([(Column("Accuracy", unit="%"), lambda group: group.accuracy)] if groups[0].has_accuracy else []),
        *([(Column("Between-seed SD", short="SD", note=(
            f"{{}} is the standard deviation over seeds{', in points,' if groups[0].scale.unit == '%' else ''} after "
            "removing the part that comes from the limited test set"
            f"{' (0: the seeds differ no more than this part)' if still else ''}; then come the lowest and the "
            "highest seed.")),
            _deviation)] if logged or varied else []),
        *f1s,
        # In a tuple a number stands without its lowest and highest.
        *([(Column("Training", unit="s", short="Train"), lambda group: (group.logged(TRAIN_SECONDS),)),
           (Column("Backend", align="left", width=1.3), lambda group: group.backend)] if logged else []),
        context=(
            *((_with_parts(one), _seeds(one), *([] if scale is None else [one.score]), one.accuracy, _deviation(one),
               *(shown(one) for _, shown in f1s), "", "") for one in mixtures),
            *((f"{one.label} (baseline)", "", *([] if scale is None else [one.score]), one.accuracy, "",
               *(shown(one) for _, shown in f1s), (one.logged(TRAIN_SECONDS),), "") for one in baselines)),
    )


def _means(groups: Sequence[Group], also: str = "") -> str:
    """Return of what runs the scores in a table are, and what else it shows of several runs of a model."""
    return f"means over seeds{also}" if any(len(group.runs) > 1 for group in groups) else "one run of each model"


def _fits(baselines: Sequence[Group]) -> str:
    """Return how the baselines were fitted, as the rest of a sentence."""
    linear = [run for baseline in baselines for run in baseline.runs if REGULARIZATION in run.params]
    if any(score("accuracy", "val").key not in run.metrics for run in linear):
        return ("; without validation texts, linear models have a middle regularization, and models are compared with "
                "the first of them")
    if linear:
        return ("; linear models learn from training texts alone, their regularization is chosen on validation, and "
                "models are compared with the one that is better there")
    return " and were fitted once"


def _named(group: Group, groups: Sequence[Group]) -> Cell:
    """Return the label of a model, and below it the tuned or main settings that differ between the models."""
    settings = [_written_setting(group, name) for name in _headline(groups)
                if group.is_logged and not _is_same(name, groups)]
    return (group.label, Aside(joined(settings, " · "), below=True)) if settings else group.label


def _with_parts(mixture: Mixture) -> Cell:
    """Return the label of a mixture, and below it the models that it is of."""
    return (mixture.label, Aside((f"of {listed([part.label for part in mixture.parts])}",), below=True))


def _same_settings(groups: Sequence[Group]) -> list[Block]:
    """Return the tuned or main settings that all models have, once for all."""
    groups = [group for group in groups if group.is_logged]
    settings = [_written_setting(groups[0], name) for name in _headline(groups) if _is_same(name, groups)]
    if not settings:
        return []
    return [Paragraph(("Settings of all models: " if len(groups) > 1 else "Settings: ", *joined(settings, ", "), "."))]


def _headline(groups: Sequence[Group]) -> list[str]:
    """Return the settings that are shown: those that were tuned, or the main ones, and the number of teachers."""
    logged = [group for group in groups if group.is_logged]
    names = [name for group in logged for name in group.tuned or HEADLINE_SETTINGS]
    taught = ["training.teachers"] if any(group.config.training.teachers for group in logged) else []
    return list(dict.fromkeys([*names, *taught]))


def _is_same(name: str, groups: Sequence[Group]) -> bool:
    return len({group.settings.get(name, group.tuned.get(name)) for group in groups if group.is_logged}) == 1


def _written_setting(group: Group, name: str) -> Sentence:
    value = setting(group.of_runs, f"setting.{slug(name)}", group.settings.get(name, group.tuned.get(name)))
    return (f"{setting_name(name).replace(' ', NBSP)}{NBSP}", value)


def _seeds(group: Group) -> Cell:
    """Return the number of seeds, and below it what so many are enough for."""
    return (group.seeds, Aside((TIERS[EvidenceLevel.of(len(group.runs))],), below=True))


def _deviation(group: Group) -> Cell:
    """Return the deviation over seeds, and below it the lowest and the highest seed where there are several."""
    seeds = len(group.runs)
    if seeds == 1:
        return group.score_deviation
    score_R = [score.value for score in group.scores_by_run(group.metric) if score.value is not None]
    lowest, highest = (
        group.on_examples.add(f"{name}-seed", score, group.scale.kind, f"{name} of {seeds} seeds")
        for name, score in (("lowest", min(score_R)), ("highest", max(score_R))))
    return (group.score_deviation, Aside((lowest, " to ", highest), below=True))


def _f1_columns(groups: Sequence[Group]) -> list[tuple[Column, Callable[[Group], Cell]]]:
    """Return the columns of F1 of two classes and of macro F1 of more, as far as there are such models."""
    two, several = (any(group.has_classes and group.is_binary == binary for group in groups)
                    for binary in (True, False))

    def shown(binary: bool) -> Callable[[Group], Cell]:
        return lambda one: _f1(one) if one.has_classes and one.is_binary == binary else ""

    absent = any({*range(len(group.classes))} - {*group.label_N.tolist(), *group.unused}
                 for group in groups if group.has_classes and not group.is_binary)
    note = f"{{}} is the mean of the F1 of all classes{', which is 0 for those without test texts' if absent else ''}."
    return [
        *([(Column("F1", unit="%"), shown(True))] if two else []),
        *([(Column("Macro F1", unit="%", note=note), shown(False))] if several else [])]


def _f1(one: Group) -> Number:
    if one.is_binary:
        return one.on_examples.estimate("f1", interval("f1", one))
    return one.on_examples.estimate("macro-f1", interval("macro_f1", one))


def _uneven(evidence: Evidence) -> list[Block]:
    """Return for each test set with uneven classes what its accuracy must be read with."""
    also = " Read accuracy together with the precision and recall of each class, which are under Errors."
    warns = evidence.groups[0].metric == "accuracy"
    return [Paragraph((*(Warning("GRU006", one).coded if warns else one), also))
            for one in uneven_on_test(evidence.groups, evidence.numbers) if one is not None]


def _further_scores(groups: Sequence[Group]) -> Table:
    shown = [name for name in SCORES if name not in OF_TWO or any(group.is_binary for group in groups)]
    rows: list[tuple[Cell, ...]] = []
    if not any(group.has_probabilities for group in groups):
        shown = [name for name in shown if name in OF_TWO]
    for group in groups:
        scores_R = [metrics.scores(group.label_N, probability_NC, whole=group.whole)
                    for probability_NC in group.probability_RNC] if group.has_probabilities else [
            {name: getattr(metrics.class_scores(count_CC)[1], name) for name in OF_TWO}
            for count_CC in group.counts_RCC if group.is_binary]
        if not group.whole:  # what needs all probabilities, the runs logged
            for scores, run in zip(scores_R, group.runs, strict=True):
                logged = {name: run.metrics.get(score(name, "test").key) for name in AREAS}
                scores |= {name: value for name, value in logged.items() if value is not None}
        rows.append((group.label, *(
            group.on_examples.over_runs(
                slug(name).removesuffix("-error"), [scores[name] for scores in scores_R if name in scores],
                KINDS[score(name, "test").unit])
            for name in shown)))
    caption = f"Further scores on the test texts, {_means(groups, ', lowest and highest in brackets')}."
    if any(not group.is_binary for group in groups):
        caption += (" With more than two classes, ROC AUC and average precision are means over the classes, each "
                    "against all others.")
    return Table(
        "scores", "Further scores", (caption,),
        (Column("Model", align="left", width=3.6), *(SCORES[name] for name in shown)), tuple(rows))


def _cost(groups: Sequence[Group]) -> Table:
    return Table.of(
        "cost", "Speed and memory", (f"Speed and memory: {_means(groups, ', lowest and highest in brackets')}.",),
        groups,
        (Column("Model", align="left", width=3.6), lambda group: group.label),
        (Column("Tokens/s"), lambda group: group.logged(TOKENS_PER_SECOND)),
        (Column("Memory", unit="MB", note="{} is the peak of the process."), lambda group: group.logged(PEAK_MEMORY)))


def _together(evidence: Evidence) -> list[Block]:
    """Return the table of the ensembles of the seeds; nothing where each model has a single seed."""
    groups = evidence.groups
    several = [group for group in groups if len(group.runs) > 1 and group.has_probabilities]
    left_out = [one for one in several if not one.whole]
    shown = [group for group in (*several, *evidence.mixtures) if group.has_together]
    scale = groups[0].scale
    score = scale.score[0].upper() + scale.score[1:]
    blocks: list[Block] = []
    if shown:
        blocks.append(Table.of(
            "together", "Ensemble of the seeds",
            ("Ensemble of the seeds of a model: the mean of their probabilities, scored as one prediction. Intervals "
             f"(95{NBSP}%, in brackets) cover fresh test texts, but not fresh seeds. No verdict uses this table.",
             " The ensemble of a mixture is all seeds together with the linear model." if evidence.mixtures else ""),
            shown,
            (Column("Model", align="left", width=3.6), lambda group: group.label),
            (Column(score, unit=scale.unit), lambda group: group.on_examples.estimate(
                f"together.{slug(group.metric)}", interval_together(group.metric, group), scale.kind)),
            # In a tuple a number stands without its interval, which is about fresh seeds.
            (Column("Single seeds", unit=scale.unit, short="Single", note=(
                f"“{{}}” is the mean {scale.score} over seeds, as in the test results.")),
             lambda group: (group.score,)),
            *([] if groups[0].metric == "log_loss" else [(Column("Loss"), _loss_together)]),
            (Column("Calibration", note="{} is the calibration error of this one prediction."), _calibration_together),
        ))
    if left_out:
        blocks.append(Paragraph((
            f"{listed([group.label for group in left_out])}: there is no ensemble of the seeds. Of more than ",
            evidence.numbers.on(()).add("together.most-whole", MOST_WHOLE, "count",
                                        "classes up to which all probabilities are kept"),
            " classes the runs kept the probabilities of the likeliest ones only, so their means over seeds are not "
            "known.")))
    return [Details("Ensemble of the seeds", tuple(blocks))] if blocks else []


def _loss_together(group: Group) -> Number:
    loss = metrics.log_loss(group.label_N, group.together.probability_RNC[0])
    return group.on_examples.add("together.loss", loss, "score", "of the mean probability of all seeds")


def _calibration_together(group: Group) -> Number:
    error = metrics.expected_calibration_error(group.label_N, group.together.probability_RNC[0])
    return group.on_examples.add("together.calibration", error, "percent", "of the mean probability of all seeds")

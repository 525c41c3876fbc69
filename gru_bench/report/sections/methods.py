"""The section on statistical methods: how the numbers were computed, and what they do not cover."""

from __future__ import annotations

from collections.abc import Sequence

from gru_bench.report.document.blocks import sentences
from gru_bench.report.document.report import Section
from gru_bench.report.document.sentences import Sentence, listed, say
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import Group, families
from gru_bench.report.evidence.progress import study_name
from gru_bench.report.sections.errors import LEAST
from gru_bench.stats.estimate import ALPHA, EvidenceLevel


def methods(evidence: Evidence) -> Section:
    """Return the section on statistical methods."""
    sure = any(EvidenceLevel.of(len(group.runs)).has_interval for group in evidence.groups)
    said: list[Sentence] = []
    if sure:
        said.append((
            "Intervals of accuracy have 95 % confidence. They cover fresh seeds and fresh reviews like the test "
            "reviews together: their variance is that over examples plus the part of the variance over seeds that is "
            "not noise of the test set, with Satterthwaite's degrees of freedom. Where few reviews are misclassified, "
            "or classified differently by two models, they lean on Wilson's interval, which has a width even where "
            "there are none.",))
    said += [
        ("Accuracies of single seeds differ by the luck of the seed and by noise, because each is measured on the same "
         "limited test set. The seed deviation is the part that this noise does not explain. The lowest and the "
         "highest seed are shown beside it.",),
        *_f1(evidence.groups, sure),
        ("Losses, times and speeds are means over the confirm runs. Times cover training alone, on the machine "
         "that ran it. Compare times of models only together with their backends.",),
        *_together(evidence.groups),
        *_looks(evidence),
        ("The intervals do not cover another training set or the luck of tuning. Test reviews are treated as "
         "independent: where several are about one product or by one author, intervals are too narrow.",),
    ]
    if any(study.summary.trials if study.summary else study.plan().trials for study in evidence.studies):
        said.append(("Search trials used training and validation reviews only, and no seed of a confirm run.",))
    said.append(("Warnings of what may be wrong with a study carry the code of their check, such as GRU003. "
                 "docs/checks.md says what each means and what to do.",))
    if evidence.compared:
        said.append(("Verdicts use a margin of ", *evidence.margin.said,
                     *_holm(evidence)))
    return Section("methods", "Statistical methods", tuple(sentences([*said, *_scratch_and_torch(evidence.groups)])))


def _f1(groups: Sequence[Group], sure: bool) -> list[Sentence]:
    """Return what F1 is, and why there are no curves of more than two classes.

    Args:
        groups: The models.
        sure: Whether F1 has an interval.
    """
    positive = dict.fromkeys(group.classes[1] for group in groups if group.is_binary)
    several = [group for group in groups if not group.is_binary]
    what = [f"F1 is computed for the class {' or '.join(positive)}"] if positive else []
    what += ["Macro F1 is the mean of the F1 of all classes, each of which counts the same"] if several else []
    how = ("; its interval is computed like that of accuracy, from how much each review moves the score." if sure
           else ".")
    said: list[Sentence] = [(f"{one}{how}",) for one in what]
    if several:
        said += [
            ("The class of the highest probability is predicted. There is no threshold to vary, so ROC and "
             "precision-recall curves are not drawn; the scores by class hold the areas below the curves of each class "
             "against all others, where the probabilities of all classes are known.",),
            ("Confidence and calibration are about the probability of the predicted class, which is at least one over "
             "the number of classes.",)]
        if sure:
            said.append((f"Scores of single classes are not compared between models. Those of classes with fewer than "
                         f"{LEAST} test reviews carry no interval.",))
    return said


def _together(groups: Sequence[Group]) -> list[Sentence]:
    """Return what the scores of the seeds together mean, where there are some."""
    if not any(group.has_together for group in groups):
        return []
    return [("The seeds together predict with the mean of their probabilities. Their interval is over test reviews "
             "only: it is about these very seeds, and says nothing of how another set of seeds would do. Fresh "
             "training is not needed, but each review is read by all of them. No verdict, ranking or margin uses these "
             "scores, because models are compared by single seeds.",)]


def _looks(evidence: Evidence) -> list[Sentence]:
    """Return how many studies of a report, and how many models of the store, were scored on the same test reviews."""
    said: list[Sentence] = []
    for place, members in enumerate(families(evidence.groups), start=1):
        studies = tuple(dict.fromkeys(group.study.run.run_id for group in members))
        if len(studies) > 1:
            names = ", ".join(dict.fromkeys(study_name(group.study) for group in members))
            count = evidence.numbers.add(
                f"methods.looks-{place}", len(studies), "count",
                "studies whose confirm runs were scored on the same test reviews", members[0].example_N.size,
                runs=studies)
            said.append(say(
                "The confirm runs of {count} studies ({names}) were scored on the same test reviews. If a study was "
                "planned after a look at another’s result, these reviews influenced it, and its intervals do not show "
                "that.", count=count, names=names))
    for family in evidence.families:
        if family.is_larger:
            said.append(say(
                "In the store, {count} models were scored on the test reviews of {models}, by confirm runs of any "
                "study.", count=family.models, models=listed([group.label for group in family.groups])))
    return said or [("In the store, only the confirm runs of one study were scored on the test reviews.",)]


def _holm(evidence: Evidence) -> Sentence:
    """Return how the tests of several pairs are corrected, as the rest of a paragraph."""
    sizes = {pair.family for pair in evidence.compared}
    if max(sizes) < 2:
        return ()
    count: Sentence = () if len(sizes) > 1 else (evidence.numbers.add("methods.family", sizes.pop()), " ")
    return say(
        " Holm's procedure over all {count}pairs of models on the same test reviews decides at the level {level}, for "
        "each kind of finding by itself; intervals are shown unadjusted.", count=count, level=evidence.numbers.add(
            "methods.level", ALPHA, "p", "chance of a false finding of a kind among all pairs, at most"))


def _scratch_and_torch(groups: Sequence[Group]) -> list[Sentence]:
    """Return whether the scratch GRU and the torch GRU, where both read in as many directions, compute the same."""
    models = {group.model: group.config.model for group in groups}
    if not {"scratch", "torch"} <= models.keys() or models["scratch"].directions != models["torch"].directions:
        return []
    if models["scratch"].reset == "before":
        return [("The scratch GRU applies the reset gate before the hidden product, so it does not compute the same "
                 "function as the torch GRU.",)]
    return [("The scratch GRU and the torch GRU compute the same function, apart from the ReLU before the linear "
             "layer where one has it, and on the same backend they run the same code. They differ in the draw of their "
             "initial weights, and on different backends in rounding and speed: reference trains the equations as "
             "written, torch runs the kernel of torch.nn.GRU, and fused that of gru-bench.",)]

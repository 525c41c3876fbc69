"""The decision of a report: which classifier to take, how good it is, and against what."""

from __future__ import annotations

from collections.abc import Sequence

from gru_bench.document.sentences import Ends, Sentence, joined, p_is, say
from gru_bench.evidence.collect import Evidence
from gru_bench.evidence.groups import ModelRuns
from gru_bench.evidence.pairs import Pair
from gru_bench.evidence.progress import study_name
from gru_bench.results.baselines import AVERAGE
from gru_bench.stats.verdict import Finding


def decision_sentence(evidence: Evidence) -> Sentence:
    """Return which classifier to take, with its score on test texts and what is found on the best other ones.

    The best candidate on validation texts is taken, whatever the test texts show. The others that are named are the
    best trained one, the best linear one and, where no average is taken, the best average on validation texts.
    """
    candidates = evidence.candidates
    chosen = candidates.chosen
    if chosen is None:
        return (f"Nothing is chosen, because {candidates.missing}.",)
    interval = "" if chosen.score.low is None else say(" [{ends}]", ends=(Ends(chosen.score, ", "),))
    what = joined([_with_seeds(one) for one in chosen.parts], " and ")
    if len(chosen.parts) > 1:
        what = (f"the {AVERAGE} of ", *what)
    elif len(evidence.studies) > 1 and not chosen.parts[0].is_fitted_once:
        what = (*what, f" of the study {study_name(chosen.study)}")
    how_good = "it is right on {score}{unit}{interval} of new texts" if chosen.metric == "accuracy" else (
        f"its {chosen.scale.score} on new texts is {{score}}{{unit}}{{interval}}")
    taken = say(f"Take {{what}}{{best}}: {how_good}", what=what, score=(chosen.score,), unit=chosen.scale.suffix,
                best=", the best on validation texts" if candidates.others else "", interval=interval)
    named: dict[tuple[bool, ...], Pair] = {}
    pairs = {pair.b.key: pair for pair in evidence.taken}
    for other in sorted(candidates.others, key=lambda one: one.validation_rank):
        if chosen.model == other.model == AVERAGE:
            continue
        named.setdefault(tuple(part.is_fitted_once for part in other.parts), pairs[other.key])
    found = [_found(words, some) for words, some in _by_finding([*named.values()]) if some]
    return (*joined([taken, *found], ", "), ".")


def _with_seeds(group: ModelRuns) -> Sentence:
    return (group.label,) if len(group.runs) == 1 else say("{label} (all {seeds} seeds)", label=group.label,
                                                           seeds=group.seeds)


def _by_finding(pairs: Sequence[Pair]) -> Sequence[tuple[str, Sequence[Pair]]]:
    """Return the pairs of the classifier that is taken, by what is found on it."""
    def where(*findings: Finding, favours: int) -> list[Pair]:
        return [pair for pair in pairs if pair.verdict.finding in findings and pair.favours == favours]

    return (
        ("better than", where(Finding.BETTER, favours=1)),
        ("better by a negligible amount than", where(Finding.NEGLIGIBLE, favours=1)),
        ("equivalent within {margin}{unit} to", where(Finding.EQUIVALENT, favours=0)),
        ("not shown to be better than", where(
            Finding.INCONCLUSIVE, Finding.TOO_FEW_GROUPS, Finding.GUESSING, favours=0)),
        ("worse by a negligible amount than", where(Finding.NEGLIGIBLE, favours=-1)),
        ("worse, though it was better on validation texts, than", where(Finding.BETTER, favours=-1)))


def _found(words: str, pairs: Sequence[Pair]) -> Sentence:
    """Return what is found on the classifier that is taken and some others, with their differences. A p of equivalence
    would be taken for one of a difference."""
    is_said = pairs[0].verdict.finding is not Finding.EQUIVALENT
    others = [say("{label} ({difference}{p})", label=pair.b.label, difference=(pair.number("difference"),),
                  p=(", ", *p_is(pair.p)) if is_said and pair.p.value is not None else "") for pair in pairs]
    what = say(words, margin=pairs[0].number("margin"), unit=pairs[0].scale.after)
    return joined([what, joined([joined(others[:-1], ", "), others[-1]], " and ")])

"""What the evidence of a report finds, as data, and whether a claim on two models holds."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from gru_bench import cli
from gru_bench.document.numbers import scale_of
from gru_bench.document.report import Answer, Findings, ModelScore
from gru_bench.document.sentences import in_text
from gru_bench.errors import ExitCode, UsageError, shown
from gru_bench.evidence.collect import Evidence
from gru_bench.evidence.groups import ModelRuns
from gru_bench.evidence.pairs import Pair
from gru_bench.evidence.progress import study_name
from gru_bench.evidence.verdicts import needed_sentence, verdict_sentence
from gru_bench.report.sections.summary import about_examples
from gru_bench.stats.verdict import DIFFERENT, Finding


def findings_of(evidence: Evidence) -> Findings:
    """Return what a report finds."""
    metric = evidence.groups[0].metric
    return Findings(
        studies=tuple(map(study_name, evidence.studies)), score=scale_of(metric).score, metric=metric,
        models=tuple(map(_score, (*evidence.groups, *evidence.baselines))),
        candidates=tuple(map(_score, evidence.candidates.every)),
        chosen=None if evidence.candidates.chosen is None else evidence.candidates.chosen.label,
        taken=tuple(map(_answer, evidence.taken)),
        pairs=tuple(map(_answer, evidence.pairs)), notes=tuple(map(in_text, about_examples(evidence))),
        groups_are_off=evidence.are_groups_off)


def _score(group: ModelRuns) -> ModelScore:
    score = group.score
    return ModelScore(label=group.label, model=group.model, study=study_name(group.study), score=score.value,
                      low=score.low, high=score.high, seeds=_seeds(group),
                      groups=None if group.group_N is None else len(np.unique(group.group_N)),
                      group_columns=group.grouped_by, refusals=sum(group.refusals.values()))


def _seeds(group: ModelRuns) -> int | None:
    return None if group.is_fitted_once else len(group.runs)


def _answer(pair: Pair) -> Answer:
    finding, theta, tests = pair.verdict.finding, pair.number("difference"), pair.tests
    p, p_equivalent = (tests.different, tests.equivalent) if tests else (None, None)
    better = None
    if finding in DIFFERENT:
        better = pair.names[0] if pair.favours >= 0 else pair.names[1]
    return Answer(
        a=pair.names[0], b=pair.names[1], models=(pair.a.model, pair.b.model),
        studies=(study_name(pair.a.study), study_name(pair.b.study)), finding=finding.value, better=better,
        difference=pair.difference.estimate, low=theta.low, high=theta.high, interval=in_text((pair.interval_name,)),
        margin=pair.verdict.margin, p=p, p_equivalent=p_equivalent, family=pair.family,
        seeds=(_seeds(pair.a), _seeds(pair.b)), examples=pair.difference.examples,
        settled=pair.can_be_claimed and (better is not None or finding is Finding.EQUIVALENT),
        sentence=in_text(verdict_sentence(pair)), needed=in_text(needed_sentence(pair)),
        texts_needed=pair.texts_needed)


def needs_of(found: Findings) -> list[str]:
    """Return what could settle each open pair, a sentence each."""
    return [f"{pair.a} and {pair.b}: {pair.needed}" for pair in found.pairs if pair.needed]


def answered(found: Findings, claim: str | None, *, as_json: bool) -> ExitCode:
    """Print what a report finds as JSON, or whether a claim is true, and return the exit code that says so."""
    if as_json:
        print(json.dumps(asdict(found), indent=1))
    if claim is None:
        return ExitCode.DONE
    code, lines = judged(claim, found)
    for line in lines:
        cli.out(stderr=as_json).print(line, markup=False, soft_wrap=True)
    return code


def judged(claim: str, found: Findings) -> tuple[ExitCode, list[str]]:
    """Return whether a claim is proven (0), refuted or its models equivalent (4), or neither (3), and what to print.

    That is one sentence, and one on other models that met the same test texts; of a claim that is not settled also
    what could settle it.

    Args:
        claim: Such as `bidirectional > torch` or `torch > ngrams`: the first is the better one. `<` says the contrary.
        found: What a report finds.

    Raises:
        UsageError: It is no such claim, groups are turned off, or its models are not compared, or in several ways.
    """
    parts = re.fullmatch(r"\s*(.+?)\s*([<>])\s*(.+?)\s*", claim)
    if parts is None or set(parts[1] + parts[3]) & set("<>"):
        raise UsageError("--claim must be two model names separated by >, such as 'bidirectional > torch', but got "
                         f"{shown(claim)}")
    if found.groups_are_off:
        raise UsageError("--claim needs groups, but they are turned off (group_column=none): leave that out")
    first, second = (parts[1], parts[3]) if parts[2] == ">" else (parts[3], parts[1])
    matching = [pair for pair in found.pairs if _names(pair, first, second) or _names(pair, second, first)] or [
        pair for pair in found.taken if _names(pair, first, second) or _names(pair, second, first)]
    if len(matching) != 1:
        known = "; ".join(f"{pair.models[0]} and {pair.models[1]}" for pair in found.pairs) or "none"
        what = "no pair is" if not matching else f"{len(matching)} pairs are"
        raise UsageError(f"--claim must be about one compared pair, but {what} {first} and {second}; compared pairs "
                         f"are: {known}. Choose studies with --study, or use the model names of the report")
    pair = matching[0]
    claimed = pair.a if _names(pair, first, second) else pair.b
    if pair.settled and pair.better is not None:
        holds = pair.better == claimed
        return (ExitCode.DONE if holds else ExitCode.NO,
                [f"{'proven' if holds else 'refuted'}: {pair.sentence}", *found.notes])
    if pair.settled:
        return ExitCode.NO, [f"equivalent: {pair.sentence}", *found.notes]
    few = "A claim needs at least 5 seeds per model." if pair.better is not None else ""
    said = " ".join(filter(None, (f"not settled: {pair.sentence}", few, pair.needed)))
    return ExitCode.INCOMPLETE, [said, *found.notes]


def _names(pair: Answer, first: str, second: str) -> bool:
    """Return whether two names are those of the models of a pair, in this order."""
    a, b = (pair.a, pair.models[0]), (pair.b, pair.models[1])
    return _is(first, *a, unlike=b) and _is(second, *b, unlike=a)


def _is(name: str, *called: str, unlike: Sequence[str] = ()) -> bool:
    """Return whether a model is called like that, however it is written unless another one is called exactly so."""
    return name in called or (name not in unlike and name.casefold() in map(str.casefold, called))

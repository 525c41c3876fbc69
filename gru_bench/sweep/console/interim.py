"""What an interim analysis of the confirmation runs found, line by line, for the console."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gru_bench.results.interim import InterimAnalysis, InterimPlan
from gru_bench.stats.interim import PairAnalyses, compared_at, is_settled
from gru_bench.stats.sentence import in_words, verdict_template


def analysis_lines(
    plan: InterimPlan, analysis: InterimAnalysis, place: int, pairs: Sequence[PairAnalyses]
) -> Iterator[str]:
    """Yield what an interim analysis found, line by line, for the console.

    Args:
        plan: The plan.
        analysis: The interim analysis.
        place: Its index in the plan, from 0.
        pairs: The pairs, up to this analysis.
    """
    yield f"interim analysis {place + 1} of {len(plan.interim)}, {analysis.planned} seeds for each model:"
    for model, seeds in analysis.seeds.items():
        if len(seeds) < analysis.planned:
            yield f"  {model}: {analysis.planned - len(seeds)} of its seeds failed, so it has fewer than planned"
    if not pairs:
        yield "  with only one model there is no pair to settle, so all planned seeds are trained"
    for pair in pairs:
        yield f"  {pair_line(plan, pair)}"
    if analysis.stops:
        yield ("  every pair is settled, so no seeds are added" if is_settled(pairs) else
               "  this was the last planned analysis, so no seeds are added, although some pairs are not settled")
    else:
        yield f"  continues to {plan.interim[place + 1]} seeds"


def pair_line(plan: InterimPlan, pair: PairAnalyses) -> str:
    """Return what the last interim analysis found on a pair, and whether it is settled."""
    shown = compared_at(pair, plan, pair.pair)
    said = in_words(shown, verdict_template(shown))
    if pair.settled is None and pair.last.repeated is not None and pair.last.needs_examples(plan.margin):
        said += in_words(shown, " No number of seeds is likely to settle it within {margin}{unit}: that needs more "
                                "test texts.")
    return said

"""The data of the studies: what they hold, and what the models read of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gru_bench.document.blocks import Block, Cell, Column, Details, Heading, Paragraph, Table
from gru_bench.document.numbers import Number, Numbers, file_name, plain
from gru_bench.document.sentences import Sentence, say
from gru_bench.evidence.collect import Evidence
from gru_bench.evidence.groups import LISTED_CLASSES, UNCATEGORIZED
from gru_bench.evidence.pairs import ScoredTestSet
from gru_bench.evidence.progress import study_data
from gru_bench.results.runs import DataSummary


def data(evidence: Evidence) -> list[Block]:
    """Return what the data hold, for the section on data and runs; nothing where no study tells it."""
    if not evidence.studies or (summary := study_data(evidence.studies[0], evidence.store)) is None:
        return []
    key, name = "data-1", plain(summary.name)
    numbers = evidence.numbers.of(key).on([study.run.run_id for study in evidence.studies])
    blocks: list[Block] = [Heading(name, key), _facts(summary, numbers, name)]
    if evidence.test_set.studies > 1:
        blocks.append(Paragraph(_scored_before(evidence.test_set)))
    if len(summary.classes) > 2:
        blocks.append(Details("Texts by class, over all splits", (_classes(summary, numbers, name),)))
    if summary.categories:
        blocks.append(Details("Texts by category, over all splits", (_categories(summary, numbers, name),)))
    return blocks


def _scored_before(test_set: ScoredTestSet) -> Sentence:
    """Return how many studies have scored a test set, and what that means."""
    return say(
        "Up to the newest run of this report, {studies} studies have used these test texts. If one was "
        "planned after its author saw the test scores of another, its results may be too good, which intervals do not "
        "show.",
        studies=test_set.numbers.add("studies", test_set.studies, "count", "studies of the store with a complete "
                                     "confirmation run on these test texts"))


def _facts(found: DataSummary, numbers: Numbers, title: str) -> Table:

    def share(name: str, value: float) -> Number:
        return numbers.add(name, value, "percent", "as the study logged it")

    count = numbers.add
    held_back = found.available - found.taken
    rows: tuple[tuple[Cell, ...], ...] = (
        ("training texts", count("train", found.train)),
        ("validation texts", count("validation", found.validation)),
        ("test texts", count("test", found.test)),
        *([("texts left out by data.limit", count("held-back", held_back))] if held_back else []),
        (f"texts of the class {plain(found.classes[1])} over all splits, %", share("positive", found.positive_share))
        if len(found.classes) == 2 else ("classes", count("classes", len(found.classes))),
        ("exact duplicates removed", count("repeats", found.repeats_removed)),
        ("training rows removed because they are in the test file", count("test-repeats", found.test_repeats_removed)),
        *_near(found, count),
        *((f"groups of {'training' if split == 'train' else split} texts", count(f"groups-{split}", groups))
          for split, groups in found.groups.items()),
        ("distinct words", count("vocabulary", found.vocabulary)),
        ("word vectors", file_name(found.embedding)),
        ("dimension of a word vector", count("dimension", found.embedding_dimension)),
        *([("passes over the training texts to train the vectors", count("passes", found.vector_passes))]
          if found.vector_passes is not None else []),
        ("words with a vector", count("covered", found.covered_words)),
        ("tokens without a vector, dropped, %", share("dropped", found.dropped_share)),
        ("most tokens read of a text, from its start",
         "all" if found.max_length is None else count("max-length", found.max_length)),
        ("texts cut to that length, %", share("cut", found.cut_share)),
        ("fingerprint", plain(found.fingerprint)),
    )
    return Table(numbers.key, f"Data: {title}", (f"Data: {title}.",),
                 (Column("Fact", align="left", width=7), Column("Value", align="left", width=6)), rows)


def _near(found: DataSummary, count: Callable[[str, int], Number]) -> Iterator[tuple[Cell, ...]]:
    """Yield what a study logged of near-duplicates across splits."""
    if (near := found.near) is not None:
        yield "test texts with a near-duplicate in training", count("near-test", near.test)
        yield "validation texts with a near-duplicate in training", count("near-validation", near.validation)
        yield (f"training texts that are near-duplicates of them{', removed' if near.removed else ''}",
               count("near-train", near.train))


def _classes(found: DataSummary, numbers: Numbers, title: str) -> Table:
    names = list(map(plain, found.classes))
    listed = sorted(sorted(range(len(names)), key=lambda place: -found.class_counts[place])[:LISTED_CLASSES])
    total = sum(found.class_counts)
    numbers_C = [numbers.of("class").named(name) for name in names]
    rows: tuple[tuple[Cell, ...], ...] = tuple((
        names[place], numbers_C[place].add("", found.class_counts[place]),
        numbers_C[place].add("share", found.class_counts[place] / total, "percent")) for place in listed)
    return Table(
        f"{numbers.key}-classes", f"Texts by class: {title}",
        (f"Texts by class, over all splits: {title}."
         f"{f' The {LISTED_CLASSES} largest ones are listed.' * (len(names) > LISTED_CLASSES)}",),
        (Column("Class", align="left", width=7), Column("Texts"), Column("Of all", unit="%")), rows)


def _categories(found: DataSummary, numbers: Numbers, title: str) -> Table:
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (plain(name) or UNCATEGORIZED, numbers.of("category").named(name).add("", size))
        for name, size in found.categories.items())
    return Table(
        f"{numbers.key}-categories", f"Texts by category: {title}",
        (f"Texts by category, over all splits: {title}.",),
        (Column("Category", align="left", width=7), Column("Texts")), rows)

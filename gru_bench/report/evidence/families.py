"""The models that were scored on one test set, in the whole store: their pairs are one family of tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gru_bench.report.document.numbers import Number, Numbers
from gru_bench.report.evidence.groups import Group
from gru_bench.report.evidence.store import Store
from gru_bench.results.runs import digest_of_examples
from gru_bench.stats.verdict import pairs_of


@dataclass(frozen=True)
class Family:
    """The models that were scored on one test set."""

    digest: str
    """Digest of the test examples."""
    groups: tuple[Group, ...]
    """The models that the report shows."""
    size: int
    """Number of models in the store, those that the report shows included."""
    numbers: Numbers

    @property
    def is_larger(self) -> bool:
        """Return whether there are more models than the report shows."""
        return self.size > len(self.groups)

    @property
    def models(self) -> Number:
        """Return the number of models."""
        return self.numbers.add("models", self.size, "count", "models with a complete confirm run on these test "
                                "reviews, in all studies of the store")

    @property
    def pairs(self) -> Number:
        """Return the number of pairs of the models."""
        return self.numbers.add("pairs", pairs_of(self.size), "count", "pairs of these models")


def families_of(
    groups: Sequence[Group], store: Store, numbers: Numbers, counted: Mapping[str, int] | None = None
) -> tuple[Family, ...]:
    """Return the families of the models that a report shows, one for each test set.

    Args:
        groups: The models.
        store: The store, whose other models are counted too.
        numbers: Makes the numbers of the report.
        counted: Digest of a test set -> number of models, where they were counted before: a report that is computed
            again does not count the studies that were run since. None: they are counted now.
    """
    by_digest: dict[str, list[Group]] = {}
    for group in groups:
        by_digest.setdefault(digest_of_examples(group.example_N), []).append(group)
    found = []
    for place, (digest, own) in enumerate(by_digest.items(), start=1):
        fingerprints = sorted({group.fingerprint for group in own})
        size = store.confirmed_models(digest, fingerprints) if counted is None else counted.get(digest, 0)
        found.append(Family(digest, tuple(own), max(size, len(own)), numbers.of(
            f"test-set-{place}", [run_id for group in own for run_id in group.ids], own[0].example_N.size)))
    return tuple(found)

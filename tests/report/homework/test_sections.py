"""A study of the homework's protocol tells its story from its own numbers, with what was published apart."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from xml.etree import ElementTree

import numpy as np
import pytest
from bs4 import BeautifulSoup
from markupsafe import escape

from gru_bench.evaluation import statistics
from gru_bench.evaluation.statistics import Finding
from gru_bench.report import verify
from gru_bench.report.build import build
from gru_bench.report.document.blocks import Table, prose
from gru_bench.report.document.numbers import MISSING, Math, numbers_in
from gru_bench.report.homework import published
from gru_bench.report.homework.ablations import chance_first
from gru_bench.report.homework.sections import BECOMES
from gru_bench.report.render import html_latex as render
from gru_bench.report.render import record
from gru_bench.report.render.markdown import markdown
from tests.support.fake_store import FakeStore, three_models
from tests.support.homework_study import ABLATIONS, TIMINGS, add_homework, homework
from tests.support.renderings import html_numbers, said, tex_numbers

OURS = ("introduction", "theory", "protocol", "training-loss", "run-times", "ablations", "discussion")


@pytest.fixture(scope="module")
def made():
    store, studies = homework()
    return store, studies[0], build(studies, store, experiment="reviews")


@pytest.fixture(scope="module")
def forms(made):
    report = made[2]
    return render.html(report), render.tex(report), markdown(report)


def section(report, name):
    return next(section for section in report.sections if section.name == name).content


def table(report, name, key):
    return next(block for block in section(report, name).blocks if isinstance(block, Table) and block.key == key)


def told(report, name) -> str:
    """Return all the words of a section."""
    parts = []
    for block in section(report, name).blocks:
        for text in [getattr(block, "text", ()), *(text for _, text in getattr(block, "items", ()))]:
            parts.append(text if isinstance(text, str) else said(text))
    return "\n".join(parts)


def correct(store, runs, split):
    read = [store.kept[run.run_id, split] for run in runs]
    return np.stack([(p.probability_N >= 0.5) == (p.label_N == 1) for p in read])


def test_only_a_study_of_the_protocol_has_the_homeworks_sections(made):
    names = [section.name for section in made[2].sections]
    assert [name for name in names if name in OURS] == list(OURS)
    assert names.index("protocol") < names.index("evaluation") < names.index("training-loss")
    store, studies = three_models()
    others = build(studies, store)
    assert not {section.name for section in others.sections} & set(OURS)
    assert len(others.summary) == 5


def test_no_two_landmarks_share_a_name(forms):
    soup = BeautifulSoup(forms[0], "html.parser")
    sections = [soup.find(id=part["aria-labelledby"]).get_text() for part in soup.find_all("section")]
    regions = [part["aria-label"] for part in soup.find_all(role="region")]
    assert len({*sections, *regions}) == len(sections) + len(regions)


def test_page_document_and_markdown_show_the_same_numbers(made, forms):
    report = made[2]
    page, files, text = forms
    on_page, on_paper = html_numbers(page), tex_numbers(files)
    assert {key: shown for key, (shown, _) in on_page.items()} == on_paper
    ours = [number for name in OURS for number in numbers_in(section(report, name))]
    assert len(ours) > 100
    for number in ours:
        assert on_page[number.key][0] == number.text
        assert number.text.replace("<", "&lt;") in text


def test_what_was_published_is_marked_and_never_mixed_with_ours(made):
    for key, number in made[2].numbers().items():
        marked = number.method == published.LABEL
        assert marked == key.startswith("published.")
        assert not (marked and number.runs)
    shown = {key: number.text for key, number in made[2].numbers().items() if key.startswith("published.")}
    assert shown == {
        "published.scratch.accuracy": "84.1", "published.torch.accuracy": "84.2",
        "published.bidirectional.accuracy": "85.3", "published.scratch.seconds": "8,075",
        "published.torch.seconds": "388", "published.bidirectional.seconds": "476", "published.reviews": "3,560",
        "published.others-lowest": "82.7", "published.others-highest": "87.7", "published.slower": "20.8",
    }


def test_published_rows_stand_apart_on_the_page(forms):
    soup = BeautifulSoup(forms[0], "html.parser")
    for element in soup.find_all("data", attrs={"data-key": re.compile(r"^published\.(scratch|torch|bidirectional)")}):
        assert element.find_parent("tbody")["class"] == ["context"]
        assert "published" in element.find_parent("tr").th.get_text()


def test_ablations_are_paired_differences_on_validation(made):
    store, study, report = made
    rows = table(report, "ablations", "of-homework-ablations").rows
    p = []
    for ablation, row in zip(ABLATIONS, rows, strict=True):
        usual, other = (correct(store, study.side(ablation.name, side), "validation") for side in ("usual", "other"))
        expected = statistics.accuracy_difference(other, usual)
        _, before, after, difference, _, _ = row
        assert (before.value, after.value) == (usual.mean(), other.mean())
        assert (difference.value, difference.low, difference.high) == (
            expected.estimate, expected.low, expected.high,
        )
        assert set(difference.runs) == {run.run_id for side in ("usual", "other")
                                        for run in study.side(ablation.name, side)}
        p.append(expected.p)
    assert [row[4].value for row in rows] == statistics.holm(p)
    text = told(report, "ablations")
    assert "The pooling “final” is better than the pooling “last” by more than 1.0 points: +" in text
    assert "Keeping the best epoch on validation and keeping the lowest training loss are equivalent within 1.0" in text
    assert "The learning rate 0.001 is better than the learning rate 0.0001" in text


def test_no_test_review_enters_a_ablation(made):
    store, study, _ = made
    store.reads.clear()
    build([study], store)
    ablations = {run.run_id for run in study.ablations if run.tags["gru_bench.side"] != "tuning"}
    assert ablations <= set(store.reads)
    assert not any((run, "test") in store.kept for run in ablations)


def test_what_was_tried_before_a_tuned_ablation_is_said(made):
    _, study, report = made
    said = told(report, "ablations")
    assert "How the learning rate was tuned." in [
        name for block in section(report, "ablations").blocks for name, _ in getattr(block, "items", ())]
    assert ("Tried once each, with one seed, and the validation accuracy they reached: "
            "0.0001: 70.0 %; 0.0003: 72.0 %; 0.001: 74.0 %. The best, the learning rate 0.001, is what the protocol is "
            "compared with above. It was chosen on another cut of the training file: 10.0 % of the reviews that judge "
            "it here are among those it was chosen by, which favours it.") in said
    tried = study.side("lr", "tuning")
    assert [report.numbers()[f"of-homework.ablation.lr.tuning.{place}"].runs for place in (1, 2, 3)] == [
        (run.run_id,) for run in tried]


def test_how_far_a_choice_is_judged_by_the_reviews_it_was_chosen_by_is_said():
    store, (study,) = homework()
    (first, *_), (judge, *_) = study.side("lr", "tuning"), study.side("lr", "usual")
    kept = store.kept[first.run_id, "validation"]
    store.kept[first.run_id, "validation"] = store.kept[judge.run_id, "validation"]
    said = told(build([study], store), "ablations")
    assert "It was chosen by the reviews that judge it here, which favours it." in said
    store.kept[first.run_id, "validation"] = replace(kept, example_id_N=np.char.add("x", kept.example_id_N))
    said = told(build([study], store), "ablations")
    assert "None of the reviews that judge it here is among those it was chosen by." in said
    del store.kept[first.run_id, "validation"]
    assert "Which reviews it was chosen by is not known" in told(build([study], store), "ablations")


def test_a_candidate_without_a_result_is_named():
    store, (study,) = homework()
    broken = tuple(replace(run, complete=run.params.get("training.lr") != "0.0003") for run in study.ablations)
    said = told(build([replace(study, ablations=broken)], store), "ablations")
    assert "0.0001: 70.0 %; 0.001: 74.0 %. No result from 0.0003. The best" in said


def test_candidates_that_read_alike_are_all_shown():
    store, (study,) = homework()
    alike = {"0.0003": "0.0010004"}
    runs = tuple(replace(run, params={name: alike.get(value, value) for name, value in run.params.items()})
                 for run in study.ablations)
    said = told(build([replace(study, ablations=runs)], store), "ablations")
    assert "0.0001: 70.0 %; 0.001: 74.0 %; 0.001: 72.0 %. The best" in said


def test_a_choice_that_costs_is_called_worse():
    store, studies = homework(ablations=(replace(ABLATIONS[0], usual={"model.pooling": "final"},
                                                 other={"model.pooling": "last"}),))
    (study,) = studies
    swap = {"usual": "other", "other": "usual"}
    study = replace(study, ablations=tuple(
        replace(run, tags={**run.tags, "gru_bench.side": swap[run.tags["gru_bench.side"]]}) for run in study.ablations))
    report = build([study], store)
    (row,) = table(report, "ablations", "of-homework-ablations").rows
    assert row[5] == "worse by more than the margin"
    assert row[3].value < 0
    words = told(report, "ablations")
    assert "The pooling “last” is worse than the pooling “final” by more than 1.0 points: −" in words


def test_a_ablation_whose_tuning_found_nothing_better_has_one_side():
    store, studies = homework(ablations=(replace(ABLATIONS[2], other=ABLATIONS[2].usual),))
    said = told(build(studies, store), "ablations")
    assert "Nothing did better than the protocol’s own, so there is nothing to compare it with." in said
    assert "complete run" not in said


@pytest.mark.parametrize(("seeds", "words"), [(1, "from 1 seed"), (2, "from 2 seeds: an estimate only"),
                                              (3, "from 3 seeds (5 are the least)")])
def test_ablations_of_few_seeds_say_less(seeds, words):
    store, studies = homework(ablation_seeds=seeds)
    report = build(studies, store)
    row = table(report, "ablations", "of-homework-ablations").rows[0]
    assert (row[3].low is None) == (seeds == 2)
    assert row[4].text == MISSING
    assert row[5] == Finding.TOO_FEW_SEEDS.value
    assert words in told(report, "ablations")


def test_runs_of_ablations_are_counted_among_all_runs(made):
    counts = {count.stage: count for count in made[2].counts}
    assert counts["ablation"].complete.value == 23
    assert set(counts["ablation"].complete.runs) == {run.run_id for run in made[1].ablations}


def test_a_ablation_without_runs_or_with_lost_ones_is_said(made):
    store, study, _ = made
    lost = list(study.side("lr", "other"))
    kept = tuple(run for run in study.ablations if run not in lost)
    text = told(build([replace(study, ablations=kept)], store), "ablations")
    assert "Does a larger learning rate reach more in the same epochs? Not every side has a complete run" in text
    broken = tuple(replace(run, complete=False) if run is lost[0] else run for run in study.ablations)
    text = told(build([replace(study, ablations=broken)], store), "ablations")
    assert "epochs? Runs that did not end well and are left out: 1." in text


def test_sides_scored_on_different_reviews_are_not_compared(made):
    store, study, _ = made
    other = FakeStore(by_experiment=store.by_experiment, metrics=store.metrics, kept=dict(store.kept))
    for run in study.side("pooling", "other"):
        kept = other.kept[run.run_id, "validation"]
        other.kept[run.run_id, "validation"] = replace(kept, example_id_N=np.char.add(kept.example_id_N, "x"))
    text = told(build([study], other), "ablations")
    assert "Its two sides were scored on different reviews, and are not compared." in text


def test_how_often_one_seed_each_would_name_another_winner():
    right = [np.array([5, 7]), np.array([6, 6]), np.array([4, 6])]
    # The eight draws: first of each by hand, ties shared.
    assert chance_first(right) == pytest.approx([4 / 8, (2 + 2 / 2) / 8, (2 / 2) / 8])
    store, studies = homework(skills={"scratch": 0.0, "torch": 0.005, "bidirectional": 0.01})
    report = build(studies, store)
    rows = table(report, "ablations", "of-homework-one-seed").rows
    assert sum(row[3].value for row in rows) == pytest.approx(1)
    other = report.numbers()["of-homework.one-seed.other"]
    best = max(range(3), key=lambda place: rows[place][2].value)
    assert other.value == pytest.approx(1 - rows[best][3].value)
    assert other.value > 0.05
    assert f"In {other.text} % of them another model than {rows[best][0]}" in told(report, "ablations")


def test_run_times_are_worked_out_from_the_timings_and_say_so(made):
    shown = table(made[2], "run-times", "of-homework-times")
    torch = TIMINGS[2]
    for timing, row in zip(TIMINGS, shown.rows, strict=True):
        assert row[1] == timing.backend
        assert row[5].value == pytest.approx(timing.seconds / 400 * 101_820)
        assert row[6].value == pytest.approx(timing.seconds / torch.seconds)
        assert "not measured" in row[5].method
    text = told(made[2], "run-times")
    assert "on the fused backend was 6.0 times as fast as the torch GRU" in text
    assert "on the reference backend took 2.0 times as long" in text
    assert "Published was a factor of 20.8, of a loop in Python against nn.GRU on a graphics card" in text


def test_without_the_base_or_any_timing_nothing_is_compared():
    store, studies = homework(timings=TIMINGS[:1])
    report = build(studies, store)
    assert table(report, "run-times", "of-homework-times").rows[0][6].text == MISSING
    assert "published" not in told(report, "run-times").lower()
    store, studies = homework(timings=(), ablations=())
    report = build(studies, store)
    assert "No model was timed alone." in told(report, "run-times")
    assert "No choice was set against another." in told(report, "ablations")


def test_the_training_table_holds_every_setting(made):
    rows = {row[0]: row[1:] for row in table(made[2], "protocol", "of-homework-training").rows}
    assert rows["pooling"] == ("last",) * 3
    assert rows["ReLU before the last linear layer"] == ("no", "yes", "yes")
    assert rows["backend"] == ("fused", "torch", "torch")
    assert [cell.text for cell in rows["parameter tensors"]] == ["6", "6", "10"]
    assert [cell.text for cell in rows["parameters"]] == ["120,802", "120,802", "241,602"]
    assert [cell.text for cell in rows["learning rate of Adam"]] == ["0.0001"] * 3
    assert rows["norm of the gradient"] == ("not clipped",) * 3
    assert rows["weights kept: those of"] == ("the lowest training loss",) * 3


def test_departures_from_the_protocol_are_named(made):
    assert "depart" not in told(made[2], "protocol")
    store, studies = homework(settings={"training.epochs": 1, "training.clip_norm": 1.0, "model.reset": "before"})
    report = build(studies, store)
    text = told(report, "protocol")
    assert "These runs depart from the homework’s protocol in what follows. " in text
    assert "Scratch GRU, epochs: 1 (homework: 5)" in text
    assert "Torch GRU, norm of the gradient: 1 (homework: not clipped)" in text
    assert "reset gate: before the product (homework: after the product)" in text
    assert "by its protocol (but for the departures named below) on reviews" in told(report, "introduction")
    assert "it was set to reset before the product, and so is another function" in told(report, "theory")
    assert "by a protocol that departs from the homework’s" in said(report.summary[-1])


def test_vectors_that_were_scaled_say_so(made):
    assert "multiplied" not in told(made[2], "theory")
    store, studies = homework(settings={"embedding.scale": 2.9})
    text = told(build(studies, store), "theory")
    assert "are “vectors.bin”, 300 numbers each, all multiplied by 2.9 (a factor brings vectors" in text
    assert "; 2.1 % of all tokens have none" in text


@pytest.mark.parametrize(("embedding", "dimension", "said"), [
    ("corpus", 300, "the word vectors are trained on the training reviews (homework: word2vec of a news corpus)"),
    ("vectors.bin", 50, "a vector has 50 numbers (homework: 300)"),
])
def test_other_vectors_are_a_departure(embedding, dimension, said):
    store, studies = homework()
    data = replace(studies[0].summary.data, embedding=embedding, embedding_dimension=dimension)
    store.by_experiment["movie-reviews"][0] = replace(studies[0], summary=replace(studies[0].summary, data=data))
    assert said in told(build(store.by_experiment["movie-reviews"], store), "protocol")


def test_files_are_named_without_their_folders():
    store, studies = homework(settings={"embedding.name": "/home/someone/vectors.bin"})
    data = replace(studies[0].summary.data, embedding="/home/someone/vectors.bin")
    store.by_experiment["movie-reviews"][0] = replace(studies[0], summary=replace(studies[0].summary, data=data))
    report = build(store.by_experiment["movie-reviews"], store)
    assert "are “vectors.bin”" in told(report, "theory")
    rows = {row[0]: row[1:] for row in table(report, "protocol", "of-homework-training").rows}
    assert rows["word vectors"] == ("vectors.bin",) * 3


def test_the_discussion_sets_the_networks_beside_a_linear_model_and_the_kernel_beside_the_loop(made):
    text = told(made[2], "discussion")
    _, study, _ = made
    linear = max(baseline.test_accuracy for baseline in study.summary.baselines)
    assert f"answers {100 * linear:.1f} % of these test reviews rightly: " in text
    assert "the same weights take 12.0 times as long in the readable loop" in text
    caption = "".join(map(str, table(made[2], "ablations", "of-homework-ablations").caption))
    assert "seeds a side, trained on the fused backend, and the difference" in caption


def test_losses_are_those_of_the_windows(made):
    store, study, report = made
    curve = section(report, "training-loss").curves[0]
    runs = [run for run in study.confirms if run.model == "scratch"]
    assert [name for name, _ in curve.seeds] == [f"seed {run.seed}" for run in runs]
    lowest = [min(loss for _, loss in store.metrics[run.run_id]["loss/train_window"]) for run in runs]
    assert (curve.lowest.value, curve.lowest.low, curve.lowest.high) == (
        pytest.approx(np.mean(lowest)), min(lowest), max(lowest),
    )
    assert curve.window.value == 800


def test_reviews_without_a_known_word_are_counted_and_scored(made):
    text = told(made[2], "ablations")
    assert "Test reviews without a known word: 3. Read as one step of zeros" in text
    assert "7 of the training reviews, 3 of the test reviews have no known word at all" in told(made[2], "protocol")
    store, studies = homework(empty=0, wordless={"train": 0, "test": 0})
    report = build(studies, store)
    assert "No test review is without a known word" in told(report, "ablations")
    assert "Every review has at least one word with a vector." in told(report, "protocol")


@pytest.mark.parametrize(
    ("skills", "words"),
    [
        ({"scratch": 0.0, "torch": 0.0, "bidirectional": 0.3}, "holds up against Scratch GRU and Torch GRU"),
        ({"scratch": 0.3, "torch": 0.3, "bidirectional": 0.0}, "is contradicted against Scratch GRU and Torch GRU"),
        ({"scratch": 0.0, "torch": 0.3, "bidirectional": 0.3}, "holds up against Scratch GRU; it "),
    ],
)
def test_the_conclusion_follows_from_the_verdicts(skills, words):
    store, studies = homework(skills=skills, seeds=6)
    report = build(studies, store)
    conclusion = said(report.summary[-1])
    assert conclusion in told(report, "discussion")
    assert f"the claim that the bidirectional GRU is better {words}" in conclusion
    for pair in report.comparisons:
        if "Bidirectional" in pair.sentence[0]:
            behind = pair.b == "Bidirectional GRU"
            other = pair.a if behind else pair.b
            assert re.search(rf"{BECOMES[pair.finding][behind]} against [^;]*{other}", conclusion)


def test_every_finding_has_its_word():
    assert set(BECOMES) == {finding.value for finding in Finding}
    assert all(becomes == "stays open" for finding in (Finding.INCONCLUSIVE, Finding.TOO_FEW_SEEDS)
               for becomes in BECOMES[finding.value])


def test_few_seeds_leave_the_claim_open():
    store, studies = homework(seeds=2)
    assert "stays open against Scratch GRU and Torch GRU" in said(build(studies, store).summary[-1])


def test_a_study_without_a_bidirectional_model_does_not_speak_of_it():
    store, studies = homework(skills={"scratch": 0.0, "torch": 0.1})
    assert "does not speak of the claim" in said(build(studies, store).summary[-1])


def test_two_studies_of_the_protocol_are_told_apart():
    store = FakeStore()
    add_homework(store, name="first")
    add_homework(store, name="second")
    report = build(store.by_experiment["movie-reviews"], store)
    assert [said(sentence)[:25] for sentence in report.summary[-2:]] == ["In the runs of first, by ",
                                                                           "In the runs of second, by"]
    assert table(report, "ablations", "of-second-ablations").about == "Choices of the protocol, second"
    assert {"of-first.ablation.lr.difference", "of-second.ablation.lr.difference"} <= set(report.numbers())


def test_formulas_are_set_in_each_form(forms):
    page, files, text = forms
    soup = BeautifulSoup(page, "html.parser")
    for formula in soup.find_all("math"):
        assert "\\" not in formula.get_text()
        ElementTree.fromstring(str(formula))
    assert len(soup.find_all("math")) == len(re.findall(r"\$[^$]+\$", text.replace("$$", "$"))) + 2 * len(
        soup.select(".equations .left")) - len(soup.select(".equations .left"))
    document = files["report.tex"]
    for formula in (r"\odot n_t", r"\tag{4}", r"\operatorname{diag}(z_t)", r"\(W_{hn}\)"):
        assert formula in document
    assert "$W_{hn}$" in text


def test_running_text_becomes_a_sentence():
    assert prose("""
        Of $x_t$ and
        $y$.
    """) == ("Of ", Math("x_t"), " and ", Math("y"), ".")


@pytest.mark.service
def test_what_was_changed_is_found_and_nothing_else(tmp_path, made):
    store, study, report = made
    one = FakeStore(by_experiment={"reviews": [study]}, metrics=store.metrics, kept=store.kept)
    render.write(report, tmp_path)
    record.write(report, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    key = "of-homework.ablation.pooling.difference"
    number = report.numbers()[key]
    changed = page.replace(
        f'data-key="{key}" title="{escape(number.source)}">{number.text}<', f'data-key="{key}">+9.9<')
    assert changed != page
    drawing = changed.index('data-name="gru-cell"')
    stroke = changed.index('d="M ', drawing)
    (tmp_path / "report.html").write_text(changed[:stroke] + 'd="M 9' + changed[stroke + 5:], encoding="utf-8")
    found = verify.differences(tmp_path, record.read(tmp_path), one)
    assert found == [
        f"report.html: {key} is +9.9, but the runs give {number.text}",
        "report.html: the figure gru-cell is not what the numbers of the runs are drawn as",
    ]


def test_numbers_of_the_story_rest_on_runs(made):
    for number in made[2].numbers().values():
        if number.key.startswith("of-homework.") and not number.key.endswith(".margin"):
            assert number.runs


def test_a_homework_under_way_tells_its_story_as_far_as_it_goes():
    store, (whole,) = homework()
    params = {**whole.run.params, "protocol": "homework", "contents": "ablations,timings"}
    study = replace(whole, run=replace(whole.run, params=params), summary=None, ablations=())
    store.artifacts[study.run.run_id, "data.json"] = json.dumps(asdict(whole.summary.data))
    store.artifacts[study.run.run_id, "baselines.json"] = json.dumps([asdict(b) for b in whole.summary.baselines])
    store.by_experiment["movie-reviews"] = [study]
    report = build([study], store)
    assert "5 seeds of each model" in told(report, "introduction")
    assert "The whole study has not come to its end." in told(report, "run-times")
    assert "No choice was set against another." in told(report, "ablations")
    assert "the claim that the bidirectional GRU is better" in told(report, "discussion")
    assert "What do the networks add?" in "".join(
        name for block in section(report, "discussion").blocks for name, _ in getattr(block, "items", ())
        if isinstance(name, str))

"""A class of the user's own: how its use is found, what it computes of padded batches, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gru_bench.config import ModelConfig, RunConfig, flat, with_settings
from gru_bench.data.cache import default_cache
from gru_bench.data.code import FOLDER, kept, own_model
from gru_bench.errors import DataError, RunError, UsageError
from gru_bench.models.backends import run
from gru_bench.models.own import Own, kind_of, said
from gru_bench.models.pooling import pool
from gru_bench.results.own import digest_of
from gru_bench.train.placement import check_model
from tests.support.commands import ROOT, mentions
from tests.support.own import OWN, written
from tests.support.pages import blocks, text

LENGTHS = torch.tensor([7, 3, 5])


def config_of(path: Path, name: str, **settings: Any) -> ModelConfig:
    found = own_model(f"{path}:{name}")
    assert found is not None
    return ModelConfig(name=found[0], source=found[1], hidden_size=6, **settings)


@pytest.fixture
def homework(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRU_BENCH_CACHE", str(tmp_path / "cache"))
    return written(tmp_path)


def reference(own: Own) -> nn.GRU:
    """nn.GRU with the weights of an object of `OWN`."""
    gru = nn.GRU(5, 6, own.layers, batch_first=True, bidirectional=own.bidirectional)
    for part, names in zip(own.parts, [list(gru.state_dict())[n:n + 4] for n in range(0, 64, 4)], strict=False):
        held: Any = getattr(part, "gru", part)
        weights = ([held.weight_ih, held.weight_hh, held.bias_ih, held.bias_hh] if isinstance(held, nn.GRUCell) else
                   [held.x.weight, held.h.weight, held.x.bias, held.h.bias])
        gru.load_state_dict(dict(zip(names, weights, strict=True)), strict=False)
    return gru


@pytest.mark.parametrize(("name", "kind"), [
    ("BatchFirst", "layer"), ("OutputsAlone", "layer"), ("Cell", "cell"), ("MyGRU", "layer"), ("MyCell", "cell")])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_each_form_computes_the_gru_of_its_weights_on_padded_batches(
    name: str, kind: str, bidirectional: bool, homework: Path
) -> None:
    """Those of the page among them."""
    homework.write_text("\n\n".join([OWN, *blocks(text(ROOT / "docs" / "own-gru.md"), "python")]), encoding="utf-8")
    config = config_of(homework, name, bidirectional=bidirectional)
    assert kind_of(config.name, config.source) == kind
    own = Own(config, 5, generator=torch.Generator().manual_seed(1))
    x_BTE = torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(2))
    packed = nn.utils.rnn.pack_padded_sequence(x_BTE, LENGTHS, batch_first=True, enforce_sorted=False)
    right_BTD = nn.utils.rnn.pad_packed_sequence(reference(own)(packed)[0], batch_first=True)[0]
    for pooling in ("final", "last", "mean"):
        rows_UE, index_BT = x_BTE.reshape(21, 5), torch.arange(21).reshape(3, 7)
        own_BF = run(own, "own", rows_UE, index_BT, LENGTHS, pooling=pooling)
        right_BF = pool(right_BTD, LENGTHS, pooling, bidirectional=bidirectional)
        torch.testing.assert_close(own_BF, right_BF, rtol=1e-5, atol=1e-6)


def test_arguments_with_a_default_keep_it(homework: Path) -> None:
    gru: Any = Own(config_of(homework, "Stacked"), 5).parts[0].gru
    assert (gru.input_size, gru.hidden_size, gru.num_layers, gru.bias, gru.dropout) == (5, 6, 2, False, 0.1)


@pytest.mark.parametrize("name", ["LeftOver", "OneForAll"])
def test_a_class_with_unused_parameters_or_a_state_of_one_sequence_is_taken(name: str, homework: Path) -> None:
    config = config_of(homework, name)
    assert kind_of(config.name, config.source) == "layer"


def test_layers_are_copies_that_read_the_outputs_of_the_one_below(homework: Path) -> None:
    own = Own(config_of(homework, "BatchFirst", layers=2, bidirectional=True), 5)
    x_BTE = torch.randn(2, 4, 5)
    torch.testing.assert_close(own(x_BTE, torch.tensor([4, 4])), reference(own)(x_BTE)[0], rtol=1e-5, atol=1e-6)


def test_the_seed_decides_the_weights_and_the_global_generator_is_untouched(homework: Path) -> None:
    config = config_of(homework, "BatchFirst")
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, same, other = (Own(config, 5, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    weights = [torch.cat([p.flatten() for p in one.parameters()]) for one in (first, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(("name", "parts"), [
    ("Narrow", ("(3, 7, 5)", "(3, 7, 2)", "(3, 7, 4)")), ("NotFinite", ("not finite",)),
    ("Keeps", ("keeps a state between calls",)), ("Looks", ("later steps", "model.bidirectional")),
    ("Masked", ("not finite", "persistent=False")),
    ("BothWays", ("(3, 7, 8)", "model.bidirectional")),
    ("Detached", ("no gradient", "detach")), ("NoParameters", ("torch.nn.Parameter",)),
    ("FixedBatch", ("batches of any size", "(64)", "(line")),
    ("TimeFirst", ("time is the first axis",)), ("LastState", ("(3, 4)", "(3, 7, 4)")),
    ("Unstacked", ("a list",)), ("StateFirst", ("as a cell", "RuntimeError", "(line")),
    ("Needy", ("Needy(input_size, hidden_size)", "default for every other argument", "'d3'")),
    ("Three", ("as a cell", "'z'")), ("Fails", ("ValueError", "line")), ("function", ("torch.nn.Module",))])
def test_a_class_that_cannot_be_used_is_refused_in_one_sentence(
    name: str, parts: tuple[str, ...], homework: Path
) -> None:
    config = config_of(homework, name)
    with pytest.raises(UsageError) as refused:
        check_model(config)
    mentions(str(refused.value), name, "homework.py", *parts)
    assert "\n" not in str(refused.value)


def test_settings_that_a_class_does_not_have_are_refused(homework: Path) -> None:
    for settings, part in (({"reset": "before"}, "model.reset"), ({"backend": "fused"}, "model.backend")):
        with pytest.raises(UsageError, match=part):
            check_model(config_of(homework, "BatchFirst", **settings))
    check_model(config_of(homework, "BatchFirst"))


def test_a_file_is_kept_under_its_digest_and_code_from_elsewhere_needs_to_be_allowed(
    homework: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = own_model(f"{homework}:BatchFirst")
    assert found == ("homework.py:BatchFirst", digest_of(OWN))
    assert kept(*found) == OWN
    (default_cache() / FOLDER / f"{found[1]}.py").write_text("print()", encoding="utf-8")
    with pytest.raises(UsageError, match="run_code"):  # a changed file is not the one that was allowed
        kept(*found)
    monkeypatch.setenv("GRU_BENCH_CACHE", str(tmp_path / "elsewhere"))
    with pytest.raises(UsageError, match=r"homework\.py:BatchFirst.*run_code"):
        kept(*found)


@pytest.mark.parametrize(("typed", "error", "part"), [
    ("homework.py", UsageError, "FILE.py:CLASS"), ("gone.py:GRU", UsageError, "gone.py"),
    ("homework.py:BatchFrist", UsageError, "'BatchFirst'"), ("broken.py:GRU", DataError, "broken.py")])
def test_a_file_that_is_no_model_is_refused(
    typed: str, error: type[Exception], part: str, homework: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(homework.parent)
    Path("broken.py").write_text("class GRU(:\n", encoding="utf-8")
    with pytest.raises(error, match=part):
        own_model(typed)
    assert own_model("scratch") is None


def test_the_setting_of_the_file_is_in_configs_of_own_models_alone(homework: Path) -> None:
    assert "model.source" not in flat(RunConfig())
    config = config_of(homework, "BatchFirst")
    whole = with_settings(RunConfig(), {"model.name": config.name, "model.source": config.source})
    assert flat(whole)["model.source"] == config.source
    with pytest.raises(UsageError, match=r"model\.name must be one of scratch, .*FILE\.py:CLASS.*'lstm'"):
        with_settings(RunConfig(), {"model.name": "lstm"})


def test_any_error_of_a_class_ends_in_one_sentence_and_memory_that_ran_out_is_told_apart(homework: Path) -> None:
    own = Own(config_of(homework, "Long"), 5, generator=torch.Generator().manual_seed(1))
    for batch, kind in ((1, "RuntimeError"), (2, "KeyError"), (3, "AssertionError")):
        with pytest.raises(RunError, match=rf"{kind}.*\(line \d+\)"):
            own(torch.zeros(batch, 9, 5), torch.full((batch,), 9))
    with pytest.raises(RuntimeError, match="out of memory"):
        own(torch.zeros(4, 9, 5), torch.full((4,), 9))


@pytest.mark.parametrize("path", ["C:\\\\lib\\\\torch.py", "/lib/torch.py"])
def test_the_line_of_an_error_is_that_of_the_users_file(path: str) -> None:
    names: dict[str, Any] = {}
    exec(compile("\n\n\ndef fails():\n    raise KeyError('gate')", path, "exec"), names)
    exec(compile("\ndef calls():\n    fails()", "homework.py", "exec"), names)
    with pytest.raises(KeyError) as raised:
        names["calls"]()
    assert said(raised.value, "homework.py:MyGRU").endswith("(line 3)")

"""The graphics card of a run: which cards there are, how torch uses one, and what is recorded of it.

torch is imported inside the functions: a sweep counts cards before any of its processes has loaded torch.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gru_bench.config import RunConfig

if TYPE_CHECKING:
    import torch

NO_MEMORY = "memory ran out: lower training.batch_size or model.hidden_size, or raise training.micro_batches"
CUDNN_BF16 = 91_300
"""First version of cuDNN whose recurrent layers torch runs in bfloat16: 9.13.0."""


def visible() -> list[str]:
    """Return the cards that torch can use, as the values that `pinned` takes. torch is loaded only where there is a
    driver."""
    if not (shutil.which("nvidia-smi") or any(map(os.path.exists, ("/dev/nvidiactl", "/dev/kfd")))):
        return []
    import torch

    count = torch.cuda.device_count()  # of AMD's cards too, which torch calls cuda
    chosen = next((os.environ[name] for name in _variables() if name in os.environ), None)
    names = [str(number) for number in range(count)] if chosen is None else chosen.replace(" ", "").split(",")
    return names[:count]


def names() -> list[str]:
    """Return the names of the cards that torch can use. torch is loaded."""
    import torch

    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]


def unused() -> str | None:
    """Return why torch cannot use the NVIDIA card whose driver is installed, as a sentence. None where it can, or
    where there is no driver."""
    import torch

    if shutil.which("nvidia-smi") is None or torch.cuda.device_count():
        return None
    if torch.version.cuda is None:
        return f"there is an NVIDIA driver, but torch {torch.__version__} is built for CPUs only"
    return f"there is an NVIDIA driver ({_driver()}), but torch {torch.__version__} finds no GPU that it can use"


def pinned(name: str) -> dict[str, str]:
    """Return the environment in which a process sees this card only, as cuda:0. An empty name: no card."""
    return dict.fromkeys(_variables(), name)


def _variables() -> tuple[str, ...]:
    """Return the variables that choose cards: AMD's own one before the one that it shares with NVIDIA."""
    import torch

    return ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES") if torch.version.hip else ("CUDA_VISIBLE_DEVICES",)


def out_of_memory(error: RuntimeError) -> bool:
    """Return whether the memory of a card, or of the host, ran out. cuDNN and cuBLAS have an error of their own."""
    return any(words in str(error).lower() for words in ("out of memory", "status_alloc_failed"))


def slower_than_cpu(config: RunConfig) -> str | None:
    """Return why our kernel on a CPU trains a model faster than a card would, as a clause. None where it does not."""
    if config.model.preset.cell != "gru" or config.model.backend not in ("auto", "fused"):
        return None
    if config.model.backend == "fused":
        return "model.backend is 'fused', which runs on a CPU only"
    if config.model.reset == "before":
        return "cuDNN has no GRU whose reset gate acts before the product, and a loop over steps is slow"
    if config.training.batch_size == 1:
        return "with one text in a batch, a GPU has too little to do at each step"
    return None


def prepare(device: torch.device) -> None:
    """Prepare this process to train on a card: precision, determinism, and the count of peak memory.

    Products are computed in float32. By default torch lets cuDNN round the factors of recurrent layers to TF32, which
    keeps 10 bits of them, but not those of its other products. So two backends on one card, or a card and a CPU, would
    differ by more than the rounding of float32, without anybody having asked for it.
    """
    import torch

    # Read when cuBLAS starts. Without it, cuDNN may add up the gradients of biases in another order in each run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    products: tuple[Any, ...] = (torch.backends.cudnn.rnn, torch.backends.cuda.matmul)
    for product in products:
        product.fp32_precision = "ieee"
    # Only a batch of equal lengths reads both directions at once, and each has its own chunk (`in_chunks`).
    warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")
    torch.cuda.init()  # before it, the count of a card with a number cannot be reset
    if device.index is not None:
        torch.cuda.set_device(device)  # otherwise pinned memory would open the first card too
    torch.cuda.reset_peak_memory_stats(device)


def properties(device: torch.device) -> dict[str, str]:
    """Return what a run records of its card. The keys begin with `card`."""
    import torch

    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    versions = {"card_hip": torch.version.hip} if torch.version.hip else {"card_cuda": torch.version.cuda}
    return {
        "card": torch.cuda.get_device_name(device),
        "card_driver": _driver(),
        **{key: version or "unknown" for key, version in versions.items()},
        "card_cudnn": str(cudnn.version()),  # MIOpen's on AMD's cards
        "card_float32": f"cuDNN {cudnn.rnn.fp32_precision}, cuBLAS {matmul.fp32_precision}",
    }


def _driver() -> str:
    try:
        done = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
                              capture_output=True, text=True, check=True, timeout=20)
        return done.stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        pass
    try:
        return Path("/sys/module/amdgpu/version").read_text(encoding="utf-8").strip()
    except OSError:
        return "unknown"


def no_bf16(device: torch.device, backend: str) -> str | None:
    """Return None if a card multiplies in bfloat16 on this backend, or else the reason as a sentence."""
    import torch

    if torch.cuda.get_device_capability(device) < (8, 0):
        return "this GPU has no products in bfloat16, which NVIDIA's have from compute capability 8.0 on."
    if backend == "torch" and torch.version.hip:
        return "the backend 'torch' has no recurrent layers in bfloat16 on an AMD GPU."
    cudnn: Any = torch.backends.cudnn
    version = cudnn.version() or 0
    if backend == "torch" and version < CUDNN_BF16:
        return (f"the backend 'torch' has recurrent layers in bfloat16 from cuDNN {CUDNN_BF16} on, and this is "
                f"{version}.")
    return None

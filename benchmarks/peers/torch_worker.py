"""PyTorch, eager or compiled, in the channels-last layout: the same network and its DataLoader."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.peers.serving import serve, timed

try:
    from torchvision import __version__ as _version

    VERSIONS = f"PyTorch {torch.__version__}, torchvision {_version}"
except (ImportError, RuntimeError):  # torchvision's import fails beside another build of torch
    VERSIONS = f"PyTorch {torch.__version__}"
MODULES = ((64, 48, 64, 8, 16, 32), (128, 64, 96, 16, 32, 64))


class InceptionModule(nn.Module):
    """An Inception module with four parallel branches and factorized larger windows."""

    def __init__(self, features: int, widths: tuple[int, ...]):
        super().__init__()
        f1, f2_in, f2_out, f3_in, f3_out, f4 = widths
        self.branch1 = nn.Conv2d(features, f1, 1)
        self.branch3_narrow = nn.Conv2d(features, f2_in, 1)
        self.branch3_column = nn.Conv2d(f2_in, f2_out, (3, 1), padding=(1, 0))
        self.branch3_row = nn.Conv2d(f2_out, f2_out, (1, 3), padding=(0, 1))
        self.branch5_narrow = nn.Conv2d(features, f3_in, 1)
        self.branch5_column = nn.Conv2d(f3_in, f3_out, (5, 1), padding=(2, 0))
        self.branch5_row = nn.Conv2d(f3_out, f3_out, (1, 5), padding=(0, 2))
        self.branch_pool = nn.Conv2d(features, f4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branch3 = F.relu(self.branch3_column(F.relu(self.branch3_narrow(x))))
        branch5 = F.relu(self.branch5_column(F.relu(self.branch5_narrow(x))))
        branches = [
            self.branch1(x),
            self.branch3_row(branch3),
            self.branch5_row(branch5),
            self.branch_pool(F.max_pool2d(x, 3, 1, 1)),
        ]
        return F.relu(torch.cat(branches, 1))


class Inception(nn.Module):
    """Maps images (batch, 3, size, size) to logits (batch,). Names are those of our checkpoints."""

    def __init__(self, size: int):
        super().__init__()
        self.stem1 = nn.Conv2d(3, 32, 3, 2)
        self.stem2 = nn.Conv2d(32, 32, 3)
        self.stem3 = nn.Conv2d(32, 64, 3, padding=1)
        self.blocks = nn.ModuleList(map(InceptionModule, (64, 176), MODULES))
        self.narrow = nn.Conv2d(320, 64, 1)
        self.grid = ((((size - 3) // 2 + 1 - 2) - 3) // 2 + 1 - 5) // 3 + 1
        self.hidden = nn.Linear(64 * self.grid**2, 128)
        self.logit = nn.Linear(128, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem3(F.relu(self.stem2(F.relu(self.stem1(x))))))
        x = F.max_pool2d(x, 3, 2)
        for block in self.blocks:
            x = block(x)
        x = F.relu(self.narrow(F.avg_pool2d(x, 5, 3))).flatten(1)
        return self.logit(F.dropout(F.relu(self.hidden(x)), 0.5, self.training))[:, 0]


def network_of(options: dict[str, Any]) -> nn.Module:
    """Builds the network that the options name, on all cores."""
    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(0)
    if options.get("network") == "inception_v3":
        return _torchvision().to(memory_format=torch.channels_last)
    return Inception(options["size"]).to(memory_format=torch.channels_last)


def _torchvision() -> nn.Module:
    """Builds torchvision's Inception-v3 with one logit and without the auxiliary head."""
    import torchvision

    class Alone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.whole = torchvision.models.inception_v3(
                weights=None, num_classes=1, aux_logits=True, init_weights=False
            )
            self.whole.aux_logits, self.whole.AuxLogits = False, None

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.whole(images)[:, 0]

    return Alone()


def parameters_of(network: nn.Module) -> int:
    """Counts parameters and running statistics, but not the scales of batch norms.

    Keras's Inception-v3 has no such scales, and all contestants must have equal counts.
    """
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    statistics = sum(layer.running_mean.numel() + layer.running_var.numel() for layer in norms)
    scales = sum(layer.weight.numel() for layer in norms)
    return sum(parameter.numel() for parameter in network.parameters()) + statistics - scales


def load(network: Inception, weights: dict[str, np.ndarray]) -> None:
    """Copies our arrays, (rows, columns, in, out), to PyTorch's order (out, in, rows, columns)."""
    ours = {"narrow": "auxiliary_head.narrow"} | {
        name: f"auxiliary_head.classifier.{name}" for name in ("hidden", "logit")
    }
    for name, layer in network.named_modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        path = ours.get(name, name.replace("blocks.", "modules."))
        kernel = weights[f"{path}.kernel"]
        if name == "hidden":  # ours flattens (height, width, channels), PyTorch channels first
            side = network.grid
            kernel = kernel.reshape(side, side, 64, 128).transpose(2, 0, 1, 3).reshape(-1, 128)
        order = (3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(kernel.transpose(order).copy()))
            layer.bias.copy_(torch.from_numpy(weights[f"{path}.bias"]))


def train_step(options: dict[str, Any]) -> tuple[dict[str, Any], Callable[[], float]]:
    """Times forward pass, backward pass and Adam."""
    network = network_of(options)
    forward = torch.compile(network) if options.get("compile") else network
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    batch, size = options["batch"], options["size"]
    images = torch.rand(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 2, (batch,)).float()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        F.binary_cross_entropy_with_logits(forward(images), labels).backward()
        optimizer.step()

    for _ in range(options.get("warm_up", 3)):
        step()
    return {"versions": VERSIONS, "parameters": parameters_of(network)}, lambda: timed(step)


def inference(options: dict[str, Any]) -> tuple[dict[str, Any], Callable[[], float]]:
    """Times the forward pass over several batches with our weights."""
    network = network_of(options)
    with np.load(options["weights"]) as weights:
        load(network, dict(weights))
        films = torch.from_numpy(np.repeat(weights["images"].astype("f4") / 255, 3, -1))
    network.eval()
    images = films.permute(0, 3, 1, 2)  # this view keeps the channels last in memory
    forward = torch.compile(network) if options.get("compile") else network
    count = options["films"]
    batches = [images[: min(count, len(images))]] * max(1, count // len(images))

    def predict() -> None:
        for batch in batches:
            forward(batch)

    with torch.inference_mode():
        logits = network(images).tolist()
        for _ in range(3):
            predict()
    facts = {"versions": VERSIONS, "parameters": parameters_of(network), "logits": logits}
    return facts, torch.inference_mode()(lambda: timed(predict))


class Films(torch.utils.data.Dataset):
    """Grey films of a folder, decoded and resized by Pillow, as users would write it."""

    def __init__(self, folder: str, size: int):
        self.paths = sorted(
            p for p in Path(folder).rglob("*") if p.suffix.lower() in (".jpeg", ".jpg", ".png")
        )
        self.size = size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        from PIL import Image

        with Image.open(self.paths[index]) as film:
            grey = film.convert("L").resize((self.size, self.size), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.asarray(grey)[None].copy())


def read_films(options: dict[str, Any]) -> tuple[dict[str, Any], Callable[[], float]]:
    """Times one pass by a DataLoader with two worker processes that live from pass to pass."""
    films = Films(options["folder"], options["size"])
    loader = torch.utils.data.DataLoader(
        films, options["batch"], num_workers=2, persistent_workers=True
    )

    def one_pass() -> None:
        for _ in loader:
            pass

    one_pass()
    return {"versions": VERSIONS}, lambda: timed(one_pass)


if __name__ == "__main__":
    serve({"train_step": train_step, "inference": inference, "input": read_films})

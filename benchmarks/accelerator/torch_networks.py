"""The networks of this project in PyTorch, built from a config; imported only where torch is."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ml_collections import ConfigDict
from torch import nn
from torch.nn import functional as F


class ConvUnit(nn.Module):
    """Convolution, bias or batch norm, ReLU, as `pneumojax.nn.layers.Conv`."""

    def __init__(
        self, inputs: int, outputs: int, window: tuple[int, int], norm: str, stride: int = 1
    ) -> None:
        super().__init__()
        padding = (window[0] // 2, window[1] // 2) if stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, window, stride, padding, bias=norm == "none")
        # A running statistic keeps 0.95 of its value, as DECAY in pneumojax.training.state says.
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.05) if norm == "batch" else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        return F.relu(x if self.norm is None else self.norm(x))


class InceptionModule(nn.Module):
    """Four branches, concatenated, as `pneumojax.nn.blocks.InceptionModule`."""

    def __init__(self, inputs: int, widths: tuple[int, ...], norm: str):
        super().__init__()
        f1, f2_in, f2_out, f3_in, f3_out, f4 = widths
        self.branch1 = ConvUnit(inputs, f1, (1, 1), norm)
        self.branch3_narrow = ConvUnit(inputs, f2_in, (1, 1), norm)
        self.branch3_column = ConvUnit(f2_in, f2_out, (3, 1), norm)
        self.branch3_row = ConvUnit(f2_out, f2_out, (1, 3), norm)
        self.branch5_narrow = ConvUnit(inputs, f3_in, (1, 1), norm)
        self.branch5_column = ConvUnit(f3_in, f3_out, (5, 1), norm)
        self.branch5_row = ConvUnit(f3_out, f3_out, (1, 5), norm)
        self.branch_pool = ConvUnit(inputs, f4, (1, 1), norm)
        self.outputs = f1 + f2_out + f3_out + f4

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branch3 = self.branch3_row(self.branch3_column(self.branch3_narrow(x)))
        branch5 = self.branch5_row(self.branch5_column(self.branch5_narrow(x)))
        pooled = self.branch_pool(F.max_pool2d(x, 3, 1, 1))
        return torch.cat([self.branch1(x), branch3, branch5, pooled], 1)


class Classifier(nn.Module):
    """Dense 128, ReLU, dropout, dense 1: the end of both heads."""

    def __init__(self, inputs: int, dropout: float):
        super().__init__()
        self.hidden, self.logit = nn.Linear(inputs, 128), nn.Linear(128, 1)
        self.dropout = dropout

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.dropout(F.relu(self.hidden(x)), self.dropout, self.training)
        return self.logit(x)[:, 0]


class Inception(nn.Module):
    """`pneumojax.nn.inception.Inception` of a config: images (n, c, h, w) -> {head: logits}.

    Names are those of our checkpoints, but for `blocks`: a PyTorch module has a method `modules`.
    """

    def __init__(self, config: ConfigDict):
        super().__init__()
        model, size = config.model, config.data.image_size
        norm, stem = model.norm, model.stem
        self.stem1 = ConvUnit(model.channels, stem[0], (3, 3), norm, stride=2)
        self.stem2 = ConvUnit(stem[0], stem[1], (3, 3), norm)
        self.stem2.conv.padding = (0, 0)
        self.stem3 = ConvUnit(stem[1], stem[2], (3, 3), norm)
        self.blocks, self.pools, features = nn.ModuleList(), tuple(model.pools), stem[2]
        side = (((size - 3) // 2 + 1 - 2) - 3) // 2 + 1
        for place, widths in enumerate(model.modules):
            side = (side - 3) // 2 + 1 if place in self.pools else side
            self.blocks.append(InceptionModule(features, widths, norm))
            features = self.blocks[-1].outputs
        self.main = Classifier(features, model.dropout) if "main" in model.heads else None
        self.auxiliary = None
        if "auxiliary" in model.heads:
            self.grid = (side - 5) // 3 + 1
            self.narrow = ConvUnit(features, 64, (1, 1), norm)
            self.auxiliary = Classifier(64 * self.grid**2, model.dropout)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        x = F.max_pool2d(self.stem3(self.stem2(self.stem1(x))), 3, 2)
        for place, block in enumerate(self.blocks):
            x = block(F.max_pool2d(x, 3, 2) if place in self.pools else x)
        logits = {}
        if self.main is not None:
            logits["main"] = self.main(x.mean((2, 3)))
        if self.auxiliary is not None:
            logits["auxiliary"] = self.auxiliary(self.narrow(F.avg_pool2d(x, 5, 3)).flatten(1))
        return logits


class InceptionV3(nn.Module):
    """torchvision's Inception-v3 with one logit and the heads of a config."""

    def __init__(self, config: ConfigDict):
        super().__init__()
        from torchvision.models import inception_v3

        self.heads = tuple(config.model.heads)
        self.whole = inception_v3(
            weights=None, num_classes=1, aux_logits=True, init_weights=False,
            dropout=config.model.dropout,
        )  # fmt: skip
        if "auxiliary" not in self.heads:
            self.whole.aux_logits, self.whole.AuxLogits = False, None

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        found = self.whole(x)
        if isinstance(found, torch.Tensor):
            return {"main": found[:, 0]}
        return {"main": found.logits[:, 0], "auxiliary": found.AuxLogits[:, 0]}


def make_torch_network(config: ConfigDict) -> nn.Module:
    """The network that `config.model` describes, with PyTorch's own initial weights."""
    is_v3 = config.model.network.endswith(":InceptionV3")
    return InceptionV3(config) if is_v3 else Inception(config)


def network_input(films: torch.Tensor, normalise: str, channels: int) -> torch.Tensor:
    """uint8 (n, h, w) -> float32 (n, channels, h, w), as `pneumojax.nn.layers.network_input`."""
    x = films[:, None].float() / 255
    if normalise == "symmetric":
        x = 2 * x - 1
    elif normalise == "film":
        x = x - x.mean((1, 2, 3), keepdim=True)
        x = x * torch.rsqrt((x**2).mean((1, 2, 3), keepdim=True) + 1e-6)
    return x.expand(-1, channels, -1, -1)


def torch_loss(
    logits: Mapping[str, torch.Tensor], labels: torch.Tensor, weights: Sequence[float]
) -> torch.Tensor:
    """Cross-entropy of the predicting head, and of an auxiliary one by its weight."""
    heads = [logits[name] for name in ("main", "auxiliary") if name in logits]
    losses = [F.binary_cross_entropy_with_logits(head, labels) for head in heads]
    return losses[0] + sum(w * loss for w, loss in zip(weights, losses[1:], strict=False))


def copy_weights(network: Inception, ours: Mapping[str, Any]) -> None:
    """Copies our arrays by path, "stem1/kernel", into the network, running statistics too."""
    units = {name: layer for name, layer in network.named_modules() if isinstance(layer, ConvUnit)}
    for name, unit in units.items():
        path = name.replace("blocks.", "modules.").replace(".", "/")
        path = "auxiliary_head/narrow" if name == "narrow" else path
        _set(unit.conv.weight, ours[f"{path}/kernel"].transpose(3, 2, 0, 1))
        if unit.norm is None:
            _set(unit.conv.bias, ours[f"{path}/bias"])
            continue
        of_norm = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
        for theirs, name in of_norm.items():
            _set(getattr(unit.norm, theirs), ours[f"{path}/norm/{name}"])
    for head in ("main", "auxiliary"):
        if (classifier := getattr(network, head)) is None:
            continue
        for name in ("hidden", "logit"):
            kernel = ours[f"{head}_head/classifier/{name}/kernel"]
            if (head, name) == ("auxiliary", "hidden"):  # ours flattens channels last
                kernel = kernel.reshape(network.grid, network.grid, 64, 128).transpose(2, 0, 1, 3)
                kernel = kernel.reshape(-1, 128)
            layer = getattr(classifier, name)
            _set(layer.weight, kernel.T)
            _set(layer.bias, ours[f"{head}_head/classifier/{name}/bias"])


def _set(target: torch.Tensor, values: np.ndarray) -> None:
    with torch.no_grad():
        target.copy_(torch.from_numpy(np.ascontiguousarray(values)))

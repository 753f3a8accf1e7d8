"""The semantic trunk: MediaPipe Selfie Segmentation (Apache-2.0) rebuilt, and deepened.

Modules carry the names of the published graph's weights, so that its weights load as they are. The
blocks added to it start as nothing at all: a trunk just loaded computes what the graph computes.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from training.teacher import MODEL

#: Dilations of the blocks added at a sixteenth, so that each place sees the whole image.
DILATIONS = (1, 2, 4, 1, 2, 4)


def _padded(x: Tensor, kernel: int) -> Tensor:
    """Pad for a stride of two as TensorFlow does: the odd pixel goes to the right and below."""
    low, high = (kernel - 2) // 2, (kernel - 1) // 2
    return functional.pad(x, (low, high, low, high))


def _means(x: Tensor) -> Tensor:
    return x.mean((2, 3), keepdim=True)


class Squeeze(nn.Module):
    """Depthwise convolution, a gate from the channels' means, and a narrowing one."""

    def __init__(self, channels: int, squeezed: int, result: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, squeezed, 1)
        self.conv2 = nn.Conv2d(squeezed, channels, 1)
        self.conv3 = nn.Conv2d(channels, result, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the narrowed, gated features."""
        x = functional.hardswish(x)
        gate = torch.sigmoid(self.conv2(functional.relu(self.conv1(_means(x)))))
        narrowed: Tensor = self.conv3(x * gate)
        return narrowed


class Block(nn.Module):
    """Inverted residual at a sixteenth of the trunk's input."""

    def __init__(self, wide: int, squeezed: int, *, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(32, wide, 1)
        self.conv2 = nn.Conv2d(wide, wide, 5, padding=2 * dilation, dilation=dilation, groups=wide)
        self.sub_block = Squeeze(wide, squeezed, 32)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's features."""
        y: Tensor = self.sub_block(self.conv2(functional.hardswish(self.conv1(x))))
        return x + y


class Rise(nn.Module):
    """Double the resolution and let in what earlier features fit."""

    def __init__(self, deep: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(deep, channels, 1)
        self.conv2 = nn.Conv2d(channels, channels, 1)
        self.conv3 = nn.Conv2d(channels, channels, 1)
        self.conv4 = nn.Conv2d(channels, channels, 1)
        self.conv5 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, deep: Tensor, shallow: Tensor) -> Tensor:
        """Return the merged features at the resolution of the shallow ones."""
        # A 1 x 1 convolution and an interpolation commute: four times fewer products this way.
        raised = functional.interpolate(
            self.conv1(deep), scale_factor=2.0, mode="bilinear", align_corners=False
        )
        means = _means(raised + shallow)
        gate = torch.sigmoid(self.conv3(functional.relu(self.conv2(means))))
        merged = functional.relu(self.conv4(raised + shallow * gate))
        return merged + functional.relu(self.conv5(merged))


class Trunk(nn.Module):
    """image (N, 3, H, W) in [0, 1], sides in multiples of 16, to features and coarse alpha."""

    #: Channels of the features that it returns, at a quarter and at half of the input's size.
    CHANNELS = (16, 16)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, stride=2)
        self.conv2_1 = nn.Conv2d(16, 16, 1)
        self.conv2_2 = nn.Conv2d(16, 16, 3, stride=2, groups=16)
        self.conv3_1 = nn.Conv2d(16, 8, 1)
        self.conv3_2 = nn.Conv2d(8, 16, 1)
        self.conv3_3 = nn.Conv2d(16, 16, 1)
        self.conv4_1 = nn.Conv2d(16, 72, 1)
        self.conv4_2 = nn.Conv2d(72, 72, 3, stride=2, groups=72)
        self.conv4_3 = nn.Conv2d(72, 24, 1)
        self.conv5_1 = nn.Conv2d(24, 88, 1)
        self.conv5_2 = nn.Conv2d(88, 88, 3, padding=1, groups=88)
        self.conv5_3 = nn.Conv2d(88, 24, 1)
        self.conv6_1 = nn.Conv2d(24, 96, 1)
        self.conv6_2 = nn.Conv2d(96, 96, 5, stride=2, groups=96)
        self.sub_block1 = Squeeze(96, 24, 32)
        self.block1 = Block(128, 32)
        self.block2 = Block(128, 32)
        self.block3 = Block(96, 24)
        self.block4 = Block(96, 24)
        self.added = nn.Sequential(*(Block(128, 32, dilation=one) for one in DILATIONS))
        self.conv7 = nn.Conv2d(32, 128, 1)
        self.conv8 = nn.Conv2d(32, 128, 1)
        self.final_block1 = Rise(128, 24)
        self.final_block2 = Rise(24, 16)
        self.final_block3 = Rise(16, 16)
        self.conv_transpose = nn.ConvTranspose2d(16, 1, 2, stride=2)
        for block in self.added:
            for name, module in block.named_modules():
                if isinstance(module, nn.Conv2d) and module.bias is not None:
                    nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
                    nn.init.zeros_(module.bias)
                    if name == "sub_block.conv3":
                        nn.init.zeros_(module.weight)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return features at a quarter and at half of the input's size, and alpha at its size.

        Alpha is before the sigmoid.
        """
        half = functional.hardswish(self.conv1(_padded(image, 3)))
        x = functional.relu(self.conv2_1(half))
        x = functional.relu(self.conv2_2(_padded(x, 3)))
        gate = torch.sigmoid(self.conv3_2(functional.relu(self.conv3_1(_means(x)))))
        quarter = self.conv3_3(x * gate)
        x = functional.relu(self.conv4_1(quarter))
        x = self.conv4_3(functional.relu(self.conv4_2(_padded(x, 3))))
        y = functional.relu(self.conv5_2(functional.relu(self.conv5_1(x))))
        eighth = x + self.conv5_3(y)
        x = functional.hardswish(self.conv6_1(eighth))
        x = self.sub_block1(self.conv6_2(_padded(x, 5)))
        x = self.block4(self.block3(self.block2(self.block1(x))))
        x = self.added(x)
        x = functional.relu(self.conv7(x)) * torch.sigmoid(self.conv8(_means(x)))
        x = self.final_block1(x, eighth)
        shallow = self.final_block2(x, quarter)
        features = self.final_block3(shallow, half)
        return shallow, features, self.conv_transpose(features)


def load_published(trunk: Trunk, data: Path) -> None:
    """Give a trunk the published weights; what was added to it stays."""
    graph = onnx.load(data / MODEL).graph
    weights = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in graph.initializer
        if tensor.name.endswith((".weight", ".bias"))
    }
    found = trunk.load_state_dict(weights, strict=False)
    if found.unexpected_keys or any(not key.startswith("added.") for key in found.missing_keys):
        raise ValueError(f"{data / MODEL}: not the graph this trunk was built after: {found}")

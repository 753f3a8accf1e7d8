"""The networks: a semantic trunk at low resolution and a light branch for detail.

Portrait starts from published weights, Student from nothing. Their contract is MODNet's: RGB in
[-1, 1], NCHW, sides in multiples of 32, to alpha of the same size. The head's four channels are the
four pixels of each 2 x 2 block of alpha. Up to it Student, and the branch of Portrait, keep to what
ONNX Runtime runs in its blocked layout: convolutions, ReLU, nearest-neighbour upsampling, sums.
BatchNorm folds into the convolutions on export.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.selfie import Trunk


@dataclass(frozen=True)
class Shape:
    """What a variant differs in; every channel count a multiple of 8, ONNX Runtime's block.

    detail: channels at half resolution.
    trunk:  channels at 1/4, 1/8, 1/16 and 1/32.
    depth:  blocks at each of these, at 1/4 after a plain strided convolution.
    expand: widening inside a block.
    kernel: of the blocks' depthwise convolutions, at 1/4, 1/8, 1/16 and 1/32.
    merge:  channels of the decoder at 1/16, 1/8 and 1/4.
    """

    detail: int
    trunk: tuple[int, int, int, int]
    depth: tuple[int, int, int, int]
    expand: int
    kernel: tuple[int, int, int, int]
    merge: tuple[int, int, int]


SHAPES = {
    "small": Shape(16, (24, 40, 80, 128), (0, 2, 3, 3), 3, (3, 3, 5, 5), (64, 32, 16)),
    "medium": Shape(16, (24, 48, 96, 144), (1, 2, 4, 4), 3, (3, 3, 5, 5), (80, 40, 24)),
    "large": Shape(16, (32, 56, 112, 152), (1, 2, 4, 4), 3, (3, 3, 5, 5), (96, 48, 24)),
}


class Convolve(nn.Sequential):
    """Convolution, BatchNorm and, unless linear, ReLU."""

    def __init__(
        self,
        source: int,
        result: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__(
            nn.Conv2d(source, result, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(result),
            *([] if linear else [nn.ReLU(inplace=True)]),
        )


class Block(nn.Module):
    """Inverted residual: widen, look around in each channel, narrow."""

    def __init__(self, source: int, result: int, *, stride: int, expand: int, kernel: int) -> None:
        super().__init__()
        wide = source * expand
        self.body = nn.Sequential(
            Convolve(source, wide, 1),
            Convolve(wide, wide, kernel, stride=stride, groups=wide),
            Convolve(wide, result, 1, linear=True),
        )
        self.residual = stride == 1 and source == result

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's features."""
        y: Tensor = self.body(x)
        return x + y if self.residual else y


class Context(nn.Module):
    """Tell every place what the whole image holds: a gate from the channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Conv2d(channels, channels // 4, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels // 4, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return x with its channels weighted."""
        weighted: Tensor = x * self.gate(functional.adaptive_avg_pool2d(x, 1))
        return weighted


class Merge(nn.Module):
    """Double the resolution of deep features and add the shallow ones of that size."""

    def __init__(self, deep: int, shallow: int, result: int) -> None:
        super().__init__()
        self.deep = Convolve(deep, result, 1, linear=True)
        self.shallow = Convolve(shallow, result, 1, linear=True)
        self.body = nn.Sequential(
            Convolve(result, result, groups=result), Convolve(result, result, 1)
        )

    def forward(self, deep: Tensor, shallow: Tensor) -> Tensor:
        """Return the merged features."""
        raised = functional.interpolate(self.deep(deep), scale_factor=2.0, mode="nearest")
        merged: Tensor = self.body(functional.relu(raised + self.shallow(shallow)))
        return merged


class Student(nn.Module):
    """input (N, 3, H, W) in [-1, 1] -> output (N, 1, H, W), alpha in [0, 1]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.detail = Convolve(3, shape.detail, stride=2)
        stages: list[nn.Module] = []
        channels = shape.detail
        for result, depth, kernel in zip(shape.trunk, shape.depth, shape.kernel, strict=True):
            blocks: list[nn.Module] = []
            if not stages:
                # Widening at half resolution would cost more than a plain convolution.
                blocks.append(Convolve(channels, result, stride=2))
                channels = result
            for index in range(depth):
                stride = 2 if stages and index == 0 else 1
                blocks.append(
                    Block(channels, result, stride=stride, expand=shape.expand, kernel=kernel)
                )
                channels = result
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.context = Context(channels)
        merges = []
        for shallow, result in zip(shape.trunk[-2::-1], shape.merge, strict=True):
            merges.append(Merge(channels, shallow, result))
            channels = result
        self.merges = nn.ModuleList(merges)
        #: Alpha at a quarter of the resolution, for the loss only; not exported.
        self.coarse = nn.Conv2d(channels, 1, 1)
        self.raise_semantic = Convolve(channels, shape.detail, 1, linear=True)
        self.fuse = Convolve(shape.detail, shape.detail)
        self.head = nn.Conv2d(shape.detail, 4, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        # Start from an even grey rather than from saturated blacks and whites.
        nn.init.normal_(self.head.weight, std=0.01)
        if self.head.bias is not None:
            nn.init.zeros_(self.head.bias)

    def logits(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return alpha before the sigmoid: in full, and at a quarter of the resolution."""
        detail = self.detail(image)
        features = [detail]
        for stage in self.stages:
            features.append(stage(features[-1]))
        deep = self.context(features[-1])
        for merge, shallow in zip(self.merges, features[-2:0:-1], strict=True):
            deep = merge(deep, shallow)
        raised = functional.interpolate(self.raise_semantic(deep), scale_factor=2.0, mode="nearest")
        fused = self.fuse(functional.relu(raised + detail))
        return functional.pixel_shuffle(self.head(fused), 2), self.coarse(deep)

    def forward(self, image: Tensor) -> Tensor:
        """Return alpha."""
        return torch.sigmoid(self.logits(image)[0])


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Convolve(channels, channels), Convolve(channels, channels, linear=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the refined features."""
        return functional.relu(x + self.body(x))


class Portrait(nn.Module):
    """input (N, 3, H, W) in [-1, 1] -> output (N, 1, H, W), alpha in [0, 1].

    The trunk sees the image at half its size. What it says there is corrected by a branch that sees
    all of the image, and works at a quarter and an eighth of its size, where it meets the trunk's
    features. Alpha is found at half the image's size: what is finer is left to a guided filter,
    which finds it better than a branch this light. A branch just made corrects nothing.

    fine, wide, deep: the branch's channels at 1/2, 1/4 and 1/8 of the image's size.
    """

    def __init__(self, fine: int = 16, wide: int = 32, deep: int = 64) -> None:
        super().__init__()
        self.trunk = Trunk()
        shallow, features = Trunk.CHANNELS
        self.first = Convolve(3, fine, stride=2)
        self.second = Convolve(fine, wide, stride=2, linear=True)
        self.meet = Convolve(features + 1, wide, 1, linear=True)
        self.third = Convolve(wide, deep, stride=2, linear=True)
        self.meet_deep = Convolve(shallow, deep, 1, linear=True)
        self.mix = nn.Sequential(Residual(deep), Residual(deep))
        self.raised = Convolve(deep, wide, 1, linear=True)
        self.fuse = Residual(wide)
        self.head = nn.Conv2d(wide, 4, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def look(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the trunk sees in an image of its size, in [-1, 1].

        That is its features at a quarter and at half of the size, and alpha before the sigmoid.
        """
        shallow, features, coarse = self.trunk(image * 0.5 + 0.5)
        return shallow, features, coarse

    def correct(self, image: Tensor, seen: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Return alpha before the sigmoid at half of the image's size, where the trunk saw it."""
        shallow, features, coarse = seen
        # Nothing that the trunk says is so sure that the branch could not overrule it.
        doubt = coarse.clamp(-6, 6)
        half = self.first(image)
        known = torch.cat([features, functional.avg_pool2d(doubt, 2)], 1)
        quarter = functional.relu(self.second(half) + self.meet(known))
        eighth = functional.relu(self.third(quarter) + self.meet_deep(shallow))
        raised = functional.interpolate(
            self.raised(self.mix(eighth)), scale_factor=2.0, mode="nearest"
        )
        fused = self.fuse(functional.relu(raised + quarter))
        return doubt + functional.pixel_shuffle(self.head(fused), 2)

    def logits(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return alpha before the sigmoid at half of the image's size, and the trunk's own."""
        seen = self.look(functional.avg_pool2d(image, 2))
        return self.correct(image, seen), seen[2]

    def half(self, image: Tensor) -> Tensor:
        """Return alpha at half of the image's size."""
        return torch.sigmoid(self.logits(image)[0])

    @staticmethod
    def enlarged(half: Tensor) -> Tensor:
        """Return alpha at the image's size."""
        return functional.interpolate(half, scale_factor=2.0, mode="bilinear", align_corners=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return alpha at the image's size."""
        return self.enlarged(self.half(image))


Network = Portrait | Student


def build(name: str) -> Network:
    """Return a new network: "portrait", or a shape of Student."""
    return Portrait() if name == "portrait" else Student(SHAPES[name])


NAMES = ("portrait", *SHAPES)

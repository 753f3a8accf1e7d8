"""A checkpoint as ONNX, under the names and open sizes that fastmatte knows as MODNet's."""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from training.network import Network, Portrait, build

#: The release must fit into a wheel that nobody minds to download.
LARGEST = 4_000_000


def folded(student: Network) -> Network:
    """Return a copy for inference with every BatchNorm folded into its convolution."""
    student = copy.deepcopy(student).eval().cpu().float()
    for module in student.modules():
        if (
            isinstance(module, nn.Sequential)
            and len(module) > 1
            and isinstance(module[0], nn.Conv2d)
            and isinstance(module[1], nn.BatchNorm2d)
        ):
            module[0] = nn.utils.fuse_conv_bn_eval(module[0], module[1])
            module[1] = nn.Identity()
    return student


class Halves(nn.Module):
    """A portrait that also gives its alpha at half the size, where it finds it."""

    def __init__(self, portrait: Portrait) -> None:
        super().__init__()
        self.portrait = portrait

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return alpha at the image's size and at half of it."""
        half = self.portrait.half(image)
        return self.portrait.enlarged(half), half


def export(student: Network, path: Path) -> None:
    """Write a student as ONNX and prove that ONNX Runtime gives what torch gives."""
    student = folded(student)
    whole = Halves(student) if isinstance(student, Portrait) else student
    outputs = ["output", "half"] if isinstance(student, Portrait) else ["output"]
    sizes = {"output": "", "half": "half_"}
    torch.onnx.export(
        whole,
        (torch.zeros(1, 3, 64, 96),),
        str(path),
        opset_version=17,
        dynamo=False,
        input_names=["input"],
        output_names=outputs,
        dynamic_axes={
            "input": {0: "batch_size", 2: "height", 3: "width"},
            **{
                name: {0: "batch_size", 2: f"{sizes[name]}height", 3: f"{sizes[name]}width"}
                for name in outputs
            },
        },
    )
    onnx.checker.check_model(onnx.load(path), full_check=True)
    size = path.stat().st_size
    if size > LARGEST:
        raise ValueError(f"{path}: {size} bytes, at most {LARGEST} may be shipped")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    for batch, height, width in ((1, 64, 96), (2, 256, 224)):
        image = torch.rand(batch, 3, height, width, generator=generator) * 2 - 1
        with torch.no_grad():
            expected = student(image).numpy()
        found = session.run(["output"], {"input": image.numpy()})[0]
        if found.shape != expected.shape or np.abs(found - expected).max() > 1e-4:
            raise ValueError(f"{path}: ONNX Runtime and torch disagree at {height} x {width}")


def load(checkpoint: Path) -> Network:
    """Return the averaged student of a checkpoint."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    student = build(state["network"])
    student.load_state_dict(state["average"])
    return student


def main() -> None:
    """Export the averaged weights of a checkpoint."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    export(load(arguments.checkpoint), arguments.output)
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()

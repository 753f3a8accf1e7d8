"""Weights a part of the way back to what was published.

A trunk trained on few kinds of people forgets others that it knew: halfway back it knows both.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import torch

from training.network import Portrait
from training.selfie import load_published


def blended(portrait: Portrait, data: Path, share: float) -> Portrait:
    """Return a copy whose trunk has this share of what training changed.

    Published weights go back to what they were, added blocks, which began as nothing, towards it;
    the branch stays.
    """
    found = copy.deepcopy(portrait)
    load_published(found.trunk, data)
    with torch.no_grad():
        trained = dict(portrait.trunk.named_parameters())
        for name, weight in found.trunk.named_parameters():
            if not name.startswith("added."):
                weight.lerp_(trained[name], share)
            elif ".sub_block.conv3." in name:
                weight.mul_(share)
    return found


def main() -> None:
    """Write a checkpoint whose trunk is part of the way back to its beginning."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--share", type=float, required=True, help="of what training changed")
    arguments = parser.parse_args()
    state = torch.load(arguments.checkpoint, map_location="cpu", weights_only=True)
    portrait = Portrait()
    portrait.load_state_dict(state["average"])
    weights = blended(portrait, arguments.data, arguments.share).state_dict()
    torch.save({**state, "average": weights, "student": weights}, arguments.output)


if __name__ == "__main__":
    main()

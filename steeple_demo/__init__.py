"""The demo model of Steeple: a tiny Granite that adds and subtracts.

This file only says where the committed artefacts are; it imports nothing heavy,
so a server or a test may ask for the path without paying for torch.
"""

from pathlib import Path

__all__ = ["model_dir"]


def model_dir() -> Path:
    """Return the directory of the committed model, in Hugging Face format."""
    return Path(__file__).resolve().parent / "model"

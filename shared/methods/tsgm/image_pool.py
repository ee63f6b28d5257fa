"""The image pool of CycleGAN: discriminators also see fakes of earlier iterations (arXiv 1612.07828, section 2.3)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ...runs.seeds import derive_seed


class ImagePool:
    """Earlier fakes, one of which takes the place of every second new one.

    Until the pool is full each image is kept and returned. Then, with probability 1/2, a random one of the pool is
    returned and the new one kept in its place; otherwise the new one is returned and not kept. What happens to the
    n-th image depends on the seed and n alone, so a resumed run continues exactly.

    Args:
        size: images kept; 0 returns every image as it is.
        seed: of the draws; give each pool of a training its own.
    """

    def __init__(self, size: int = 50, seed: int = 0) -> None:
        self.size, self.seed = size, seed
        self.images: list[torch.Tensor] = []
        self.seen = 0

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Exchange a batch, ``B C *S`` to the same, image by image and without gradient; S is the same at each call."""
        return torch.stack([self._exchange(image).to(image) for image in images.detach()])

    def _exchange(self, image: torch.Tensor) -> torch.Tensor:
        random = torch.Generator().manual_seed(derive_seed(self.seed, self.seen))
        self.seen += 1
        if len(self.images) < self.size:
            self.images.append(image.clone())  # a view would keep the batch in memory
        elif self.size and torch.rand(1, generator=random) < 0.5:
            index = int(torch.randint(self.size, (1,), generator=random))
            kept, self.images[index] = self.images[index], image.clone()
            return kept
        return image

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The images kept, ``N C *S``, and the number of images seen."""
        images = torch.stack([image.cpu() for image in self.images]) if self.images else torch.empty(0)
        return {"images": images, "seen": torch.tensor(self.seen)}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Continue from :meth:`state_dict` of a pool of the same size and seed.

        Raises:
            ValueError: the state is of a pool of another size.
        """
        images, seen = list(state["images"]), int(state["seen"])
        if len(images) != min(seen, self.size):
            raise ValueError(
                f"the checkpoint's image pool keeps {len(images)} of {seen} images, a pool of size {self.size} would "
                f"keep {min(seen, self.size)}. Resume with the size of the run that wrote the checkpoint."
            )
        self.images, self.seen = images, seen

"""MaC-DM (arXiv 2311.13688): draw radiographs of a wanted class together with the masks of tibia and lesion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, cast

import torch
from monai.inferers import Inferer
from monai.utils import convert_to_tensor
from torch import Tensor, nn
from tqdm import tqdm

from ...diffusion.guidance import clamped, guided
from ...diffusion.learned_variance import LearnedVarianceDenoiser, on_x0
from ...diffusion.noise_levels import even_timesteps, vp_sigmas
from ...diffusion.noisy_classifier import ClassLogProbability
from ...diffusion.samplers import Denoise
from ...runs.facts import with_facts
from ...runs.seeds import keyed_noise
from ..autocast import AutocastInferer
from .joint_state import JointState
from .sampling import ALL_SAMPLERS, Sampling

PAPER_SAMPLING = Sampling()


class MaCDMInferer(Inferer):
    """Classifier-guided samples of the joint state, from noise or from an image noised up to a level.

    Args:
        state: how radiograph and masks are packed, as in the training of both networks.
        alphas_cumprod: ``(T,)``, the schedule of that training.
        classifier: ``classifier(network_input, t) -> B classes``, logits; put in evaluation mode. It runs in float32:
            in bfloat16 its gradient is 2 to 5 % off and takes two thirds of the time. Not needed with guidance 0.
        sampling: how the samples are drawn.
        batch_size: samples in one network evaluation.
        amp: run the denoiser in bfloat16.

    Raises:
        ValueError: guidance without a classifier, or more steps than there are timesteps up to the level.

    What it returns carries facts (:mod:`~...runs.facts`): ``class_label`` (the wanted one), ``class_probability`` (of
    it, by the classifier at timestep 0, given the sample; None without classifier), ``guidance``, ``level``,
    ``network_evaluations`` and ``classifier_evaluations`` (one of them for the probability).
    """

    def __init__(
        self,
        *,
        state: JointState,
        alphas_cumprod: Tensor,
        classifier: nn.Module | None = None,
        sampling: Sampling = PAPER_SAMPLING,
        batch_size: int = 32,
        amp: bool = True,
    ) -> None:
        super().__init__()
        if sampling.guidance != 0 and classifier is None:
            problem = f"guidance is {sampling.guidance} and there is no classifier"
            raise ValueError(f"{problem}; give one, or set guidance to 0")
        steps, timesteps = sampling.steps, round(sampling.level * len(alphas_cumprod))
        if not 1 <= steps <= timesteps:
            there_are = f"up to level {sampling.level} there are {timesteps} timesteps"
            raise ValueError(f"steps is {steps}; {there_are}, choose 1 or more")
        self.state, self.alphas_cumprod = state, alphas_cumprod
        self.classifier = None if classifier is None else classifier.eval().requires_grad_(False)
        self.sigmas = vp_sigmas(alphas_cumprod, even_timesteps(steps, timesteps))
        self.lowest = float(vp_sigmas(alphas_cumprod, [0])[0])
        self.sampling, self.batch_size = sampling, batch_size
        self.forward, self.classify = AutocastInferer(enabled=amp), AutocastInferer(enabled=False)

    @torch.inference_mode()
    def __call__(
        self, inputs: Tensor, network: Callable, *args: Any, class_label: Tensor, keys: Sequence[str], **kwargs: Any
    ) -> Tensor:
        """``B 3 X Y`` to ``B 3 X Y``.

        Args:
            inputs: clean joint state and condition, as :meth:`JointState.pack` gives them; what is drawn from noise
                alone may be anything, such as 0.
            network: ``network(network_input, t) -> B 2C X Y``, epsilon and variance of the C channels of the state.
            class_label: ``B``, int64, the wanted classes.
            keys: of the noise, one for each sample.

        Returns:
            radiograph, tibia and lesion without weights, in [-1, 1]; a mask is where its channel is above 0.

        Raises:
            ValueError: inputs, class_label and keys are not of the same number, or inputs do not have three channels.
        """
        inputs, labels = convert_to_tensor(inputs).float(), torch.as_tensor(class_label, device=inputs.device)
        if not len(inputs) == len(labels) == len(keys) or inputs.shape[1] != 3:
            raise ValueError(
                f"inputs have the shape {tuple(inputs.shape)}, with {len(labels)} classes and {len(keys)} keys; "
                "give three channels, and one class and one key for each sample"
            )
        drawn, facts, size = [], [], self.batch_size
        total = len(inputs) * (len(self.sigmas) - 1)
        with tqdm(total=total, desc="samples x steps", leave=False, delay=5) as progress:
            for chunk in (slice(first, first + size) for first in range(0, len(inputs), size)):
                samples, known = self._draw(inputs[chunk], labels[chunk], keys[chunk], network, progress)
                drawn.append(samples)
                facts += known
        return with_facts(torch.cat(drawn), facts)

    def _draw(
        self, inputs: Tensor, labels: Tensor, keys: Sequence[str], network: Callable, progress: tqdm
    ) -> tuple[Tensor, list[dict[str, Any]]]:
        source, condition = inputs.split([self.state.channels, 3 - self.state.channels], dim=1)
        evaluations: Counter[str] = Counter()

        def predict(x_vp: Tensor, t: Tensor, _: None) -> Tensor:
            evaluations["network"] += 1
            return self.forward(self.state.network_input(x_vp, condition), network, t)

        def classify(x_vp: Tensor, t: Tensor) -> Tensor:
            evaluations["classifier"] += 1
            return self.classify(self.state.network_input(x_vp, condition), cast(nn.Module, self.classifier), t)

        def log_probability(x: Tensor, sigma: float) -> Tensor:
            # A tensor made in inference mode cannot be saved for the gradient, its clone can.
            return ClassLogProbability(classify, labels.clone(), denoiser.timestep)(x, sigma)

        def within_limits(denoise: Denoise) -> Denoise:
            return clamped(denoise, self.state.limits)

        def steered(denoise: Denoise) -> Denoise:
            return within_limits(guided(within_limits(denoise), log_probability, self.sampling.guidance))

        def denoise(x: Tensor, sigma: float) -> Tensor:
            return denoiser(x, sigma)[0]

        denoiser = LearnedVarianceDenoiser(predict, self.alphas_cumprod)
        learned = self.sampling.sampler == "learned_variance"
        sample = ALL_SAMPLERS[self.sampling.sampler](
            on_x0(steered, denoiser) if learned else steered(denoise),
            self._inverted(within_limits(denoise), source) if self.sampling.inversion else self._noised(source, keys),
            self.sigmas,
            noise=lambda step: self._noise(keys, f"step {step}", source),
            callback=lambda step, x, *_: progress.update(len(x)),
        )
        probabilities = [None] * len(keys)
        if self.classifier is not None:
            probabilities = log_probability(sample, self.lowest).exp().tolist()
        counts = {f"{name}_evaluations": evaluations[name] for name in ("network", "classifier")}
        same = {"guidance": self.sampling.guidance, "level": self.sampling.level, **counts}
        facts = [
            {"class_label": label, "class_probability": probability, **same}
            for label, probability in zip(labels.tolist(), probabilities, strict=True)
        ]
        weights = torch.cat(self.state.pack(*inputs.new_ones(3, 1, 1, 1, 1)), dim=1)
        return (torch.cat([sample, condition], dim=1) / weights).clamp(-1, 1), facts

    def _noised(self, source: Tensor, keys: Sequence[str]) -> Tensor:
        sigma, noise = float(self.sigmas[0]), self._noise(keys, "start", source)
        return source + sigma * noise if self.sampling.level < 1 else (1 + sigma**2) ** 0.5 * noise

    def _inverted(self, denoise: Denoise, x: Tensor) -> Tensor:
        """Euler's method up the probability-flow ODE (Song et al. 2021, section 4.3)."""
        for sigma, after in pairwise(self.sigmas.flip(0).tolist()):
            known = max(sigma, self.lowest)  # no network is trained without noise
            x = x + (after - sigma) * (x - denoise(x, known)) / known
        return x

    def _noise(self, keys: Sequence[str], purpose: str, like: Tensor) -> Tensor:
        """Standard normal ``B C X Y``, the same for a sample in every batch, order and run."""
        return keyed_noise([(self.sampling.seed, key, purpose) for key in keys], like.shape[1:], like.device)

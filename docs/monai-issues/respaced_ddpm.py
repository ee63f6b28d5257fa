"""DDPMScheduler: with fewer steps than in training, `step` still goes to the timestep before, with its beta.

`step` uses `alphas_cumprod[timestep - 1]` and `betas[timestep]` whatever the spacing of `set_timesteps`.
Data have mean .2 and variance .09, epsilon is exact: samples should have that mean and variance.
Expected: variance .09 for any number of steps. Found in 1.6.1: .088 (1000), .355 (250), .640 (100).
"""

import torch
from monai.networks.schedulers import DDPMScheduler

MEAN, VARIANCE = 0.2, 0.09


def sample(steps: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    scheduler = DDPMScheduler(1000, schedule="linear_beta", beta_start=1e-4, beta_end=0.02, clip_sample=False)
    scheduler.set_timesteps(steps)
    x = torch.randn(1, 1, 50_000, generator=generator, dtype=torch.float64)
    for t in scheduler.timesteps:
        abar = scheduler.alphas_cumprod[t].double()
        epsilon = (1 - abar).sqrt() * (x - abar.sqrt() * MEAN) / (abar * VARIANCE + 1 - abar)
        x, _ = scheduler.step(epsilon, int(t), x, generator=generator)
    return x


found = {steps: float(sample(steps).var()) for steps in (1000, 250, 100)}
print("variance of the samples by number of steps:", {steps: round(value, 3) for steps, value in found.items()})
fault = abs(found[100] - VARIANCE) > 0.02
raise SystemExit(f"FAULT: variance {found[100]:.2f} with 100 steps, not .09" if fault else 0)

"""DDIMScheduler: with fewer steps than in training, `step` goes to another timestep than `set_timesteps` lists next.

`set_timesteps` spaces by `linspace` (999, 888, 777, ...), `step` takes `timestep - 1000 // steps` for the next one.
Data are normal with mean .2 and variance .09, epsilon is exact: samples should have that mean and variance.
Expected: variance .09 for any number of steps. Found in 1.6.1: .089 (1000), .076 (30), .056 (10).
"""

import torch
from monai.networks.schedulers import DDIMScheduler

MEAN, VARIANCE = 0.2, 0.09


def sample(steps: int) -> torch.Tensor:
    scheduler = DDIMScheduler(1000, schedule="linear_beta", beta_start=1e-4, beta_end=0.02, clip_sample=False)
    scheduler.set_timesteps(steps)
    x = torch.randn(50_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for t in scheduler.timesteps:
        abar = scheduler.alphas_cumprod[t].double()
        epsilon = (1 - abar).sqrt() * (x - abar.sqrt() * MEAN) / (abar * VARIANCE + 1 - abar)
        x, _ = scheduler.step(epsilon, int(t), x)
    return x


found = {steps: float(sample(steps).var()) for steps in (1000, 100, 30, 10)}
print("variance of the samples by number of steps:", {steps: round(value, 3) for steps, value in found.items()})
scheduler = DDIMScheduler(1000)
scheduler.set_timesteps(10)
print("timesteps listed:", scheduler.timesteps.tolist(), "but each step goes down by", 1000 // 10)
fault = abs(found[10] - VARIANCE) > 0.02
raise SystemExit(f"FAULT: variance {found[10]:.3f} with 10 steps, not .09" if fault else 0)

"""Artefacts of MRI that arise in k-space: noise, spikes, ghosts and motion, each deterministic in its parameters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Affine, Transform, create_rotate, create_translate
from monai.utils import convert_to_dst_type, convert_to_tensor


class KSpaceNoise(Transform):
    """Uniform noise on the spectrum of each axial slice, Gaussian in the image (released code of IterMask3D).

    The lines of frequency 0 and -1 along X stay as they are. The real part is the result.

    Args:
        level: largest noise of the real and the imaginary part, as a share of the largest of the slice's spectrum.
        seed: of the noise.
    """

    def __init__(self, level: float, seed: int) -> None:
        self.level, self.seed = level, seed

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        """``1 X Y Z`` to ``1 X Y Z``, float32."""
        values = convert_to_tensor(img, dtype=torch.float32, track_meta=False)
        noise = np.random.default_rng(self.seed).uniform(-self.level, self.level, (2, *values.shape))
        noise[:, :, [0, -1]] = 0
        spectrum = torch.fft.fft2(values, dim=(1, 2))
        parts = torch.stack([spectrum.real, spectrum.imag])
        parts = parts + torch.from_numpy(noise).to(parts) * parts.abs().amax(dim=(2, 3), keepdim=True)
        return convert_to_dst_type(torch.fft.ifft2(torch.complex(*parts), dim=(1, 2)).real, img, dtype=torch.float32)[0]


class KSpaceSpike(Transform):
    """Add to one point of the spectrum: a wave across the volume (Spike of TorchIO, as IterMask3D uses it).

    :class:`monai.transforms.KSpaceSpikeNoise` sets the logarithm of the magnitude there and keeps the phase.

    Args:
        level: added, in units of the largest magnitude of the spectrum: the wave has ``level`` times the mean of a
            non-negative volume as its amplitude.
        position: in the centred spectrum, as a share of each axis; 0.5 is frequency 0.
    """

    def __init__(self, level: float, position: Sequence[float] = (0.45, 0.45, 0.45)) -> None:
        self.level, self.position = level, position

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        """``1 X Y Z`` to ``1 X Y Z``, float32."""
        values = convert_to_tensor(img, dtype=torch.float32, track_meta=False)
        spectrum = torch.fft.fftn(values, dim=(1, 2, 3))
        x, y, z = (int(share * size) - size // 2 for share, size in zip(self.position, values.shape[1:]))
        spectrum[0, x, y, z] += self.level * spectrum.abs().max()
        return convert_to_dst_type(torch.fft.ifftn(spectrum, dim=(1, 2, 3)).real, img, dtype=torch.float32)[0]


class Ghosting(Transform):
    """Change every n-th line of k-space: n ghosts along an axis (Ghosting of TorchIO, as IterMask3D uses it).

    Args:
        intensity: i; the lines are multiplied by ``1 - i``. The ghosts are ``-i / n`` times the image.
        num_ghosts: n.
        axis: of the ghosts, 0 to 2.
        restore: share of the lines, about frequency 0, that stay; at least that one line does.
    """

    def __init__(self, intensity: float, num_ghosts: int = 4, axis: int = 1, restore: float = 0.01) -> None:
        self.intensity, self.num_ghosts, self.axis, self.restore = intensity, num_ghosts, axis, restore

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        """``1 X Y Z`` to ``1 X Y Z``, float32."""
        values = convert_to_tensor(img, dtype=torch.float32, track_meta=False).movedim(1 + self.axis, -1)
        size = values.shape[-1]
        line = torch.arange(size)
        kept = (line - size // 2).abs() <= round(self.restore * size) // 2
        factor = torch.where((line % self.num_ghosts == 0) & ~kept, 1 - self.intensity, 1.0)
        ghosts = torch.fft.ifft(torch.fft.fft(values) * torch.fft.ifftshift(factor)).real
        return convert_to_dst_type(ghosts.movedim(-1, 1 + self.axis), img, dtype=torch.float32)[0]


class HeadMotion(Transform):
    """Some lines of k-space are those of the moved head, as after sudden movements during the scan.

    Lines are acquired one after the other along an axis, from the lowest frequency to the highest.

    Args:
        degrees, mm: angle and length of each movement.
        intervals: ``P 2``, shares of the scan, from and to, during which the head is away from its place.
        rotation_axes, translation_axes: ``P 3``, unit vectors, one for each interval.
        axis: of the lines, 0 to 2.
    """

    def __init__(
        self,
        degrees: float,
        mm: float,
        intervals: Sequence[Sequence[float]],
        rotation_axes: Sequence[Sequence[float]],
        translation_axes: Sequence[Sequence[float]],
        axis: int = 1,
    ) -> None:
        self.degrees, self.mm, self.intervals, self.axis = degrees, mm, intervals, axis
        self.rotation_axes, self.translation_axes = rotation_axes, translation_axes

    def __call__(self, img: torch.Tensor) -> torch.Tensor:
        """``1 X Y Z``, voxels of 1 mm unless it is a MetaTensor, to ``1 X Y Z``, float32."""
        values = convert_to_tensor(img, dtype=torch.float32, track_meta=False)
        to_mm = np.diag([*np.asarray(img.pixdim), 1.0]) if isinstance(img, MetaTensor) else np.eye(4)
        spectrum = self._spectrum(values)
        time = torch.fft.ifftshift((torch.arange(spectrum.shape[-1]) + 0.5) / spectrum.shape[-1])
        for (start, end), rotation, translation in zip(self.intervals, self.rotation_axes, self.translation_axes):
            turn = create_rotate(3, np.radians(self.degrees * np.asarray(rotation)).tolist())
            shift = create_translate(3, (self.mm * np.asarray(translation)).tolist())
            in_voxels = np.linalg.inv(to_mm) @ turn @ shift @ to_mm
            move = Affine(affine=in_voxels, padding_mode="zeros", image_only=True)
            moved = self._spectrum(convert_to_tensor(move(values), track_meta=False))
            spectrum = torch.where((time >= start) & (time < end), moved, spectrum)
        corrupted = torch.fft.ifft(spectrum).real.movedim(-1, 1 + self.axis)
        return convert_to_dst_type(corrupted, img, dtype=torch.float32)[0]

    def _spectrum(self, values: torch.Tensor) -> torch.Tensor:
        """Lines last; along the other axes the Fourier transform would be undone again as it is."""
        return torch.fft.fft(values.movedim(1 + self.axis, -1))

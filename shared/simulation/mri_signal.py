"""Signal equations of the five simulated MRI sequences, and the relaxation times at 3 T they are fed with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np


@dataclass(frozen=True)
class Tissue:
    """Relaxation times in ms and proton density relative to water.

    `gadolinium` is the concentration of contrast agent in mmol/l after injection; it acts on the sequence t1ce only.
    """

    t1: float
    t2: float
    proton_density: float
    gadolinium: float = 0.0


# Longitudinal relaxivity of gadolinium chelates at 3 T in 1/(mmol/l s): Rohrer et al. 2005, Invest. Radiol. 40:715.
GADOLINIUM_RELAXIVITY = 4.0

# T1 of grey and white matter: Wansapura et al. 1999, J. Magn. Reson. Imaging 9:531. T2: Stanisz et al. 2005, Magn.
# Reson. Med. 54:507, which is also the source of blood. T1 of CSF: Rooney et al. 2007, Magn. Reson. Med. 57:308 (free
# of the field strength), T2 of CSF as in free fluid. Proton densities: Tofts 2003, Quantitative MRI of the Brain.
HEALTHY = MappingProxyType(
    {
        "csf": Tissue(t1=4300.0, t2=1500.0, proton_density=1.0),
        "grey": Tissue(t1=1331.0, t2=99.0, proton_density=0.82),
        # Iron shortens the T2 of the basal ganglia below that of cortex: Gelman et al. 1999, Radiology 210:759.
        "deep_grey": Tissue(t1=1250.0, t2=74.0, proton_density=0.80),
        "white": Tissue(t1=832.0, t2=69.0, proton_density=0.70),
        # Flowing blood leaves the slice between the pulses of a spin echo: the short T2 stands for that flow void.
        "blood": Tissue(t1=1932.0, t2=30.0, proton_density=0.8, gadolinium=0.9),
    }
)

# Water-rich tissue with a T1 of grey matter or longer and a T2 that no healthy tissue has. The ranges are those of
# the reviews of oedema, glioma, infarct and plaque relaxometry; the single values are choices within them.
LESIONS = MappingProxyType(
    {
        "oedema": Tissue(t1=1600.0, t2=170.0, proton_density=0.88),
        "tumour_core": Tissue(t1=1700.0, t2=200.0, proton_density=0.90),
        "tumour_rim": Tissue(t1=1650.0, t2=170.0, proton_density=0.86, gadolinium=0.6),
        "necrosis": Tissue(t1=3000.0, t2=500.0, proton_density=0.97),
        "infarct": Tissue(t1=1700.0, t2=210.0, proton_density=0.89),
        "plaque": Tissue(t1=1650.0, t2=180.0, proton_density=0.88),
    }
)


@dataclass(frozen=True)
class Sequence:
    """Timing of one sequence: repetition, echo and inversion time in ms, flip angle in degrees.

    `noise` is the standard deviation at 1 mm relative to the signal of white matter.
    `family` is "spoiled_gradient_echo", "spin_echo" or "inversion_recovery"; `enhanced` says that contrast agent is in.
    """

    family: str
    repetition_time: float
    echo_time: float
    noise: float
    flip_angle: float = 90.0
    inversion_time: float = 0.0
    enhanced: bool = False


SPOILED_T1 = Sequence("spoiled_gradient_echo", repetition_time=9.6, echo_time=4.6, noise=0.022, flip_angle=25.0)
# The echo times of t2 and flair are the contrast-equivalent ones of a turbo spin echo, shorter than the nominal ones
# (Mugler 2014, J. Magn. Reson. Imaging 39:745). The inversion time of flair nulls CSF.
SEQUENCES = MappingProxyType(
    {
        "t1": SPOILED_T1,
        "t1ce": replace(SPOILED_T1, enhanced=True),
        "t2": Sequence("spin_echo", repetition_time=5000.0, echo_time=60.0, noise=0.03),
        "flair": Sequence(
            "inversion_recovery", repetition_time=9000.0, echo_time=60.0, inversion_time=2480.0, noise=0.04
        ),
        "pd": Sequence("spin_echo", repetition_time=5000.0, echo_time=15.0, noise=0.02),
    }
)


def spoiled_gradient_echo(tissue: Tissue, repetition_time: float, flip_angle: float) -> float:
    """Return the steady-state FLASH signal, the Ernst equation (times in ms, angle in degrees; T2* left out)."""
    angle = np.deg2rad(flip_angle)
    e1 = np.exp(-repetition_time / tissue.t1)
    return float(tissue.proton_density * np.sin(angle) * (1 - e1) / (1 - np.cos(angle) * e1))


def spin_echo(tissue: Tissue, repetition_time: float, echo_time: float) -> float:
    """Return the spin-echo signal PD (1 - exp(-TR/T1)) exp(-TE/T2), times in ms."""
    recovered = 1 - np.exp(-repetition_time / tissue.t1)
    return float(tissue.proton_density * recovered * np.exp(-echo_time / tissue.t2))


def inversion_recovery(tissue: Tissue, repetition_time: float, echo_time: float, inversion_time: float) -> float:
    """Return the magnitude PD |1 - 2 exp(-TI/T1) + exp(-TR/T1)| exp(-TE/T2) of an inversion recovery, times in ms."""
    recovered = 1 - 2 * np.exp(-inversion_time / tissue.t1) + np.exp(-repetition_time / tissue.t1)
    return float(tissue.proton_density * abs(recovered) * np.exp(-echo_time / tissue.t2))


def with_gadolinium(tissue: Tissue) -> Tissue:
    """Return the tissue after injection: 1/T1 rises by relaxivity times concentration (Solomon-Bloembergen)."""
    rate = 1 / tissue.t1 + GADOLINIUM_RELAXIVITY * tissue.gadolinium / 1000
    return replace(tissue, t1=1 / rate)


def signal(tissue: Tissue, sequence: Sequence) -> float:
    """Return the noise-free signal of a tissue under a sequence, relative to fully relaxed water."""
    if sequence.enhanced:
        tissue = with_gadolinium(tissue)
    if sequence.family == "spoiled_gradient_echo":
        return spoiled_gradient_echo(tissue, sequence.repetition_time, sequence.flip_angle)
    if sequence.family == "spin_echo":
        return spin_echo(tissue, sequence.repetition_time, sequence.echo_time)
    if sequence.family == "inversion_recovery":
        return inversion_recovery(tissue, sequence.repetition_time, sequence.echo_time, sequence.inversion_time)
    raise ValueError(
        f"unknown sequence family {sequence.family!r}; known: spoiled_gradient_echo, spin_echo, inversion_recovery"
    )

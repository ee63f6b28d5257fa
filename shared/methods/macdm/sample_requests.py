"""Requests for generated radiographs: which class, from noise or from which given radiograph, and how a batch of
them reaches an inferer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.engines import PrepareBatch
from monai.utils import convert_to_tensor, ensure_tuple

from ...cases.radiograph_cases import MASKS
from ...radiographs.door import CLASSES
from .joint_state import JointState


def sample_requests(
    samples: int, classes: int | Sequence[int] = (0, 1), seed: int = 0, class_names: Sequence[str] = CLASSES
) -> list[dict[str, Any]]:
    """Requests of samples drawn from noise, the classes in turn.

    Args:
        samples: of each class, at least 1.
        classes: of 0 and 1, one or both.
        seed: of the run, recorded with each request.
        class_names: of class 0 and 1; files are named after them.

    Returns:
        ``{"case_id", "class_label", "class_name", "seed"}``, the case id such as ``fracture_0001``.

    Raises:
        ValueError: fewer than one sample; no class, an unknown or a repeated one; not two names, of letters, digits,
            ``_`` and ``-``.
    """
    _check(samples, classes, class_names)
    return [
        {
            "case_id": f"{class_names[wanted]}_{number:04d}",
            "class_label": wanted,
            "class_name": class_names[wanted],
            "seed": seed,
        }
        for number in range(1, samples + 1)
        for wanted in ensure_tuple(classes)
    ]


def source_requests(
    cases: Sequence[Mapping[str, Any]],
    samples: int,
    classes: int | Sequence[int] = (0, 1),
    class_names: Sequence[str] = CLASSES,
) -> list[dict[str, Any]]:
    """Requests of samples that start at given radiographs: of the same class a variation, of the other a translation.

    Args:
        cases: good ones of a :class:`~...radiographs.door.RadiographDoor` that needs the masks that the network knows
            and ``class_label``; if what is sampled is to train a network, of its training section only.
        samples: of each case and class, at least 1.
        classes: of 0 and 1, one or both.
        class_names: of class 0 and 1; files are named after them.

    Returns:
        ``{"case_id", "class_label", "class_name", "source_id", "source_class"}`` with ``image`` and the masks of the
        source; the case id is such as ``<source_id>_as_fracture_01``.

    Raises:
        ValueError: as :func:`sample_requests`.
    """
    _check(samples, classes, class_names)
    return [
        {
            **{key: case[key] for key in ("image", *MASKS) if key in case},
            "case_id": f"{case['case_id']}_as_{class_names[wanted]}_{number:02d}",
            "class_label": wanted,
            "class_name": class_names[wanted],
            "source_id": case["case_id"],
            "source_class": case["class_label"],
        }
        for case in cases
        for number in range(1, samples + 1)
        for wanted in ensure_tuple(classes)
    ]


def _check(samples: int, classes: int | Sequence[int], class_names: Sequence[str]) -> None:
    if len(class_names) != 2 or len(set(class_names)) != 2 or not all(re.fullmatch(r"[\w-]+", n) for n in class_names):
        raise ValueError(f"class_names are {list(class_names)}; give two, of letters, digits, _ and -")
    if samples < 1:
        raise ValueError(f"samples is {samples}; ask for at least 1 of each class")
    if list(ensure_tuple(classes)) not in ([0], [1], [0, 1], [1, 0]):
        zero, one = class_names
        raise ValueError(f"classes are {classes}; give 0 ({zero}), 1 ({one}) or both, each once")


class RequestPrepareBatch(PrepareBatch):
    """What ``inferer(inputs, network, class_label=..., keys=...)`` is given of a batch of requests.

    Args:
        state: packs the radiographs and masks of sources.
        size: pixels along both axes of samples drawn from noise.
    """

    def __init__(self, state: JointState, size: int) -> None:
        self.state, self.size = state, size

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: torch.device | str | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, None, tuple[()], dict[str, Any]]:
        """Pack the sources, or make room for what is drawn from noise.

        Args:
            batchdata: ``case_id`` and ``class_label`` of B requests; where they have sources, also ``radiograph`` in
                [-1, 1], ``tibia_mask`` and ``lesion_mask`` of 0 and 1, each ``B 1 X Y``.
            device: where the tensors go.
            non_blocking: of the copy.
            kwargs: of ``Tensor.to``.

        Returns:
            inputs ``B 3 X Y``, state and condition of the sources or 0; no targets; no positional arguments;
            ``class_label`` ``B`` int64 and ``keys``, the B case ids.

        Raises:
            ValueError: there is no source, but the network is to be given the masks.
        """
        labels = torch.as_tensor(batchdata["class_label"], dtype=torch.int64)
        if "radiograph" in batchdata:
            source = (convert_to_tensor(batchdata[key]).float() for key in ("radiograph", *MASKS))
            inputs = torch.cat(self.state.pack(*source), dim=1)
        elif self.state.masks_given:
            raise ValueError("this network is given the masks: make the requests by source_requests")
        else:
            inputs = torch.zeros(len(labels), self.state.channels, self.size, self.size)
        inputs = inputs.to(device, non_blocking=non_blocking, **kwargs)
        asked = {"class_label": labels.to(device), "keys": list(batchdata["case_id"])}
        return inputs, None, (), asked

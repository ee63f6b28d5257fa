"""The loss of IterMask3D: squared errors where the weight is 1, by hand."""

from __future__ import annotations

import torch

from shared.methods.itermask3d.lesion_free_loss import LesionFreeMSELoss


def test_the_mean_is_over_the_voxels_that_count():
    """Errors of 1, 2, 3 and 4, of which the last does not count: 14 / 3; its gradient is 2 error / 3, or 0."""
    output = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 4, 1, 1).requires_grad_()
    weight = torch.tensor([1.0, 1.0, 1.0, 0.0]).view(1, 1, 4, 1, 1)
    loss = LesionFreeMSELoss()(output, torch.cat([torch.zeros_like(weight), weight], dim=1))
    torch.testing.assert_close(loss.item(), 14 / 3)
    loss.backward()
    torch.testing.assert_close(output.grad.flatten(), torch.tensor([2.0, 4.0, 6.0, 0.0]) / 3)


def test_a_case_counts_by_its_tissue_not_by_itself():
    """One voxel of error 1 in the first case, three of error 2 in the second: (1 + 3 * 4) / 4."""
    output = torch.tensor([1.0, 2.0]).view(2, 1, 1, 1, 1).expand(2, 1, 4, 1, 1)
    weight = torch.tensor([[1.0, 0, 0, 0], [1.0, 1, 1, 0]]).view(2, 1, 4, 1, 1)
    loss = LesionFreeMSELoss()(output, torch.cat([torch.zeros_like(weight), weight], dim=1))
    torch.testing.assert_close(loss.item(), 13 / 4)


def test_without_healthy_tissue_it_is_0_and_teaches_nothing():
    output = torch.ones(1, 1, 2, 2, 2, requires_grad=True)
    loss = LesionFreeMSELoss()(output, torch.zeros(1, 2, 2, 2, 2))
    loss.backward()
    assert loss.item() == 0 and not output.grad.any()


def test_without_lesions_it_is_the_mean_squared_error():
    torch.manual_seed(0)
    output, image = torch.randn(2, 2, 1, 4, 4, 4)
    target = torch.cat([image, torch.ones_like(image)], dim=1)
    torch.testing.assert_close(LesionFreeMSELoss()(output, target), torch.nn.MSELoss()(output, image))

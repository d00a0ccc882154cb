# SPDX-License-Identifier: GPL-3.0-or-later
"""A trained network in the form that inference runs: the same function with fewer operations."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.flop_counter import conv_flop_count


def _convolution_flops(images, weight, *_settings, out_shape=None, **_more) -> int:
    return conv_flop_count(images, weight, out_shape)


FLOPS = {torch.ops.mkldnn._convolution_pointwise: _convolution_flops}  # torch's flop counter does not know it by itself
MOST_SHAPES = 8  # of images, for which a convolution keeps its weights packed


class OneKernelConvolution(nn.Module):
    """A convolution on the CPU, with the ReLU behind it if there is one, that takes one image by the kernel of many.

    nn.Conv2d has another kernel for a single image and a single thread, which rounds differently; and it brings the
    weights into oneDNN's order in every call, which takes as long as a third of the work on one image. That order
    depends on the shape of the images: weights packed for another shape take longer to reorder than all the rest.
    """

    def __init__(self, convolution: nn.Conv2d, relu: bool):
        super().__init__()
        self.place = [list(part) for part in (convolution.padding, convolution.stride, convolution.dilation)]
        self.place.append(convolution.groups)
        self.activation = "relu" if relu else "none", [], ""
        self.weight, self.bias = convolution.weight, convolution.bias
        self.packed: dict[torch.Size, torch.Tensor] = {}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        weight = self.packed.get(images.shape)
        if weight is None:
            if len(self.packed) == MOST_SHAPES:
                self.packed.clear()
            plain = self.weight.detach().to_mkldnn()
            weight = torch._C._nn.mkldnn_reorder_conv2d_weight(plain, *self.place, list(images.shape))
            self.packed[images.shape] = weight
        return torch.ops.mkldnn._convolution_pointwise(images, weight, self.bias, *self.place, *self.activation)


def for_inference(model: nn.Module, device: torch.device) -> nn.Module:
    """Fold every batch norm into the convolution before it and move the model to the device, channels last."""
    model = model.eval().requires_grad_(False)
    for block in model.modules():
        if isinstance(block, nn.Sequential) and len(block) > 1 and isinstance(block[1], nn.BatchNorm2d):
            block[0], block[1] = fuse_conv_bn_eval(block[0], block[1]), nn.Identity()
    model = model.to(device, memory_format=torch.channels_last)
    if device.type == "cpu" and torch.backends.mkldnn.is_available():
        _replace_convolutions(model)
    return model


def _replace_convolutions(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            layers = list(module) if isinstance(module, nn.Sequential) else []
            relu = len(layers) == 3 and layers[0] is child and isinstance(layers[2], nn.ReLU)  # a conv_block
            setattr(module, name, OneKernelConvolution(child, relu))
            if relu:
                module[2] = nn.Identity()
        else:
            _replace_convolutions(child)

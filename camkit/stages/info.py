"""`camkit info`: what a store or a checkpoint holds, as facts and as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from camkit.agreement import SHARES, agreement_blocks, agreement_words, shares_of
from camkit.data.reading import exists, is_folder
from camkit.errors import InputError, StoreError, UsageError
from camkit.pipeline.select import is_hdf5
from camkit.pipeline.upstream import STANDARD_INPUT_NAME, Sources, open_input, paths_of, reads_standard_input
from camkit.stages.info_folders import describe_folder, folder_lines, unfinished_of
from camkit.stages.notes import class_scores, whole_numbers
from camkit.store.describe import describe, describe_prototypes
from camkit.store.merge import shard_words
from camkit.store.pipe import receive_store
from camkit.store.prototypes import holds_prototypes, read_prototypes
from camkit.store.provenance import check_chain, parameter_words
from camkit.store.reader import open_store
from camkit.text import line_of
from camkit.types import AffinityKind


def describe_file(sources: Sources, model: str | None = None) -> dict[str, Any]:
    """Facts about a store or a checkpoint, as JSON can hold them.

    model  `package.module:factory` of a network of the user's own
    """
    files = paths_of(sources)
    if reads_standard_input(files):
        with receive_store() as path:
            return _describe_stores([path], STANDARD_INPUT_NAME)
    if len(files) == 1 and is_folder(files[0]):
        return describe_folder(files[0])
    unfinished = None if exists(files[0]) else unfinished_of(files[0])
    if unfinished is not None:
        return describe_folder(unfinished)
    if is_hdf5(files[0]) or files[0].suffix in (".h5", ".hdf5"):
        return _describe_stores(files)
    if len(files) > 1:
        raise UsageError("give one checkpoint, or the shards of one store")
    from camkit.models.checkpoint import packaged

    path = packaged(files[0])
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return _describe_checkpoint(path, model)


def _describe_stores(paths: Sequence[Path], name: str | None = None) -> dict[str, Any]:
    if len(paths) == 1 and holds_prototypes(paths[0]):
        return describe_prototypes(read_prototypes(paths[0], name)) | {"bytes": paths[0].stat().st_size}
    with open_store(*paths, name=name) as store:
        return describe(store) | {"paths": list(store.names)}


def _describe_checkpoint(path: Path, model: str | None) -> dict[str, Any]:
    from camkit.models.recognise import recognise
    from camkit.models.tensors import read_tensors

    tensors, own = read_tensors(path)
    found = recognise(tensors, own)
    if found.kind == "segmentation":
        described = _describe_segmentation(path)
    elif found.pairs is not None:
        described = _describe_affinity(path, found.pairs)
    else:
        described = _describe_classifier(path, own or {}, model)
    figures, provenance = _history((own or {}).get("extra"))
    return {
        "paths": [str(path)],
        "kind": "checkpoint",
        **described,
        "bytes": path.stat().st_size,
        "figures": figures,
        "provenance": provenance,
    }


def _describe_classifier(path: Path, own: Mapping[str, Any], model: str | None) -> dict[str, Any]:
    from camkit.models.checkpoint import load_classifier
    from camkit.models.icd import load_icd

    load = load_icd if own.get("kind") == "icd" else load_classifier
    loaded = load(path, model=model)
    return {
        "arch": loaded.arch,
        "num_classes": loaded.num_classes,
        "classes": None if loaded.classes is None else list(loaded.classes),
        "parameters": sum(tensor.numel() for tensor in loaded.network.parameters()),
        "output_stride": loaded.output_stride,
        "refines_maps": loaded.network.refines_maps,
        "input_size": loaded.input_size,
        "mean": list(loaded.mean),
        "std": list(loaded.std),
        "layers": list(loaded.network.layers),
        "ignored": list(loaded.ignored),
        "icd": own.get("icd") if own.get("kind") == "icd" else None,
        "sha256": loaded.sha256,
    }


def _describe_affinity(path: Path, kind: AffinityKind) -> dict[str, Any]:
    from camkit.models.affinity import load_affinity

    loaded = load_affinity(path, kind)
    return {
        "arch": loaded.arch,
        "affinity": kind,
        "parameters": sum(tensor.numel() for tensor in loaded.network.parameters()),
        "output_stride": loaded.network.stride,
        "input_size": loaded.input_size,
        "crop": loaded.crop or None,
        "mean": list(loaded.network.mean),
        "std": list(loaded.network.std),
        "sha256": loaded.sha256,
    }


def _describe_segmentation(path: Path) -> dict[str, Any]:
    from camkit.models.segmentation.checkpoint import load_segmentation

    loaded = load_segmentation(path)
    network = loaded.network
    return {
        "arch": loaded.arch,
        "trunk": network.trunk,
        "num_classes": network.num_classes,
        "classes": None if loaded.classes is None else list(loaded.classes),
        "parameters": sum(tensor.numel() for tensor in network.parameters()),
        "output_stride": network.output_stride,
        "input_size": loaded.input_size,
        "mean": list(network.mean),
        "std": list(network.std),
        "ignored": list(loaded.ignored),
        "sha256": loaded.sha256,
    }


def _history(extra: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was measured in training, and how it was made; nothing where a checkpoint does not say, or not soundly."""
    figures, provenance = (extra.get("figures"), extra.get("provenance")) if isinstance(extra, dict) else (None, None)
    try:
        check_chain(provenance)
    except StoreError:
        provenance = None
    return figures if isinstance(figures, dict) else {}, provenance or {}


def describe_image(sources: Sources, id: str) -> dict[str, Any]:
    """Facts about one image of a store."""
    with open_input(paths_of(sources)) as store:
        activation = store.read(id)
        names = store.header.classes
        return {
            "id": id,
            "size": list(activation.size),
            "kind": store.header.kind,
            "shape": list(activation.values.shape),
            "classes": [names[index] for index in activation.classes],
            "notes": _with_names(dict(activation.notes), names),
        }


def _with_names(notes: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """A method notes classes by index; people know them by name."""
    patches = notes.get("patches")
    if isinstance(patches, list):
        notes["patches"] = [
            patch | {"classes": [names[c] for c in whole_numbers(patch.get("classes")) if c < len(names)]}
            for patch in patches
            if isinstance(patch, dict)
        ]
    if "candidates" in notes:
        candidates = class_scores(notes["candidates"])
        notes["candidates"] = {names[c]: score for c, score in candidates if c < len(names)}
    return notes


def image_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    height, width = facts["size"]
    yield facts["id"]
    yield _line("photo", f"{width}x{height}")
    shape = "x".join(map(str, facts["shape"]))
    yield _line("holds", f"{facts['kind']} {shape}: {', '.join(facts['classes']) or 'no class'}")
    for name, value in facts["notes"].items():
        if name == "candidates":
            yield _line(name, ", ".join(f"{known} {score:.2f}" for known, score in value.items()))
            continue
        patches = isinstance(value, list) and name == "patches"
        for number, entry in enumerate(value if patches else [value]):
            yield _line(name if number == 0 else "", _patch_words(entry) if patches else str(entry))


def _patch_words(patch: Mapping[str, Any]) -> str:
    """'rows 0-93, columns 0-133: 4 rounds, hidden 68.9 % + 17.0 % …'."""
    box, hidden = whole_numbers(patch.get("box")), patch.get("hidden")
    if len(box) != 4 or not isinstance(hidden, list) or not all(isinstance(share, float | int) for share in hidden):
        return str(dict(patch))
    top, left, bottom, right = box
    shares = " + ".join(f"{100 * share:.1f} %" for share in hidden)
    where = f"rows {top}-{bottom}, columns {left}-{right}"
    return f"{where}, {', '.join(patch['classes'])}: {patch.get('rounds')} rounds, hidden {shares}"


def failure_lines(description: Mapping[str, Any]) -> Iterator[str]:
    for id, message in description.get("failures", {}).items():
        yield f"{line_of(id)}\t{line_of(message)}"


def lines_of(description: Mapping[str, Any]) -> Iterator[str]:
    """The facts, one a line, the provenance as a tree from the last stage back to the first."""
    lines = {
        "checkpoint": _checkpoint_lines, "prototypes": _prototype_lines, "folder": folder_lines,
        "unfinished run": folder_lines, "unfinished training": folder_lines,
    }  # fmt: skip
    yield ", ".join(description["paths"])
    yield from lines.get(description["kind"], _store_lines)(description)


def _checkpoint_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    stride = f", output stride {facts['output_stride']}" if facts["output_stride"] else ""
    trunk = f" on {facts['trunk']}" if "trunk" in facts else ""
    yield _line("architecture", facts["arch"] + trunk + stride)
    if "affinity" in facts:
        yield _line("affinities", f"for camkit refine walk --affinity {facts['affinity']}")
    else:
        names = ", ".join(facts["classes"]) if facts["classes"] else "names not recorded"
        yield _line("classes", f"{facts['num_classes']}: {names}")
    if "trunk" in facts:
        yield _line("segments", "photos, in camkit segment")
    if facts.get("refines_maps"):
        yield _line("maps", "refined by layers of its own, in camkit cam and infercam (--plain: not)")
    yield _line("parameters", f"{facts['parameters'] / 1e6:.1f} million")
    if facts["input_size"]:
        yield _line("input size", f"{facts['input_size']} px, longer side")
    if facts.get("crop"):
        yield _line("trained on", f"crops of {facts['crop']} px")
    if facts.get("layers"):
        yield _line("layers", ", ".join(facts["layers"]))
    if facts.get("icd"):
        yield _line("ICD", ", ".join(f"{name} {value}" for name, value in facts["icd"].items()))
    if facts.get("ignored"):
        yield _line("not needed", f"{len(facts['ignored'])} tensors, such as {', '.join(facts['ignored'][:3])}")
    yield _line("sha256", facts["sha256"])
    if facts["figures"]:
        told = {name: value for name, value in facts["figures"].items() if name not in SHARES}
        yield _line("measured", ", ".join(f"{name} {_figure(value)}" for name, value in told.items()))
        yield from _agreement_lines(facts["figures"])
    yield from _provenance_lines(facts["provenance"])


def _agreement_lines(figures: Mapping[str, Any]) -> Iterator[str]:
    """How well the saliency that a network learned from fits its labels."""
    words = agreement_words(figures)
    if words:
        yield _line("saliency", f"its agreement with the labels: {words}")
        yield _line("", f"photos by agreement, 0 to 1: |{agreement_blocks(shares_of(figures))}|")


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _store_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    shard = f", {shard_words(facts['shard'])}" if facts["shard"] else ""
    dtypes = "/".join(facts["dtypes"])
    yield _line("holds", f"{facts['kind']} of {facts['images']:,} images ({dtypes}){shard}, {_size(facts['bytes'])}")
    if facts["failures"]:
        yield _line("failed", f"{len(facts['failures']):,} images (--failures lists them)")
    if facts["classes"]:
        yield _line("classes", f"{len(facts['classes'])}: {', '.join(facts['classes'])}")
    if facts["images_per_class"]:
        yield _line("present", ", ".join(f"{name} {count:,}" for name, count in facts["images_per_class"].items()))
    if facts["sizes"]:
        sizes = (f"{width}x{height} ({name})" for name, (height, width) in facts["sizes"].items())
        yield _line("photos", ", ".join(sizes))
    yield _line("images from", facts["image_root"] or "not recorded")
    yield from _provenance_lines(facts["provenance"])


def _prototype_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    known = f"of {len(facts['classes'])} classes" if facts["classes"] else "class numbers without names"
    size = _size(facts["bytes"])
    yield _line("holds", f"prototypes for {len(facts['prototypes'])} {known}, {facts['channels']:,} channels, {size}")
    if facts["failures"]:
        yield _line("failed", f"{len(facts['failures']):,} images (--failures lists them)")
    for number, (name, sides) in enumerate(facts["prototypes"].items()):
        kept = ", ".join(f"{side} {one['kept']} of {one['centres']}" for side, one in sides.items())
        yield _line("" if number else "kept", f"{name}: {kept}{_gathered_words([*sides.values()])}")
    yield _line("images from", facts["image_root"] or "not recorded")
    yield from _provenance_lines(facts["provenance"])


def _gathered_words(sides: Sequence[Mapping[str, Any]]) -> str:
    """'; 18,304 of 18,304 features; not converged after 100 rounds'; nothing for centres made by hand."""
    if not all("seen" in one for one in sides):
        return ""
    seen, sampled = sum(one["seen"] for one in sides), sum(one["sampled"] for one in sides)
    slow = max((one["rounds"] for one in sides if not one["converged"]), default=0)
    return f"; {sampled:,} of {seen:,} features" + (f"; not converged after {slow} rounds" if slow else "")


def _provenance_lines(stage: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    if not stage.get("command"):
        return
    label = "made by" if depth == 0 else "from"
    parameters = ", ".join(
        f"{name}={parameter_words(value)}" for name, value in (stage.get("parameters") or {}).items()
    )
    yield _line(label, f"camkit {stage['command']}" + (f" ({parameters})" if parameters else ""))
    checkpoint, selection = stage.get("checkpoint"), stage.get("selection")
    if checkpoint:
        digest = str(checkpoint.get("sha256"))[:12]
        arch = f"{checkpoint['arch']}, " if checkpoint.get("arch") else ""
        yield _line("", f"checkpoint {checkpoint.get('name')}, {arch}sha256 {digest}…")
        agreement = checkpoint.get("agreement")
        yield from _agreement_lines(agreement if isinstance(agreement, dict) else {})
    if selection and "labels" in selection:
        yield _line("", f"labels: {selection['labels']}")
    versions = ", ".join(f"{name} {version}" for name, version in (stage.get("versions") or {}).items())
    if versions:
        yield _line("", f"with {versions}")
    for parent in stage.get("parents") or ():
        yield from _provenance_lines(parent, depth + 1)


def _line(label: str, text: str) -> str:
    return f"  {label:<13}{text}"


def _size(count: int) -> str:
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000  # type: ignore[assignment]
    return f"{count:.3g} GB"

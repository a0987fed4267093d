"""camkit turns image tags into segmentation masks. Every command is a function here too."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from camkit.evaluate.report import Report
    from camkit.models.checkpoint import load_classifier, save_classifier
    from camkit.pipeline.output import Output, Runtime, Summary
    from camkit.pipeline.select import Inputs
    from camkit.stages.affinity_train import affinity_train
    from camkit.stages.cam import cam
    from camkit.stages.classify import classify
    from camkit.stages.classify_train import classify_train
    from camkit.stages.crf import crf
    from camkit.stages.dcsm import DcsmSettings, dcsm
    from camkit.stages.demo import demo
    from camkit.stages.evaluate import evaluate_predictions
    from camkit.stages.export import export_store
    from camkit.stages.icd_apply import icd_apply
    from camkit.stages.icd_train import icd_train
    from camkit.stages.import_ import Foreign, import_files
    from camkit.stages.infercam import InferCamSettings, infercam
    from camkit.stages.irn_train import irn_train
    from camkit.stages.lpcam_apply import lpcam_apply
    from camkit.stages.lpcam_cluster import Clustering, lpcam_cluster
    from camkit.stages.mask import mask
    from camkit.stages.merge import merge_stores
    from camkit.stages.network import Network
    from camkit.stages.refine_superpixel import refine_superpixel
    from camkit.stages.refine_walk import refine_walk
    from camkit.stages.show import show_sheet, write_report
    from camkit.stages.superpixels import superpixels
    from camkit.stages.toy_world import toy_world
    from camkit.store.reader import Reader, open_store
    from camkit.store.schema import Header
    from camkit.store.writer import Writer
    from camkit.types import Activation, Record

# Imported when first asked for: `import camkit` costs nothing, and reading a store does not need torch.
_HOMES = {
    "Activation": "camkit.types",
    "Clustering": "camkit.stages.lpcam_cluster",
    "DcsmSettings": "camkit.stages.dcsm",
    "Foreign": "camkit.stages.import_",
    "Header": "camkit.store.schema",
    "InferCamSettings": "camkit.stages.infercam",
    "Inputs": "camkit.pipeline.select",
    "Network": "camkit.stages.network",
    "Output": "camkit.pipeline.output",
    "Reader": "camkit.store.reader",
    "Record": "camkit.types",
    "Report": "camkit.evaluate.report",
    "Runtime": "camkit.pipeline.output",
    "Summary": "camkit.pipeline.output",
    "Writer": "camkit.store.writer",
    "affinity_train": "camkit.stages.affinity_train",
    "cam": "camkit.stages.cam",
    "classify": "camkit.stages.classify",
    "classify_train": "camkit.stages.classify_train",
    "crf": "camkit.stages.crf",
    "dcsm": "camkit.stages.dcsm",
    "demo": "camkit.stages.demo",
    "evaluate_predictions": "camkit.stages.evaluate",
    "export_store": "camkit.stages.export",
    "icd_apply": "camkit.stages.icd_apply",
    "icd_train": "camkit.stages.icd_train",
    "import_files": "camkit.stages.import_",
    "infercam": "camkit.stages.infercam",
    "irn_train": "camkit.stages.irn_train",
    "load_classifier": "camkit.models.checkpoint",
    "lpcam_apply": "camkit.stages.lpcam_apply",
    "lpcam_cluster": "camkit.stages.lpcam_cluster",
    "mask": "camkit.stages.mask",
    "merge_stores": "camkit.stages.merge",
    "open_store": "camkit.store.reader",
    "refine_superpixel": "camkit.stages.refine_superpixel",
    "refine_walk": "camkit.stages.refine_walk",
    "save_classifier": "camkit.models.checkpoint",
    "show_sheet": "camkit.stages.show",
    "superpixels": "camkit.stages.superpixels",
    "toy_world": "camkit.stages.toy_world",
    "write_report": "camkit.stages.show",
}

__all__ = [
    "Activation", "Clustering", "DcsmSettings", "Foreign", "Header", "InferCamSettings", "Inputs", "Network",
    "Output", "Reader", "Record", "Report", "Runtime", "Summary", "Writer", "affinity_train", "cam", "classify",
    "classify_train", "crf", "dcsm", "demo", "evaluate_predictions", "export_store", "icd_apply", "icd_train",
    "import_files", "infercam", "irn_train", "load_classifier", "lpcam_apply", "lpcam_cluster", "mask",
    "merge_stores", "open_store", "refine_superpixel", "refine_walk", "save_classifier", "show_sheet",
    "superpixels", "toy_world", "write_report",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("camkit")
    if name not in _HOMES:
        raise AttributeError(f"module 'camkit' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

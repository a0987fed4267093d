"""The public names of camkit and their homes: the one list, for people, for type checkers and for `__init__.py`."""

from camkit.evaluate.report import Report as Report
from camkit.models.checkpoint import load_classifier as load_classifier
from camkit.models.checkpoint import save_classifier as save_classifier
from camkit.pipeline.output import Output as Output
from camkit.pipeline.output import Runtime as Runtime
from camkit.pipeline.output import Summary as Summary
from camkit.pipeline.progress import verbose as verbose
from camkit.pipeline.select import Inputs as Inputs
from camkit.settings.dcsm import DcsmSettings as DcsmSettings
from camkit.settings.infercam import InferCamSettings as InferCamSettings
from camkit.settings.lpcam import Clustering as Clustering
from camkit.settings.masks import MasksPlan as MasksPlan
from camkit.stages.affinity_train import affinity_train as affinity_train
from camkit.stages.cam import cam as cam
from camkit.stages.classify import classify as classify
from camkit.stages.classify_train import classify_train as classify_train
from camkit.stages.crf import crf as crf
from camkit.stages.dcsm import dcsm as dcsm
from camkit.stages.demo import demo as demo
from camkit.stages.evaluate import evaluate_predictions as evaluate_predictions
from camkit.stages.export import export_store as export_store
from camkit.stages.icd_apply import icd_apply as icd_apply
from camkit.stages.icd_train import icd_train as icd_train
from camkit.stages.import_ import Foreign as Foreign
from camkit.stages.import_ import import_files as import_files
from camkit.stages.in_memory import maps as maps
from camkit.stages.infercam import infercam as infercam
from camkit.stages.irn_train import irn_train as irn_train
from camkit.stages.lpcam_apply import lpcam_apply as lpcam_apply
from camkit.stages.lpcam_cluster import lpcam_cluster as lpcam_cluster
from camkit.stages.mask import mask as mask
from camkit.stages.masks import masks as masks
from camkit.stages.merge import merge_stores as merge_stores
from camkit.stages.network import Network as Network
from camkit.stages.refine_amr import refine_amr as refine_amr
from camkit.stages.refine_pixel import refine_pixel as refine_pixel
from camkit.stages.refine_superpixel import refine_superpixel as refine_superpixel
from camkit.stages.refine_walk import refine_walk as refine_walk
from camkit.stages.review import review as review
from camkit.stages.segment import segment as segment
from camkit.stages.segment_train import segment_train as segment_train
from camkit.stages.show import show_sheet as show_sheet
from camkit.stages.show import write_report as write_report
from camkit.stages.superpixels import superpixels as superpixels
from camkit.stages.toy_world import toy_world as toy_world
from camkit.store.reader import Reader as Reader
from camkit.store.reader import open_store as open_store
from camkit.store.schema import Header as Header
from camkit.store.writer import Writer as Writer
from camkit.types import Activation as Activation
from camkit.types import Record as Record

__version__: str
__all__: list[str]

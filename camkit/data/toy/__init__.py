"""The toy world: drawn scenes with exact truth, on which every command can be tried without a real data set."""

from camkit.data.toy.figures import TOY_CLASSES
from camkit.data.toy.scene import ToyScene, draw_scene
from camkit.data.toy.shapes import PARTS
from camkit.data.toy.writing import write_world

__all__ = ["PARTS", "TOY_CLASSES", "ToyScene", "draw_scene", "write_world"]

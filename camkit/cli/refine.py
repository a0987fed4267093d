"""Refine maps, probabilities or masks by what else is known of the photos.

camkit refine METHOD --help tells the options of a method.

camkit refine superpixel cams.h5 --superpixels superpixels.h5 --out refined.h5

camkit refine walk cams.h5 --affinity affinitynet --ckpt resnet38_aff.pth --out walked.h5

camkit refine pixel cams.h5 --out refined.h5

camkit refine amr masks.h5 --saliency Saliency/ --init efficientnet-lite0 --out refined.h5

camkit refine walk cams.h5 --affinity colour | camkit evaluate --gt VOC2012/
"""

METHODS = ("superpixel", "walk", "pixel", "amr")
"""Each in a file of its name: refine_walk.py."""

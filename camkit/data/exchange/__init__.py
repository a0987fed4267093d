"""The formats of other programs, each in a file of its own: read (`formats.READERS`) and written (`write_…`).

psa          a `.npy` per image, a pickled dict {class: map [H, W]}: PSA, SEAM, SC-CAM, EPS, MCTformer, WeakTr.
             Their CRF's results are {0: background, class + 1: probability}.
irn          a `.npy` per image, {"keys": classes [C], "cam": [C, h, w] at stride 4, "high_res": [C, H, W]}: IRN,
             AdvCAM, ReCAM, LPCAM, CLIMS. CLIP-ES has "attn_highres", others "cams", "msf_cam", "refined_cam".
npz          a `.npz` per image: such arrays, or an array named after each class.
png          a folder of masks: palette, grey, or in VOC's colours.
coco         a JSON file: a list of results, or instances; run lengths, compressed or not, and polygons.
deeplab      a list of `image mask` columns, as DeepLab's `train_aug.txt`.
huggingface  `metadata.jsonl` beside images and masks, as `load_dataset("imagefolder")` reads it.
"""

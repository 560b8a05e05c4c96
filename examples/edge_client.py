"""Ranks a region's tracks offline, with numpy and LiteRT (pip install numpy ai-edge-litert) and nothing else.

python edge_client.py BUNDLE track-id track-id …        (oldest play first)
"""

import hashlib
import io
import json
import sys
import zipfile

import numpy as np
from ai_edge_litert.interpreter import Interpreter

with zipfile.ZipFile(sys.argv[1]) as archive:
    files = {name: archive.read(name) for name in archive.namelist()}
manifest, tracks = json.loads(files["manifest.json"]), json.loads(files["tracks.json"])
for name, checksum in manifest["sha256"].items():
    if hashlib.sha256(files.get(name, b"")).hexdigest() != checksum:
        sys.exit(f"{sys.argv[1]}: {name} is damaged; download the bundle again")
items, scales, bias = (np.load(io.BytesIO(files[f"{name}.npy"])) for name in ("items", "scales", "bias"))
row_of = {track: row for row, track in enumerate(tracks["ids"])}
latest = [row_of[track] for track in reversed(sys.argv[2:]) if track in row_of][: manifest["history"]]
history = np.full((1, manifest["history"]), -1, np.int32)
history[0, : len(latest)] = latest
asked = {"history": history, "items": items * scales[:, None], "bias": bias}
model = Interpreter(model_content=files["model.tflite"], num_threads=1)
model.allocate_tensors()
for place in model.get_input_details():
    model.set_tensor(place["index"], asked[place["name"].removeprefix("serving_default_").partition(":")[0]])
model.invoke()
scores = model.get_tensor(model.get_output_details()[0]["index"])[0]
for row in np.argsort(-scores)[:10]:
    print(f"{scores[row]:8.3f}  {tracks['ids'][row]}  {tracks['titles'][row]}")

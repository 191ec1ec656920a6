// SPDX-License-Identifier: GPL-3.0-or-later
// What TensorFlow.js itself makes of a picture by MoveNet: for `golden.py`, which writes the picture and calls this.
//
//     npm install @tensorflow/tfjs@4.22.0
//     node movenet.mjs package/models/movenet-multipose.json picture.raw answer.json

import fs from "fs";
import * as tf from "@tensorflow/tfjs";

const [, , path, picture, answer] = process.argv;
const model = JSON.parse(fs.readFileSync(path));
const bytes = fs.readFileSync(path.replace(".json", ".bin"));
const graph = await tf.loadGraphModel({
  load: async () => ({
    modelTopology: model.modelTopology,
    weightSpecs: model.weightsManifest.flatMap((group) => group.weights),
    weightData: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length),
  }),
});
const maps = ["center_0/conv2d_4", "box_scale_0/conv2d_5", "box_offset_0/conv2d_6", "kpt_regress_0/conv2d_8"];
const names = [...maps.map((name) => `StatefulPartitionedCall/${name}/BiasAdd`), "Identity"];
const pixels = tf.tensor4d(new Uint8Array(fs.readFileSync(picture)), [1, 256, 256, 3], "int32");
const outputs = graph.execute(pixels, names);
fs.writeFileSync(answer, JSON.stringify(outputs.map((one) => ({ shape: one.shape, values: [...one.dataSync()] }))));

// Runs one file in ONNX Runtime for JavaScript: `node node.mjs PACKAGE FILE IMAGES.bin SHAPE OUT.bin ROUNDS`.
// PACKAGE is onnxruntime-node (the native library) or onnxruntime-web (WebAssembly), installed in the current folder.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const [name, file, images, shape, out, rounds] = process.argv.slice(2);
const ort = createRequire(`${process.cwd()}/`)(name);
if (name === "onnxruntime-web") {
  ort.env.wasm.numThreads = 1;
}
const options = name === "onnxruntime-web" ? { executionProviders: ["wasm"] } : { intraOpNumThreads: 1 };
const session = await ort.InferenceSession.create(readFileSync(file), options);
const [count, height, width] = shape.split("x").map(Number);
const pixels = readFileSync(images);
const size = height * width * 3;
const run = async (index) => {
  const data = new Uint8Array(pixels.subarray(index * size, (index + 1) * size));
  const { classes } = await session.run({ image: new ort.Tensor("uint8", data, [1, height, width, 3]) }, ["classes"]);
  return classes.data;
};
const ids = new Uint8Array(count * height * width);
for (let index = 0; index < count; index += 1) {
  ids.set(await run(index), index * height * width);
}
writeFileSync(out, ids);
const milliseconds = [];
for (let round = 0; round < Number(rounds); round += 1) {
  const before = process.cpuUsage();
  await run(0);
  const { user, system } = process.cpuUsage(before);
  milliseconds.push((user + system) / 1000);
}
console.log(JSON.stringify(milliseconds));

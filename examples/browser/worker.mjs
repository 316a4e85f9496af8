// Runs the network away from the page, so that the page stays responsive.
import { readClasses } from "./metadata.mjs";

let ort;
let session;

const tasks = {
  /** Load the library from a folder and a model from an address; say what the model is. */
  async load({ model, library, providers, threads }) {
    const part = providers.every((name) => name === "wasm") ? "wasm" : "all"; // the smaller one where it does
    ort = await import(`${library}ort.${part}.min.mjs`);
    ort.env.wasm.wasmPaths = library;
    ort.env.wasm.numThreads = threads;
    const answer = await fetch(model);
    if (!answer.ok) {
      throw new Error(`the model cannot be loaded: ${model}: ${answer.status} ${answer.statusText}`);
    }
    const bytes = new Uint8Array(await answer.arrayBuffer());
    const classes = readClasses(bytes);
    session = await ort.InferenceSession.create(bytes, { executionProviders: providers });
    const [, height, width] = session.inputMetadata[0].shape; // numbers where the file takes one size only
    const size = typeof height === "number" && typeof width === "number" ? [width, height] : null;
    return { classes, size, confident: session.outputNames.includes("confidence") };
  },

  /** Segment an image: { pixels: RGBA bytes, width, height } -> { ids, confidence, milliseconds }. */
  async segment({ pixels, width, height }) {
    const image = new Uint8Array(width * height * 3);
    for (let from = 0, to = 0; from < pixels.length; from += 4) {
      image[to++] = pixels[from];
      image[to++] = pixels[from + 1];
      image[to++] = pixels[from + 2];
    }
    const begin = performance.now();
    const outputs = session.outputNames.filter((name) => name !== "logits");
    const found = await session.run({ image: new ort.Tensor("uint8", image, [1, height, width, 3]) }, outputs);
    return {
      ids: found.classes.data,
      confidence: found.confidence?.data,
      milliseconds: performance.now() - begin,
    };
  },
};

self.onmessage = async ({ data: { id, task, given } }) => {
  try {
    self.postMessage({ id, found: await tasks[task](given) });
  } catch (error) {
    self.postMessage({ id, error: error.message ?? String(error) });
  }
};

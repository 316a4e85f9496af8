// The page: images and camera in, colours of classes over them, a legend that shows and hides classes.
// Set by the address: ?model=street.onnx&ort=node_modules/onnxruntime-web/dist/&size=640&providers=wasm&threads=1
const asked = new URLSearchParams(location.search);
const LONGEST = Number(asked.get("size") ?? 640); // side of what the network sees, in pixels
const at = (id) => document.getElementById(id);
const [view, status, legend] = [at("view"), at("status"), at("legend")];
const drawing = view.getContext("2d", { willReadFrequently: true });

const network = new Worker("worker.mjs", { type: "module" });
const waiting = new Map();
network.onmessage = ({ data: { id, found, error } }) => {
  const { resolve, reject } = waiting.get(id);
  waiting.delete(id);
  error === undefined ? resolve(found) : reject(new Error(error));
};
network.onerror = (event) => fail(new Error(event.message ?? "the worker cannot be loaded"));

/** Let the worker do something. */
function ask(task, given, transfer = []) {
  const id = crypto.getRandomValues(new Uint32Array(1))[0];
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    network.postMessage({ id, task, given }, transfer);
  });
}

let classes = [];
let fixed; // [width, height] of a file that takes one size only
let shown = []; // which classes are coloured
let last; // { image, ids, confidence } of what is on the screen
let camera; // the stream, while it runs

/** Show an error where the page says what it does. */
function fail(error) {
  status.textContent = error.message;
  status.className = "error";
  document.body.dataset.state = "failed";
}

/** Segment an image, a frame of a video or a bitmap, and draw it. */
async function segment(source, sourceWidth, sourceHeight) {
  const [widest, highest] = fixed ?? [LONGEST, LONGEST];
  const scale = fixed
    ? Math.min(widest / sourceWidth, highest / sourceHeight)
    : Math.min(1, LONGEST / Math.max(sourceWidth, sourceHeight));
  const width = Math.max(1, Math.round(sourceWidth * scale));
  const height = Math.max(1, Math.round(sourceHeight * scale));
  const [wide, high] = fixed ?? [width, height]; // an image that is smaller than the only size is at its top left
  const sheet = new OffscreenCanvas(wide, high).getContext("2d", { willReadFrequently: true });
  sheet.imageSmoothingQuality = "high";
  sheet.drawImage(source, 0, 0, width, height);
  const image = sheet.getImageData(0, 0, width, height);
  const { data } = sheet.getImageData(0, 0, wide, high);
  const found = await ask("segment", { pixels: data, width: wide, height: high }, [data.buffer]);
  last = { image, ids: cut(found.ids, wide, width, height), confidence: cut(found.confidence, wide, width, height) };
  draw();
  status.textContent = `${width} x ${height}: ${Math.round(found.milliseconds)} ms`;
  status.className = "";
}

/** Return the top left part of numbers of pixels, `wide` in a row. */
function cut(numbers, wide, width, height) {
  if (!numbers || (wide === width && numbers.length === width * height)) {
    return numbers;
  }
  const part = new numbers.constructor(width * height);
  for (let row = 0; row < height; row += 1) {
    part.set(numbers.subarray(row * wide, row * wide + width), row * width);
  }
  return part;
}

/** Draw what was segmented last, as the controls say. */
function draw() {
  if (!last) {
    return;
  }
  const { image, ids, confidence } = last;
  const [opacity, least] = [Number(at("opacity").value), Number(at("confidence").value) * 255];
  const drawn = new ImageData(new Uint8ClampedArray(image.data), image.width, image.height);
  const counts = new Array(classes.length).fill(0);
  for (let pixel = 0; pixel < ids.length; pixel += 1) {
    const place = 4 * pixel;
    if (confidence && confidence[pixel] < least) {
      for (let channel = 0; channel < 3; channel += 1) {
        drawn.data[place + channel] = image.data[place + channel] / 3;
      }
      continue;
    }
    counts[ids[pixel]] += 1;
    if (shown[ids[pixel]]) {
      const { colour } = classes[ids[pixel]];
      for (let channel = 0; channel < 3; channel += 1) {
        drawn.data[place + channel] += (colour[channel] - image.data[place + channel]) * opacity;
      }
    }
  }
  [view.width, view.height] = [image.width, image.height];
  drawing.putImageData(drawn, 0, 0);
  at("least").textContent = `${Math.round((least / 255) * 100)} %`;
  tell(counts.map((count) => count / ids.length));
}

/** Put the shares of the classes into the legend, the largest first. */
function tell(shares) {
  const order = [...shares.keys()].sort((a, b) => shares[b] - shares[a]);
  for (const index of order) {
    const entry = legend.querySelector(`[data-class="${index}"]`);
    entry.querySelector(".share").textContent = `${(shares[index] * 100).toFixed(1)} %`;
    entry.dataset.share = shares[index];
    entry.hidden = shares[index] === 0;
    legend.append(entry);
  }
}

/** Make an entry for each class, with a box that shows and hides it. */
function makeLegend() {
  shown = classes.map(() => true);
  legend.replaceChildren(
    ...classes.map(({ name, colour }, index) => {
      const entry = document.createElement("li");
      entry.dataset.class = index;
      entry.hidden = true;
      entry.innerHTML = '<label><input type="checkbox" checked /><span class="swatch"></span><span></span><span class="share"></span></label>';
      entry.querySelector(".swatch").style.background = `rgb(${colour.join(" ")})`;
      entry.querySelector(".swatch + span").textContent = name;
      entry.querySelector("input").onchange = ({ target }) => {
        shown[index] = target.checked;
        draw();
      };
      return entry;
    }),
  );
}

/** Open a file that was chosen or dropped. */
async function open(file) {
  stop();
  document.body.dataset.state = "busy";
  try {
    const bitmap = await createImageBitmap(file);
    await segment(bitmap, bitmap.width, bitmap.height);
    document.body.dataset.state = "done";
  } catch (error) {
    fail(error);
  }
}

/** Segment what the camera sees, one frame after the other, until it is stopped. */
async function start() {
  try {
    camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    at("camera").textContent = "Stop the camera";
    const video = Object.assign(document.createElement("video"), { srcObject: camera, muted: true, playsInline: true });
    await video.play();
    while (camera) {
      await segment(video, video.videoWidth, video.videoHeight);
      document.body.dataset.frames = Number(document.body.dataset.frames ?? 0) + 1;
      await new Promise(requestAnimationFrame);
    }
  } catch (error) {
    stop();
    fail(error);
  }
}

function stop() {
  camera?.getTracks().forEach((track) => track.stop());
  camera = undefined;
  at("camera").textContent = "Start the camera";
}

at("file").onchange = ({ target }) => target.files.length && open(target.files[0]);
at("camera").onclick = () => (camera ? stop() : start());
at("opacity").oninput = at("confidence").oninput = draw;
document.ondragover = (event) => event.preventDefault();
document.ondrop = (event) => {
  event.preventDefault();
  if (event.dataTransfer.files.length) {
    open(event.dataTransfer.files[0]);
  }
};

try {
  const found = await ask("load", {
    model: new URL(asked.get("model") ?? "street.onnx", location.href).href,
    library: new URL(asked.get("ort") ?? "node_modules/onnxruntime-web/dist/", location.href).href,
    providers: (asked.get("providers") ?? "wasm").split(","),
    // more than one thread needs a server that isolates the page (see README.md)
    threads: Number(asked.get("threads") ?? (crossOriginIsolated ? navigator.hardwareConcurrency : 1)),
  });
  ({ classes, size: fixed } = found);
  at("sure").hidden = !found.confident;
  makeLegend();
  status.textContent = `${classes.length} classes: open an image, drop one here, or start the camera`;
  document.body.dataset.state = "ready";
} catch (error) {
  fail(error);
}

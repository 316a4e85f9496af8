// What a file of bridgeseg says of itself. ONNX Runtime for the web does not hand out a file's metadata, so it is read
// from the protocol buffer: field 14 of the model, pairs of a key (1) and a value (2).
const METADATA = 14;

/** Read the metadata of an .onnx file (Uint8Array) as an object of strings. */
export function readMetadata(bytes) {
  const found = {};
  for (const { field, content } of fields(bytes)) {
    if (field === METADATA && content) {
      const pair = {};
      for (const part of fields(content)) {
        pair[part.field] = new TextDecoder().decode(part.content);
      }
      found[pair[1]] = pair[2] ?? "";
    }
  }
  return found;
}

/** Read names and colours of the classes: a list of { name, colour: [red, green, blue] }. */
export function readClasses(bytes) {
  const text = readMetadata(bytes)["bridgeseg.classes"];
  if (text === undefined) {
    throw new Error("this is no file written by `bridgeseg export`");
  }
  const { names, palette } = JSON.parse(text);
  return names.map((name, index) => ({ name, colour: palette[index] }));
}

/** Yield the fields of one message; `content` of those that have a length. */
function* fields(bytes) {
  let place = 0;
  const number = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[place++];
      value += (byte & 127) * factor; // not by shifting, which has 32 bits
      if (byte < 128) {
        return value;
      }
    }
  };
  while (place < bytes.length) {
    const tag = number();
    const [field, kind] = [Math.floor(tag / 8), tag % 8];
    if (kind === 2) {
      const length = number();
      yield { field, content: bytes.subarray(place, (place += length)) };
    } else if (kind === 0) {
      number();
    } else {
      place += kind === 1 ? 8 : 4;
    }
  }
}

// Chunks of the page, unpacked when something of them is opened; `grow` is the page's own.

const MOST_CHUNKS = 8; // unpacked ones that are kept
const unpacked = new Map();

async function unpack(chunk) {
  if (!unpacked.has(chunk)) {
    if (unpacked.size >= MOST_CHUNKS) unpacked.delete(unpacked.keys().next().value);
    unpacked.set(chunk, read(byId(`chunk-${chunk}`).textContent));
  }
  return unpacked.get(chunk);
}

async function read(packed) {
  const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return (await new Response(stream).json()).map(grow);
}

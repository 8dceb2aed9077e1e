// A scene as a part of the address, so that it can be shared: #scene=NAME or #program=TEXT, with &seed and &event.

// What is no scene, as the name of a heading, is null.
export function readAddress(hash) {
  const parts = new URLSearchParams(hash.replace(/^#/, ""));
  const number = (name, otherwise) => {
    const value = Number(parts.get(name) ?? otherwise);
    return Number.isSafeInteger(value) && value >= 0 ? value : otherwise;
  };
  if (hash.length > 1 && !["scene", "program", "seed", "event"].some((name) => parts.has(name))) return null;
  return {
    scene: parts.get("scene"),
    program: parts.get("program"),
    seed: Math.min(number("seed", 1), 0xffffffff),
    event: number("event", 0),
  };
}

export function writeAddress({ scene, program, seed, event }) {
  const parts = new URLSearchParams();
  if (scene !== null) parts.set("scene", scene);
  else parts.set("program", program);
  if (seed !== 1) parts.set("seed", seed);
  if (event > 0) parts.set("event", event);
  return `#${parts}`;
}

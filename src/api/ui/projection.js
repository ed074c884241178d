// Vectors on a plane: their first two principal components.

/** Some steps find the direction well enough to look at. */
const STEPS = 24;

/**
 * The coordinates of each vector along the two directions in which they differ most, and the share of all
 * differences that these hold. By power iteration on the centred vectors, the second direction kept at a
 * right angle to the first. `pause` is awaited in between, so that the page goes on.
 */
export async function plane(vectors, pause) {
  const [rows, width] = [vectors.length, vectors[0]?.length ?? 0];
  if (rows === 0) return { points: [], share: 1 };
  const mean = new Float64Array(width);
  for (const vector of vectors) for (let i = 0; i < width; i++) mean[i] += vector[i] / rows;
  const centred = vectors.map((vector) => Float64Array.from(vector, (value, i) => value - mean[i]));
  const total = centred.reduce((sum, vector) => sum + dot(vector, vector), 0);
  const axes = [];
  for (const start of [1, 2]) {
    let axis = unit(Float64Array.from({ length: width }, (_, i) => Math.sin(start * (i + 1))));
    for (let step = 0; step < STEPS; step++) {
      const next = new Float64Array(width);
      for (const vector of centred) add(next, vector, dot(vector, axis));
      for (const before of axes) add(next, before, -dot(next, before));
      axis = unit(next);
      await pause();
    }
    axes.push(axis);
  }
  const points = centred.map((vector) => axes.map((axis) => dot(vector, axis)));
  const held = points.reduce((sum, point) => sum + dot(point, point), 0);
  return { points, share: total > 0 ? held / total : 1 };
}

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function add(to, vector, times) {
  for (let i = 0; i < to.length; i++) to[i] += times * vector[i];
}

function unit(vector) {
  const length = Math.sqrt(dot(vector, vector));
  return length > 0 ? vector.map((value) => value / length) : vector;
}

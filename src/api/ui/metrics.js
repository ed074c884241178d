// What the server's metrics say between two looks at them.

/** The samples of an OpenMetrics text: name, labels, value. */
export function parse(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const found = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? ([^ ]+)/.exec(line);
    if (!found) continue;
    const labels = {};
    for (const [, name, value] of (found[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      labels[name] = value.replace(/\\(.)/g, (_, sign) => (sign === "n" ? "\n" : sign));
    }
    samples.push({ name: found[1], labels, value: Number(found[3]) });
  }
  return samples;
}

/** The sums of a counter, by a label. */
export function totals(samples, name, label) {
  const sums = new Map();
  for (const sample of samples.filter((sample) => sample.name === name)) {
    const group = label ? sample.labels[label] : "";
    sums.set(group, (sums.get(group) ?? 0) + sample.value);
  }
  return sums;
}

/** A histogram's buckets, whatever its labels: upper bound and how many are below it. */
export function buckets(samples, name, where = () => true) {
  const sums = new Map();
  for (const { name: found, labels, value } of samples) {
    if (found !== `${name}_bucket` || !where(labels)) continue;
    const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
    sums.set(bound, (sums.get(bound) ?? 0) + value);
  }
  return [...sums].sort(([a], [b]) => a - b);
}

/** What was added to each sum, never less than nothing: a server that starts again counts from 0. */
export function since(earlier, later) {
  const before = new Map(earlier);
  return [...later].map(([group, sum]) => {
    const then = before.get(group) ?? 0;
    return [group, sum < then ? sum : sum - then];
  });
}

/** The value below which a share of a histogram lies, evenly spread within a bucket. */
export function quantile(histogram, share) {
  const total = histogram.at(-1)?.[1] ?? 0;
  if (total === 0) return NaN;
  const rank = share * total;
  let [bound, below] = [0, 0];
  for (const [upper, sum] of histogram) {
    if (sum >= rank && sum > below) {
      return upper === Infinity ? bound : bound + ((upper - bound) * (rank - below)) / (sum - below);
    }
    [bound, below] = [upper, sum];
  }
  return bound;
}

// Draws a chart of a dashboard with the real Chart.js, on a canvas that only counts what is drawn.
import assert from "node:assert/strict";

// The console's own copy, where there is one.
const library = (await import(process.env.CHART_JS || "chart.js/auto")) as Record<string, unknown>;
const Chart = (library.Chart ?? library.default) as new (canvas: unknown, config: unknown) => Drawn;

interface Drawn {
  getDatasetMeta(index: number): { data: { x: number; y: number; hidden?: boolean }[] };
  data: { datasets: unknown[] };
  destroy(): void;
}

export interface ChartObject {
  type: string;
  title: string;
  data: { labels: unknown[]; datasets: { [key: string]: unknown }[] };
}

const INK = new Set(["fill", "stroke", "fillRect", "strokeRect", "fillText"]);

/** A 2D context that takes every call and counts what leaves ink. */
function canvas(): { element: unknown; strokes: () => number } {
  let strokes = 0;
  const state: Record<string, unknown> = {};
  const context: unknown = new Proxy(state, {
    get(target, name: string) {
      if (name === "canvas") return element;
      if (name in target) return target[name];
      if (name === "measureText") return (text: string) => ({ width: 6 * text.length });
      if (name === "createLinearGradient") return () => ({ addColorStop() {} });
      return () => {
        if (INK.has(name)) strokes += 1;
      };
    },
    set(target, name: string, value) {
      target[name] = value;
      return true;
    },
  });
  const element = { width: 800, height: 400, style: {}, getContext: () => context };
  return { element, strokes: () => strokes };
}

/** Draws it as it came; says how many points there are. Throws where Chart.js refuses it, or draws nothing. */
export function draw({ type, title, data }: ChartObject): number {
  const { element, strokes } = canvas();
  const options = { animation: false, responsive: false, plugins: { title: { display: true, text: title } } };
  const chart = new Chart(element, { type, data: structuredClone(data), options });
  try {
    assert(data.datasets.length > 0, `${title} has no dataset`);
    const points = chart.data.datasets.flatMap((_, place) => chart.getDatasetMeta(place).data);
    const drawn = points.filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y));
    assert.equal(drawn.length, points.length, `${title}: a point has no place`);
    assert.equal(points.length, data.labels.length * data.datasets.length, `${title}: labels and points differ`);
    assert(strokes() > 0, `${title}: nothing is drawn`);
    return points.length;
  } finally {
    chart.destroy();
  }
}

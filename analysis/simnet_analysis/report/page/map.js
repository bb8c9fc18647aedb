"use strict";

// The network of one run as far as it carried anything: colour says how full links were.

const ROLES = {
  switch: { symbol: "square", color: "#ffffff", edge: "#444444", says: "switch" },
  host: { symbol: "circle", color: "#d9dee3", edge: "#444444", says: "host without a worker" },
  worker: { symbol: "circle", color: "#0072B2", edge: "#ffffff", says: "worker" },
  server: { symbol: "triangle-up", color: "#E69F00", edge: "#444444", says: "server" },
};
// From light to dark, so that it reads in grey; blue to yellow, so that all eyes can tell it apart.
const USE = [[0, "#ffe945"], [0.25, "#c3b369"], [0.5, "#7d7c78"], [0.75, "#3f4d6b"], [1, "#00224e"]];
const STEPS = 12;

function drawMap(run) {
  const [plot, note] = [byId("map-plot"), byId("map-note")];
  const data = run.map;
  if (!data || data.why) {
    clear(plot, note, data ? data.why : notDrawn("map"));
    return;
  }
  const most = Math.max(...data.links.map((link) => link.use), 1e-9);
  const traces = [...linkTraces(data.links, most), middles(data.links, most)];
  const count = Object.values(data.nodes).reduce((sum, own) => sum + own.name.length, 0);
  for (const [role, own] of Object.entries(data.nodes)) traces.push(nodeTrace(role, own, count));
  const bad = data.links.filter((link) => link.bottleneck).length;
  note.textContent = [
    bad && `Dashed: ${bad === 1 ? "the bottleneck" : `the ${bad} bottlenecks`}, which held messages up the longest.`,
    "Colour: the fuller direction's share of what the link could have carried in the whole run. Point at the middle of a link for more.",
    data.left_out && `${data.left_out} more links carried less and are not shown.`,
  ].filter(Boolean).join(" ");
  const blank = { visible: false, fixedrange: false };
  return show(plot, traces, {
    margin: { l: 8, r: 8, t: 30, b: 8 },
    showlegend: true,
    legend: { orientation: "h", x: 0, y: 1.0, yanchor: "bottom", font: { size: 12 }, itemclick: false, itemdoubleclick: false },
    hovermode: "closest",
    xaxis: blank,
    yaxis: { ...blank, scaleanchor: "x" },
  });
}

// Links of about one use are one line with gaps: plotly draws thousands of them in no time.
function linkTraces(links, most) {
  const lines = new Map();
  for (const link of links) {
    const step = Math.min(STEPS - 1, Math.floor((STEPS * link.use) / most));
    const key = `${step} ${link.bottleneck}`;
    if (!lines.has(key)) lines.set(key, { step, bottleneck: link.bottleneck, x: [], y: [] });
    const [x0, y0, x1, y1] = link.ends;
    lines.get(key).x.push(x0, x1, null);
    lines.get(key).y.push(y0, y1, null);
  }
  const thin = links.length > 200;
  return [...lines.values()].sort((a, b) => a.step - b.step).map((line) => ({
    x: line.x, y: line.y, mode: "lines", hoverinfo: "skip", showlegend: false,
    line: {
      color: between((line.step + 0.5) / STEPS),
      width: (line.bottleneck ? 4 : 2.5) * (thin ? 0.5 : 1),
      dash: line.bottleneck ? "9px,4px" : "solid",
    },
  }));
}

function middles(links, most) {
  return {
    x: links.map(({ ends }) => (ends[0] + ends[2]) / 2), y: links.map(({ ends }) => (ends[1] + ends[3]) / 2),
    mode: "markers", text: links.map((link) => link.text), hovertemplate: "%{text}<extra></extra>", showlegend: false,
    marker: {
      size: links.length > 200 ? 4 : 7, color: links.map((link) => 100 * link.use), colorscale: USE, cmin: 0, cmax: 100 * most,
      colorbar: { title: { text: "use (%)", side: "right" }, thickness: 12, len: 0.8, outlinewidth: 0 },
    },
  };
}

function nodeTrace(role, own, count) {
  const look = ROLES[role];
  const named = count <= 40;
  return {
    x: own.x, y: own.y, name: look.says, mode: named ? "markers+text" : "markers",
    text: own.name, textposition: "top center", textfont: { size: 11 }, cliponaxis: false,
    hovertemplate: `%{text}: ${look.says}<extra></extra>`,
    marker: {
      symbol: look.symbol, color: look.color, size: Math.max(6, Math.min(15, 240 / Math.sqrt(count) / 4)),
      line: { color: look.edge, width: 1.2 },
    },
  };
}

// A colour of the scale: `share` from 0 to 1.
function between(share) {
  const above = USE.findIndex(([at]) => at >= share);
  if (above <= 0) return USE[0][1];
  const [[low, from], [high, to]] = [USE[above - 1], USE[above]];
  const part = (share - low) / (high - low);
  const mixed = [1, 3, 5].map((at) => {
    const [a, b] = [from, to].map((color) => parseInt(color.slice(at, at + 2), 16));
    return Math.round(a + part * (b - a));
  });
  return `rgb(${mixed.join(",")})`;
}

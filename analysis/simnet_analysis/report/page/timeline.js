"use strict";

// What each node of one run did: a row of bars per node.

const SENDS = { color: "#D55E00", edge: "#D55E00", hatch: "", height: 0.12 };
const PATTERNS = { "////": "/", "\\\\\\\\": "\\" };

function drawTimeline(run) {
  const [plot, note] = [byId("timeline-plot"), byId("timeline-note")];
  const data = run.timeline;
  const views = data && data.views ? data.views : [];
  byId("view-label").hidden = views.length < 2;
  if (!views.length) {
    clear(plot, note, data ? data.why : notDrawn("timeline"));
    return;
  }
  fill(byId("view"), views.map((one, at) => [at, one.title]));
  const view = views[Number(byId("view").value) || 0];
  const rows = data.nodes.length;
  plot.style.height = `${Math.min(110 + 24 * Math.max(rows, 3), 1100)}px`;
  const names = { ...report.bars, sends: SENDS };
  // Waits lie below work: what is computed meanwhile stays to be seen.
  const order = Object.keys(names).filter((what) => view.kinds[what]).reverse();
  const traces = order.map((what) => barTrace(what, names[what], view.kinds[what], data.nodes, view.unit));
  note.textContent = [
    views.length > 1 && "This run has too many bars for one view: choose its beginning, with every bar, or the whole.",
    view.pause && `Bars of one kind with a pause of at most ${view.pause} between them are drawn as one, which covers the pause.`,
    data.left_out && `${data.left_out} more nodes are not shown.`,
    view.kinds.sends && "The thin line below a node's bars says when it sends.",
  ].filter(Boolean).join(" ");
  return show(plot, traces, {
    barmode: "overlay",
    bargap: 0.1,
    showlegend: true,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", traceorder: "reversed", font: { size: 12 } },
    margin: { l: 40, r: 12, t: 40, b: 44 },
    xaxis: { ...GRID, title: { text: `virtual time (${view.unit})` }, rangemode: "tozero" },
    yaxis: {
      ...GRID, showgrid: false, fixedrange: true, range: [rows - 0.3, -0.7],
      tickmode: "array", tickvals: data.nodes.map((_, at) => at), ticktext: data.nodes,
    },
  });
}

function barTrace(what, look, own, nodes, unit) {
  return {
    type: "bar", orientation: "h", name: what,
    y: what === "sends" ? own.row.map((at) => at + 0.5) : own.row,
    base: own.start, x: own.length, width: look.height,
    marker: {
      color: look.color,
      line: { color: look.edge, width: look.edge === "white" || own.row.length > 600 ? 0 : 0.4 },
      pattern: PATTERNS[look.hatch] ? { shape: PATTERNS[look.hatch], fgcolor: look.edge, size: 5, solidity: 0.25 } : undefined,
    },
    customdata: own.row.map((at, i) => [nodes[at], own.start[i], own.start[i] + own.length[i]]),
    hovertemplate: `%{customdata[0]}: ${what}<br>%{customdata[1]:.5g} to %{customdata[2]:.5g} ${unit}<extra></extra>`,
  };
}

function notDrawn(what) {
  return `This page holds the ${what} of the first seed of each method, and of more runs while there is room; ` +
    `not of this one. "simnet report" of this run alone has it.`;
}

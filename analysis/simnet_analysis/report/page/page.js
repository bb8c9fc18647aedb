"use strict";

// What all parts of the page share: the data, small helpers, and how plots look.

const report = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

const PLAIN = {
  font: { family: 'system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif', size: 13, color: "#1d2329" },
  paper_bgcolor: "rgba(0,0,0,0)",
  plot_bgcolor: "rgba(0,0,0,0)",
  showlegend: false,
  hoverlabel: { align: "left" },
  modebar: { bgcolor: "rgba(0,0,0,0)", color: "#9aa5af", activecolor: "#0072b2" },
};
const GRID = { gridcolor: "#e4e7ea", linecolor: "#5a6570", zeroline: false, automargin: true, fixedrange: false };
const CONFIG = {
  responsive: true,
  displaylogo: false,
  showTips: false,
  // Plotly offers to send a chart to its maker's cloud: not from this page.
  modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"],
  plotlyServerURL: "",
  toImageButtonOptions: { format: "svg" },
};

function narrow() {
  return window.matchMedia("(max-width: 40rem)").matches;
}

// Options of a select element: pairs of value and text. Keeps what was chosen where it is still there.
function fill(select, options, chosen) {
  const before = chosen === undefined ? select.value : String(chosen);
  select.replaceChildren(
    ...options.map(([value, text]) => {
      const option = document.createElement("option");
      option.value = value;
      option.textContent = text;
      return option;
    }),
  );
  if (options.some(([value]) => String(value) === before)) select.value = before;
}

function clear(plot, note, text) {
  Plotly.purge(plot);
  plot.replaceChildren();
  plot.hidden = true;
  note.textContent = text;
}

function show(plot, traces, layout) {
  plot.hidden = false;
  return Plotly.react(plot, traces, { ...PLAIN, ...layout }, { ...CONFIG, displayModeBar: narrow() ? false : "hover" });
}

// "#0072B2" with an opacity.
function faint(color, opacity) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  return `rgba(${red},${green},${blue},${opacity})`;
}

"use strict";

// Curves of one condition: a metric over an axis, a colour, line and marker per method as in the figures.

const AXIS_NAMES = { time: "virtual time", steps: "steps", bytes: "bytes sent", dollars: "dollars", kwh: "kWh" };
const hiddenMethods = new Set();

function currentCondition() {
  return report.conditions[Number(byId("condition").value) || 0];
}

function setUpCurves() {
  const titles = report.conditions.map((one, at) => [at, one.title]);
  fill(byId("condition"), titles, 0);
  document.querySelector("label.condition").hidden = titles.length < 2;
  byId("condition").addEventListener("change", () => { chooseMetrics(); drawCurves(); });
  byId("metric").addEventListener("change", () => { chooseAxes(); drawCurves(); });
  byId("axis").addEventListener("change", () => { presetLogX(); drawCurves(); });
  for (const id of ["log-x", "log-y"]) byId(id).addEventListener("change", drawCurves);
  chooseMetrics();
  drawCurves();
}

function chooseMetrics() {
  fill(byId("metric"), Object.entries(currentCondition().metrics).map(([name, one]) => [name, one.label]));
  chooseAxes();
}

function chooseAxes() {
  const metric = currentCondition().metrics[byId("metric").value];
  const axes = metric ? Object.keys(metric.lines) : [];
  fill(byId("axis"), axes.map((name) => [name, AXIS_NAMES[name]]));
  byId("log-y").checked = Boolean(metric && metric.log);
  presetLogX();
}

function presetLogX() {
  const axis = currentCondition().axes[byId("axis").value];
  byId("log-x").checked = Boolean(axis && axis.log);
}

function drawCurves() {
  const condition = currentCondition();
  const [name, axis] = [byId("metric").value, byId("axis").value];
  const metric = condition.metrics[name];
  const plot = byId("curve-plot");
  byId("band").textContent = [condition.title, condition.band].filter(Boolean).join(" · ");
  if (!metric || !metric.lines[axis]) {
    byId("legend").replaceChildren();
    document.querySelector("#curves .controls").hidden = true;
    clear(plot, byId("curve-note"), "These runs measured nothing over time: there are no curves.");
    return;
  }
  const lines = metric.lines[axis];
  const methods = condition.groups.filter((method) => lines[method]);
  const [logX, logY] = [byId("log-x").checked, byId("log-y").checked];
  const traces = methods.filter((method) => !hiddenMethods.has(method))
    .flatMap((method) => curveTraces(method, lines[method], metric, logX));
  const layout = {
    margin: { l: 56, r: 12, t: 12, b: 48 },
    hovermode: "closest",
    xaxis: { ...GRID, title: { text: condition.axes[axis].label }, type: logX ? "log" : "linear", rangemode: logX ? "normal" : "tozero" },
    yaxis: { ...GRID, title: { text: metric.label }, type: logY ? "log" : "linear", ...limits(metric, logY) },
    shapes: target(condition, name),
  };
  if (logX) Object.assign(layout.xaxis, logTicks(methods.flatMap((method) => lines[method].x)));
  if (logY) Object.assign(layout.yaxis, logTicks(methods.flatMap((method) => lines[method].y)));
  drawLegend(methods, lines);
  byId("curve-note").textContent = notes(condition, name, methods, lines);
  return show(plot, traces, layout);
}

// Powers of ten; over fewer than two of them also 2 and 5.
function logTicks(values) {
  const positive = values.filter((value) => value > 0);
  const [least, most] = [Math.min(...positive), Math.max(...positive)];
  return { dtick: most < 100 * least ? "D2" : 1, exponentformat: least > 1e-4 && most < 1e6 ? "none" : "power" };
}

function curveTraces(method, line, metric, logX) {
  const style = report.styles[method];
  const scale = metric.percent ? 100 : 1;
  const keep = line.x.map((x) => !logX || x > 0);
  const of = (values) => values.filter((_, at) => keep[at]).map((value) => value * scale);
  const x = line.x.filter((_, at) => keep[at]);
  const marked = markedAt(x, logX);
  const traces = [];
  if (line.low) {
    const [low, high] = [of(line.low), of(line.high)];
    traces.push({
      x: [...x, ...[...x].reverse()], y: [...high, ...low.reverse()],
      fill: "toself", fillcolor: faint(style.color, 0.18), line: { width: 0 }, mode: "lines", hoverinfo: "skip",
    });
  }
  traces.push({
    x, y: of(line.y), name: method, mode: "lines+markers",
    line: { color: style.color, dash: style.dash, width: 2 },
    marker: { color: style.color, symbol: style.symbol, size: x.map((_, at) => (marked.has(at) ? 8 : 0)), line: { width: 0 } },
    hovertemplate: `%{y:.4g} at %{x:.4g}<extra>${escaped(method)}</extra>`,
  });
  if (line.diverged && x.length) {
    traces.push({
      x: x.slice(-1), y: of(line.y).slice(-1), mode: "markers", hoverinfo: "skip", cliponaxis: false,
      marker: { color: style.color, symbol: "x-thin", size: 11, line: { color: style.color, width: 3 } },
    });
  }
  return traces;
}

// About six markers, evenly as the eye sees it.
function markedAt(x, logX) {
  if (x.length <= 6) return new Set(x.keys());
  const place = (value) => (logX ? Math.log(value) : value);
  const [first, last] = [place(x[0]), place(x[x.length - 1])];
  const found = new Set();
  for (let part = 0; part < 6; part += 1) {
    const wanted = first + ((last - first) * (part + 0.5)) / 6;
    found.add(x.findIndex((value) => place(value) >= wanted));
  }
  return found;
}

function limits(metric, logY) {
  if (!metric.limits) return {};
  const [low, high] = metric.limits;
  if (!logY) return { range: [low, high] };
  return low > 0 ? { range: [Math.log10(low), Math.log10(high)] } : {};
}

function target(condition, name) {
  if (!condition.target || condition.target.metric !== name) return [];
  const metric = condition.metrics[name];
  const y = condition.target.value * (metric.percent ? 100 : 1);
  return [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y, line: { color: "#666", width: 1, dash: "4px,3px" },
    label: { text: `target ${Number(y.toPrecision(4))}`, textposition: "start", yanchor: metric.percent ? "top" : "bottom", font: { size: 11, color: "#555" } } }];
}

function notes(condition, name, methods, lines) {
  const said = [];
  const absent = condition.groups.filter((method) => !methods.includes(method));
  if (absent.length) said.push(`Not recorded for: ${absent.join(", ")}.`);
  const diverged = methods.filter((method) => lines[method].diverged);
  if (diverged.length) said.push(`A cross ends what diverged: ${diverged.map((method) => `${method} (${lines[method].diverged})`).join(", ")}.`);
  if (condition.metrics[name].limits) said.push("Values far beyond the first are above the plot: zoom out to see them.");
  return said.join(" ");
}

// Buttons that show and hide methods: unlike plotly's legend they wrap on a phone and can be reached by keyboard.
function drawLegend(methods, lines) {
  byId("legend").replaceChildren(
    ...methods.map((method) => {
      const style = report.styles[method];
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", String(!hiddenMethods.has(method)));
      button.innerHTML = sample(style);
      button.append(method + (lines[method].diverged ? ` (${lines[method].diverged})` : ""));
      button.addEventListener("click", () => {
        if (!hiddenMethods.delete(method)) hiddenMethods.add(method);
        drawCurves();
      });
      return button;
    }),
  );
}

function sample(style) {
  const dash = style.dash === "solid" ? "" : ` stroke-dasharray="${style.dash.replaceAll("px", "")}"`;
  return `<svg width="30" height="10" aria-hidden="true"><line x1="0" y1="5" x2="30" y2="5" stroke="${style.color}" stroke-width="2.5"${dash}/></svg>`;
}

function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

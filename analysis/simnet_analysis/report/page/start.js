"use strict";

// The choice of a run, printing, and the start.

function setUpRuns() {
  const choice = byId("run-choice");
  fill(choice, report.runs.map((run, at) => [at, run.name]), bestRun());
  choice.addEventListener("change", showRun);
  byId("view").addEventListener("change", () => drawTimeline(report.runs[Number(choice.value)]));
  document.querySelectorAll("a[data-run]").forEach((link) =>
    link.addEventListener("click", () => {
      choice.value = link.dataset.run;
      showRun();
    }),
  );
  showRun();
}

// The run of the first condition's best method under its lowest seed.
function bestRun() {
  const best = report.conditions[0].groups[0];
  const own = report.runs.flatMap((run, at) => (run.condition === 0 && run.group === best ? [at] : []));
  return own.reduce((a, b) => (report.runs[b].seed < report.runs[a].seed ? b : a));
}

function showRun() {
  const run = report.runs[Number(byId("run-choice").value)];
  const { title } = report.conditions[run.condition];
  byId("run-name").textContent = [run.name, run.group, title, `seed ${run.seed}`].filter(Boolean).join(" · ");
  drawTimeline(run);
  drawMap(run);
  byId("run-facts").replaceChildren(
    ...run.facts.map(([what, said]) => {
      const row = document.createElement("div");
      for (const [tag, text] of [["dt", what], ["dd", said]]) {
        const cell = document.createElement(tag);
        cell.textContent = text;
        row.append(cell);
      }
      return row;
    }),
  );
  byId("run-yaml").textContent = run.yaml;
}

// Plots are as wide as the screen; paper is not.
function fitPlots(width) {
  for (const plot of document.querySelectorAll(".plot")) {
    if (!plot.hidden && plot.data) {
      Plotly.relayout(plot, width ? { width, autosize: false } : { width: null, autosize: true });
    }
  }
}
window.addEventListener("beforeprint", () => fitPlots(680));
window.addEventListener("afterprint", () => fitPlots(null));

setUpCurves();
setUpRuns();
document.documentElement.dataset.ready = "yes";

// Draws the lineage graph of an asset's page. The page lists the same edges
// as text, for whoever does not see this.
"use strict";

const box = document.querySelector("[data-graph]");
if (box && window.cytoscape) draw(box);

async function draw(box) {
  const answer = await fetch(box.dataset.lineage, { headers: { Accept: "application/json" } });
  if (!answer.ok) return;
  const graph = await answer.json();
  if (graph.nodes.length < 2) return;
  box.hidden = false;
  const list = document.querySelector("[data-graph-list]");
  if (list) list.open = false;

  const narrow = box.clientWidth < 640;
  const cy = cytoscape({
    container: box,
    elements: elements(graph),
    style: looks(),
    layout: { name: "dagre", rankDir: narrow ? "TB" : "LR", nodeSep: 26, rankSep: narrow ? 46 : 78, padding: 18 },
    minZoom: 0.2,
    maxZoom: 1.6,
    userZoomingEnabled: false,
    autoungrabify: true,
    boxSelectionEnabled: false,
  });
  const settle = () => {
    const size = cy.elements().boundingBox();
    const zoom = Math.min(1.1, (box.clientWidth - 36) / size.w);
    box.style.height = Math.max(130, Math.min(size.h * zoom + 40, innerHeight * 0.75)) + "px";
    cy.resize();
    cy.fit(undefined, 18);
    if (cy.zoom() > 1.1) { cy.zoom(1.1); cy.center(); }
  };
  settle();
  cy.on("tap", "node", (e) => { location.href = "/assets/" + e.target.id(); });
  cy.on("mouseover", "node", () => { box.classList.add("pointing"); });
  cy.on("mouseout", "node", () => { box.classList.remove("pointing"); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => cy.style(looks()));
  addEventListener("resize", settle);
}

function elements(graph) {
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = "bold 12px " + getComputedStyle(document.documentElement).getPropertyValue("--sans");
  const width = (text) => Math.max(...text.split("\n").map((line) => pen.measureText(line).width));
  const nodes = graph.nodes.map((n) => {
    const text = label(n);
    return { data: { id: n.id, kind: n.kind, label: text, width: width(text) }, classes: n.id === graph.root ? "root" : "" };
  });
  const edges = graph.edges.map((e, i) => ({
    data: { id: "edge" + i, source: e.from, target: e.to, label: e.type.replace("_", " ") },
    classes: e.until ? "ended" : "",
  }));
  return nodes.concat(edges);
}

function label(n) {
  const name = n.version ? n.name + " / " + n.version : n.name;
  const short = name.length > 28 ? name.slice(0, 13) + "…" + name.slice(-13) : name;
  const note = n.status || n.stage || "";
  return n.kind + (note ? " · " + note : "") + "\n" + short + (n.more ? " …" : "");
}

function looks() {
  const css = getComputedStyle(document.documentElement);
  const v = (name) => css.getPropertyValue(name).trim();
  const rules = [
    { selector: "node", style: {
      shape: "round-rectangle", label: "data(label)", "text-wrap": "wrap", "text-valign": "center", "text-halign": "center",
      width: "data(width)", height: 32, padding: "9px", "font-size": 12, "line-height": 1.3,
      "font-family": v("--sans"), color: v("--text"), "background-color": v("--panel"), "border-width": 1.5, "border-color": v("--line") } },
    { selector: "node.root", style: { "border-width": 4, "font-weight": "bold" } },
    { selector: "edge", style: {
      width: 1.5, "line-color": v("--faint"), "target-arrow-color": v("--faint"), "target-arrow-shape": "triangle", "curve-style": "bezier",
      label: "data(label)", "font-size": 10, "font-family": v("--sans"), color: v("--quiet"),
      "text-background-color": v("--panel"), "text-background-opacity": 1, "text-background-padding": "2px" } },
    { selector: "edge.ended", style: { "line-style": "dashed", opacity: 0.65 } },
  ];
  for (const kind of ["data", "job", "model", "deployment", "endpoint", "monitor"]) {
    rules.push({ selector: `node[kind = "${kind}"]`, style: { "border-color": v("--k-" + kind) } });
  }
  return rules;
}

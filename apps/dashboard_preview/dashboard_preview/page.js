"use strict";
// Draws each chart in the colours of the page, and again when the reader's system turns dark or light.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");

  const themed = (layout) => {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = (own) => ({
      gridcolor: colour("--grid"), zerolinecolor: colour("--edge"), linecolor: colour("--edge"), ...own,
    });
    return {
      ...layout,
      colorway: colour("--series").split(",").map((text) => text.trim()),
      paper_bgcolor: "transparent",
      plot_bgcolor: "transparent",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("--quiet") },
      hoverlabel: { bgcolor: colour("--card"), bordercolor: colour("--edge"), font: { color: colour("--text") } },
      xaxis: axis(layout.xaxis),
      yaxis: axis(layout.yaxis),
    };
  };

  const draw = async (place) => {
    const figure = JSON.parse(place.nextElementSibling.textContent);
    await Plotly.react(place, figure.data, themed(figure.layout), { displayModeBar: false });
    place.dataset.drawn = "yes";
  };

  const drawAll = () => document.querySelectorAll(".plot").forEach(draw);
  const sizes = new ResizeObserver((changes) => changes.forEach(({ target }) => target.dataset.drawn && Plotly.Plots.resize(target)));
  document.querySelectorAll(".plot").forEach((place) => sizes.observe(place));
  drawAll();
  dark.addEventListener("change", drawAll);
})();

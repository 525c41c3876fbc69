// What the page can do with a script. Without it, all tables and figures are shown unchanged.
"use strict";
(() => {
  const make = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };

  // Tables: the button in a column's heading sorts the rows ascending, descending, and back to the page's order.
  const key = cell => {
    const number = cell?.querySelector("data");
    if (number) return number.value === "" ? null : Number(number.value);
    return cell?.textContent.trim() || null;
  };
  const compare = (a, b, sign) => {
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a === "number" && typeof b === "number") return sign * (a - b);
    return sign * String(a).localeCompare(String(b), "en", {numeric: true});
  };
  for (const table of document.querySelectorAll("table")) {
    const bodies = [...table.tBodies].map(body => [body, [...body.rows]]);
    if (bodies.every(([, rows]) => rows.length < 2)) continue;
    const columns = [...table.tHead.rows[0].cells];
    for (const cell of columns) {
      const button = make("button", {type: "button"}, ...cell.childNodes);
      cell.append(button);
      button.addEventListener("click", () => {
        const before = cell.getAttribute("aria-sort");
        const now = before === null ? "ascending" : before === "ascending" ? "descending" : null;
        for (const other of columns) other.removeAttribute("aria-sort");
        if (now) cell.setAttribute("aria-sort", now);
        for (const [body, rows] of bodies) {
          const keyed = rows.map(row => [key(row.cells[cell.cellIndex]), row]);
          if (now) keyed.sort(([a], [b]) => compare(a, b, now === "ascending" ? 1 : -1));
          body.append(...keyed.map(([, row]) => row));
        }
      });
    }
  }

  // Numbers: all numbers of a table are one stop of the Tab key; the arrow keys move between them.
  const numbers = table => [...table.querySelectorAll("tbody a.n")];
  for (const table of document.querySelectorAll("table")) {
    for (const link of numbers(table).slice(1)) link.tabIndex = -1;
    table.addEventListener("keydown", event => {
      const from = event.target.closest("tbody a.n");
      if (!from) return;
      const links = numbers(table), cell = from.closest("td, th"), column = cell.cellIndex;
      const rows = [...table.rows], below = {ArrowUp: -1, ArrowDown: 1}[event.key];
      const beside = {ArrowLeft: -1, ArrowRight: 1}[event.key];
      let to = beside && links[links.indexOf(from) + beside];
      for (let y = rows.indexOf(cell.parentElement) + below; below && !to && rows[y]; y += below)
        to = rows[y].cells[column]?.querySelector("tbody a.n");
      if (!beside && !below) return;
      event.preventDefault();
      if (!to) return;
      from.tabIndex = -1;
      to.tabIndex = 0;
      to.focus();
    });
  }
  // The target of a number's link shows the number's examples and method, and a link back.
  for (const link of document.querySelectorAll("a.n")) {
    link.addEventListener("click", () => {
      for (const old of document.querySelectorAll(".asked")) old.remove();
      document.getElementById("asked")?.removeAttribute("id");
      link.id = "asked";
      const place = document.getElementById(link.hash.slice(1)), number = link.querySelector("data");
      const back = make("a", {href: "#asked"}, "back to it");
      back.addEventListener("click", event => {
        event.preventDefault();
        link.scrollIntoView({block: "center"});
        link.focus();
      });
      const told = make("p", {class: "asked"}, `${number.textContent}: ${number.title} (`, back, ")");
      (place.closest("li, th, td") ?? place).append(told);
    });
  }

  // Figures: a button for each series, and values at the pointer or at the place chosen by the arrow keys.
  const color = place => `var(--series-${place % 6 + 1})`;
  const space = "http://www.w3.org/2000/svg";
  for (const figure of document.querySelectorAll("figure[data-live]")) {
    const {series, panels, cut, narrow} = JSON.parse(figure.dataset.live), shown = series.map(() => true);
    // One for wide and one for narrow windows; the style sheet shows one of them.
    const drawings = [...figure.querySelectorAll("svg")].map(svg => {
      const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
      return {svg, width, height, ...(svg.classList.contains("narrow") ? narrow : {panels, cut})};
    });
    let read = () => {};
    if (series.length > 1) {
      const switches = make("div", {class: "switches live", role: "group", "aria-label": "Series shown"});
      series.forEach((name, number) => {
        const swatch = make("span", {class: "swatch", "aria-hidden": "true"});
        swatch.style.color = color(number);
        const button = make("button", {type: "button", "aria-pressed": "true"}, swatch, name);
        button.addEventListener("click", () => {
          shown[number] = !shown[number];
          button.setAttribute("aria-pressed", shown[number]);
          for (const mark of figure.querySelectorAll(`[data-series="${number}"]`))
            mark.classList.toggle("off", !shown[number]);
          read();
        });
        switches.append(button);
      });
      figure.prepend(switches);
      // The buttons are the legend now: the drawn one is cut off, so that nothing stands twice.
      for (const {svg, width, height, cut} of drawings) {
        const names = svg.querySelector("[data-names]");
        if (!names) continue;
        svg.setAttribute("viewBox", `0 ${height * cut} ${width} ${height * (1 - cut)}`);
        names.remove();
      }
    }
    if (!panels.length) continue;

    const output = make("output", {class: "reading live", "aria-live": "polite"});
    const hint = "Point at a curve to read it off, or move along it with the arrow keys.";
    output.textContent = hint;
    figure.querySelector(".scroll").after(output);
    for (const drawing of drawings) {
      drawing.cursor = drawing.svg.appendChild(document.createElementNS(space, "g"));
      drawing.cursor.setAttribute("class", "cursor");
    }
    const draw = (cursor, name, attributes) => {
      const element = cursor.appendChild(document.createElementNS(space, name));
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    };
    const across = ({width}, {box, xlim}, x) => width * (box[0] + (box[2] - box[0]) * (x - xlim[0]) / (xlim[1] - xlim[0]));
    const up = ({height}, {box, ylim}, y) => height * (box[3] - (box[3] - box[1]) * (y - ylim[0]) / (ylim[1] - ylim[0]));
    const nearest = (values, x) =>
      values.reduce((best, value, place) => Math.abs(value - x) < Math.abs(values[best] - x) ? place : best, 0);
    let at = null;
    read = () => {
      for (const {cursor} of drawings) cursor.replaceChildren();
      output.replaceChildren();
      const panel = at && panels[at.panel];
      const lines = panel ? panel.lines.filter(line => shown[line.series] ?? true) : [];
      if (!lines.length) { output.textContent = hint; return; }
      const x = lines.map(line => line.x[nearest(line.x, at.x)])
        .reduce((best, value) => Math.abs(value - at.x) < Math.abs(best - at.x) ? value : best);
      const write = value => value.toFixed(panel.digits).replace("-", "\u2212");
      for (const drawing of drawings) {
        const place = drawing.panels[at.panel], {box} = place, middle = across(drawing, place, x);
        draw(drawing.cursor, "line", {x1: middle, x2: middle, y1: drawing.height * box[1], y2: drawing.height * box[3]});
        for (const line of lines) {
          const point = nearest(line.x, x);
          draw(drawing.cursor, "circle",
            {cx: across(drawing, place, line.x[point]), cy: up(drawing, place, line.mean[point]), r: 3});
        }
      }
      output.append(make("b", {}, `${panel.title} at ${panel.axis} ${Number(x.toFixed(2))}`));
      for (const line of lines) {
        const place = nearest(line.x, x), name = series.length > 1 ? series[line.series] : "";
        const swatch = make("span", {class: "swatch", "aria-hidden": "true"});
        swatch.style.color = color(line.series);
        const spread = line.low[place] < line.high[place]
          ? ` (${write(line.low[place])} to ${write(line.high[place])})` : "";
        output.append(make("span", {}, swatch, `${name} ${write(line.mean[place])}${spread}`.trim()));
      }
    };
    for (const {svg, width, height, panels} of drawings) svg.addEventListener("pointermove", event => {
      const {x, y} = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      const place = panels.findIndex(({box}) =>
        x >= width * box[0] - 6 && x <= width * box[2] + 6 && y >= height * box[1] && y <= height * box[3]);
      if (place < 0) return;
      const {box, xlim} = panels[place];
      at = {panel: place, x: xlim[0] + (xlim[1] - xlim[0]) * (x / width - box[0]) / (box[2] - box[0])};
      read();
    });
    figure.querySelector(".scroll").addEventListener("keydown", event => {
      const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
      if (!step) return;
      event.preventDefault();
      const stops = panels.flatMap((panel, place) =>
        [...new Set(panel.lines.flatMap(line => line.x))].sort((a, b) => a - b).map(x => ({panel: place, x})));
      const here = at ? stops.reduce((best, stop, place) => stop.panel === at.panel &&
        (stops[best].panel !== at.panel || Math.abs(stop.x - at.x) < Math.abs(stops[best].x - at.x)) ? place : best, 0)
        : step > 0 ? -1 : stops.length;
      at = stops[Math.min(stops.length - 1, Math.max(0, here + step))];
      read();
    });
  }
  for (const note of document.querySelectorAll(".live[hidden]")) note.hidden = false;
})();

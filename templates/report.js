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
  for (const note of document.querySelectorAll(".live[hidden]")) note.hidden = false;

  // A link into a folded section opens it.
  const reveal = () => {
    const target = document.getElementById(location.hash.slice(1));
    for (let element = target; element; element = element.parentElement)
      if (element.tagName === "DETAILS") element.open = true;
    target?.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  if (location.hash) reveal();
})();

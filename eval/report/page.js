"use strict";
// Makes each table of class "sortable" sortable by the buttons in its header, and filterable where it has many rows.
// A cell sorts by its data-sort, else by the number that its text begins with, else by its text.
(() => {
  const MANY = 15; // rows from which on a filter is worth its place
  const text = (cell) => cell.dataset.sort ?? cell.textContent.trim();
  const number = (value) => {
    const found = value.replaceAll("−", "-").replaceAll(",", "").match(/^[<+±]?\s*(-?\d+(\.\d+)?)/);
    return found ? Number(found[1]) : NaN;
  };
  const missing = (value) => ["", "–", "-", "·", "baseline", "not served"].includes(value);

  function sort(body, column, direction, original) {
    const rows = [...original];
    if (direction) {
      const values = new Map(rows.map((row) => [row, text(row.cells[column])]));
      const known = rows.filter((row) => !missing(values.get(row)));
      const numeric = known.every((row) => !Number.isNaN(number(values.get(row))));
      known.sort((a, b) => {
        const [x, y] = [values.get(a), values.get(b)];
        const order = numeric ? number(x) - number(y) : x.localeCompare(y);
        return direction === "ascending" ? order : -order;
      });
      rows.splice(0, rows.length, ...known, ...rows.filter((row) => missing(values.get(row))));
    }
    body.append(...rows);
  }

  function makeSortable(table) {
    const body = table.tBodies[0];
    const original = [...body.rows];
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    heads.forEach((head, column) => {
      if (head.hasAttribute("data-unsorted")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      const words = original.map((row) => text(row.cells[column])).filter((value) => !missing(value));
      const numeric = words.every((value) => !Number.isNaN(number(value)));
      const turns = numeric ? ["descending", "ascending", null] : ["ascending", "descending", null];
      button.addEventListener("click", () => {
        const turn = turns[(turns.indexOf(head.getAttribute("aria-sort")) + 1) % turns.length];
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (turn) head.setAttribute("aria-sort", turn);
        sort(body, column, turn, original);
      });
    });
    return original;
  }

  // what a row is called: its first cell and the others that hold text, not its numbers
  function named(row) {
    return [...row.querySelectorAll("td:first-child, td.left")].map((cell) => cell.textContent.toLowerCase()).join(" ");
  }

  function makeFilterable(table, rows, name) {
    const label = document.createElement("label");
    const field = document.createElement("input");
    const shown = document.createElement("output");
    field.type = "search";
    field.autocomplete = "off";
    label.className = "filter";
    label.append(name, " ", field);
    const line = document.createElement("p");
    line.className = "filters";
    line.append(label, " ", shown);
    table.closest(".scroll").before(line);
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      const kept = rows.filter((row) => {
        const content = named(row);
        row.hidden = !words.every((word) => content.includes(word));
        return !row.hidden;
      });
      shown.textContent = words.length ? `${kept.length} of ${rows.length} rows` : "";
    });
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const rows = makeSortable(table);
    if (rows.length >= MANY) makeFilterable(table, rows, table.dataset.filter ?? "Filter");
  }
})();

// What is shown. All text goes through textContent: markup stays text.
const $ = id => document.getElementById(id);
const written = answer => [].concat(answer).join(" ");  // tags come as a list
const percent = share => Math.round(100 * share) + " %";
const byShare = probabilities => Object.entries(probabilities ?? {}).sort((a, b) => b[1] - a[1]);

function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

function drawn(tag, parent, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function bar(parent, name, share, text, against) {
  const fill = element("i", undefined, against ? "against" : "");
  fill.style.width = Math.max(0, Math.min(100, 100 * share)) + "%";
  parent.append(element("span", name), fill, element("b", text));
}

function showAnswers(answers) {
  $("answers").replaceChildren(...answers.map(one => {
    const block = element("div", undefined, "answer"), head = element("p", one.query + " \u2192 ");
    head.append(element("strong", written(one.answer)));
    block.append(head);
    if (one.probabilities) {
      const bars = element("div", undefined, "bars");
      for (const [name, share] of byShare(one.probabilities)) bar(bars, name, share, percent(share));
      block.append(bars);
    }
    return block;
  }));
}

function showWhy(why, demos) {
  $("why").hidden = $("prompt-part").hidden = true;
  if (!why) return;
  const most = Math.max(...why.demonstrations.map(one => Math.abs(one.change ?? 0)), 1e-9);
  $("influence").replaceChildren();
  for (const { demonstration, change } of why.demonstrations) {
    const text = change === null ? "needed" : (change < 0 ? "\u2212" : "+") + Math.abs(change).toFixed(2);
    const share = change === null ? 1 : Math.abs(change) / most, { input, output } = demos[demonstration];
    bar($("influence"), `${input} (${output})`, share, text, change < 0);
  }
  $("why").hidden = false;
  const names = { instruction: "instruction", answer: "of-answer", query: "query", demonstration: "" };
  $("prompt").replaceChildren(...why.prompt.map(part => element("span", part.text, names[part.kind])));
  $("prompt-part").hidden = !why.prompt.length;
}

// Returns a table whose last column has numbers.
function table(caption, head, rows) {
  const made = element("table", undefined), last = head.length - 1;
  const line = (kind, cells) => {
    const row = element("tr");
    row.append(...cells.map((text, i) => element(kind, text, i === last ? "number" : "")));
    return row;
  };
  const top = line("th", head);
  for (const cell of top.cells) cell.scope = "col";
  made.append(element("caption", caption), top, ...rows.map(row => line("td", row)));
  return made;
}

const H = 200, LEFT = 46, RIGHT = 110, TOP = 12, BOTTOM = 34;  // of the chart, in its own units

// Returns a chart of the labels' probabilities by the number of demonstrations; `answers` go with `counts`.
function chart(counts, answers, labels, width) {
  const about = `Probability of ${labels.join(", ")} by the number of demonstrations; a table has the answers`;
  const svg = drawn("svg", null, { viewBox: `0 0 ${width} ${H}`, role: "img", "aria-label": about });
  const end = width - RIGHT, x = i => LEFT + (end - LEFT) * (counts.length > 1 ? i / (counts.length - 1) : 0);
  const y = share => TOP + (H - TOP - BOTTOM) * (1 - share);
  for (const share of [0, 0.5, 1]) {
    drawn("line", svg, { x1: LEFT, x2: end, y1: y(share), y2: y(share), class: "grid" });
    drawn("text", svg, { x: LEFT - 6, y: y(share) + 4, "text-anchor": "end" }, percent(share));
  }
  const below = { y: H - BOTTOM + 16, "text-anchor": "middle" };
  counts.forEach((count, i) => drawn("text", svg, { x: x(i), ...below }, count));
  drawn("text", svg, { x: (LEFT + end) / 2, y: H - 2, "text-anchor": "middle" }, "demonstrations");
  const ends = labels.map((label, n) => {
    const points = answers.map((one, i) => [x(i), y(one.probabilities[label] ?? 0)]);
    const line = drawn("g", svg, { class: "line" + n });
    drawn("polyline", line, { points: points.join(" ") });
    for (const [cx, cy] of points) drawn("circle", line, { cx, cy, r: 3 });
    return { label, at: points.at(-1)[1] };
  });
  nameLines(svg, ends, end + 10);
  return svg;
}

// Writes each line's label where it ends, and none over another.
function nameLines(svg, ends, x) {
  let free = TOP;
  for (const { label, at } of ends.sort((a, b) => a.at - b.at)) {
    const y = Math.max(at, free), text = label.length > 15 ? label.slice(0, 14) + "\u2026" : label;
    drawn("text", svg, { x, y: y + 4 }, text);
    free = y + 14;
  }
}

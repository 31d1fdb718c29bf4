// CSV in and out.
const INPUTS = ["input", "text", "query"], OUTPUTS = ["output", "label", "answer"];

// Returns the cells of each row that is not blank.
function csvCells(text) {
  const rows = [];
  let row = [], cell = "", quoted = false;
  const endCell = () => { row.push(cell); cell = ""; };
  const endRow = () => { endCell(); rows.push(row); row = []; };
  for (let i = 0; i < text.length; i++) {
    const c = text[i], doubled = quoted && c === '"' && text[i + 1] === '"';
    if (doubled) { cell += c; i++; }
    else if (c === '"' && (quoted || !cell)) quoted = !quoted;
    else if (quoted) cell += c;
    else if (c === ",") endCell();
    else if (c === "\n") endRow();
    else if (c !== "\r") cell += c;
  }
  if (cell || row.length) endRow();
  return rows.filter(cells => cells.some(Boolean));
}

// Returns the texts of some columns: those whose heading is one of the known names. Where a file has no such headings,
// they are the first columns.
function csvColumns(text, known) {
  const rows = csvCells(text.replace(/^\ufeff/, ""));
  if (!rows.length) throw new Error("The file has no rows.");
  const head = rows[0].map(name => name.trim().toLowerCase());
  const places = known.map(names => head.findIndex(name => names.includes(name)));
  const named = places.every(place => place >= 0);
  if (!named && known.length > 1 && rows.some(row => row.length < known.length))
    throw new Error("The file needs the columns input and output.");
  const flat = value => (value ?? "").replace(/\s+/g, " ").trim();
  return (named ? rows.slice(1) : rows).map(row => known.map((_, i) => flat(row[named ? places[i] : i])));
}

// Returns rows as CSV. No cell is a formula to a spreadsheet.
function csvText(rows) {
  const quoted = value => '"' + String(value).replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""') + '"';
  return rows.map(row => row.map(quoted).join(",") + "\r\n").join("");
}

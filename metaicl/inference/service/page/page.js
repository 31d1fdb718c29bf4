// A session: what is asked, and when.
const SAMPLES = {
  "Support mail": {
    demos: [
      "My parcel has not arrived yet. => delivery",
      "I cannot log in to my account. => login",
      "Please give me my money back. => refund",
      "The courier left the box at the wrong house. => delivery",
      "The site says that my password is wrong. => login",
      "You charged me twice for one order. => refund",
    ],
    queries: ["Where is my package?", "I forgot my password.", "I want to be paid back."],
  },
  "Food reviews": {
    demos: [
      "Lovely food, and quick. => good",
      "Cold soup. => bad",
      "Friendly waiters. => good",
      "We waited an hour. => bad",
    ],
    queries: ["The best pasta in town.", "The table was dirty."],
  },
  "Words to numbers": { demos: ["three => 3", "seven => 7", "eleven => 11"], queries: ["five", "twelve"] },
};
const TOGETHER = 64;  // queries in one request
const EXPLAINED = 64;  // demonstrations up to which the service explains an answer
const LATER = [429, 503];  // statuses after which one may try again

let last = [], asked = null;  // the answers; the task that they are of

const lines = text => text.split(/\r?\n/).map(line => line.trim()).filter(Boolean);
const pause = seconds => new Promise(done => setTimeout(done, 1000 * seconds));
const counted = (count, one, many) => `${count} ${count === 1 ? one : many}`;

function demonstrations() {
  return lines($("demos").value).map((line, i) => {
    const parts = line.split("=>").map(part => part.trim()), where = `Line ${i + 1} of the demonstrations`;
    if (parts.length > 2) throw new Error(`${where} has "=>" more than once.`);
    if (parts.length < 2 || !parts[0]) throw new Error(`${where} has no "=>" between an input and its answer.`);
    return { input: parts[0], output: parts[1] };
  });
}

async function ask(path, body, tries = 3) {
  const headers = { "content-type": "application/json" };
  if ($("token").value) headers.authorization = "Bearer " + $("token").value;
  const answer = await fetch(path, body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers });
  const seconds = Number(answer.headers.get("retry-after"));
  if (LATER.includes(answer.status) && seconds && tries) {
    await pause(Math.min(seconds, 10));
    return ask(path, body, tries - 1);
  }
  const content = await answer.json().catch(() => ({}));
  if (answer.status === 401) $("token-field").hidden = false;
  if (answer.ok) return content;
  const error = new Error(content.error ? content.error.message : `The service answered ${answer.status}.`);
  throw Object.assign(error, { status: answer.status });
}

function say(text) { $("status").textContent = text; }

function busy(is) {
  $("go").disabled = $("move").disabled = is;
  $("move").textContent = is ? "Working ..." : "Try fewer, and other orders";
  if (is) {
    $("problem").hidden = true;
    $("result").setAttribute("aria-busy", "true");
  } else $("result").removeAttribute("aria-busy");
}

function fail(error) {
  say("");
  $("problem").textContent = error instanceof TypeError ? "The service cannot be reached." : error.message;
  $("problem").hidden = false;
}

function clear() {
  $("answers").replaceChildren();
  showMoved();
  $("moves").hidden = $("download").disabled = true;
  showWhy(null);
}

function given() {
  const demos = demonstrations(), queries = lines($("queries").value), instruction = $("instruction").value.trim();
  if (!demos.length) throw new Error("There are no demonstrations.");
  if (!queries.length) throw new Error("There are no queries.");
  const method = $("method").value;
  return { task: { demonstrations: demos, instruction, ...(method ? { method } : {}) }, queries };
}

async function answer(event) {
  if (event) event.preventDefault();
  if ($("go").disabled) return;
  busy(true);
  try {
    const { task, queries } = given();
    say(`Learning from ${counted(task.demonstrations.length, "demonstration", "demonstrations")} ...`);
    const told = await answerAll(task, queries);
    asked = { task, query: queries[0], first: last[0] };
    $("moves").hidden = task.demonstrations.length < 2;
    if (task.demonstrations.length <= EXPLAINED) {
      say(told + " Looking for what the first one rests on ...");
      const why = await ask("try", { ...task, inputs: [queries[0]], explain: true }).catch(() => null);
      if (why) showWhy(why.explanation, task.demonstrations);
    }
    say(told);
  } catch (error) {
    clear();
    fail(error);
  }
  busy(false);
}

// Answers all queries, shows them, and returns what to say of it.
async function answerAll(task, queries) {
  const answers = [];
  let dropped = 0;
  for (let i = 0; i < queries.length; i += TOGETHER) {
    const inputs = queries.slice(i, i + TOGETHER), found = await ask("try", { ...task, inputs });
    dropped = Math.max(dropped, found.dropped);
    answers.push(...found.answers.map((one, j) => ({ query: inputs[j], ...one })));
    say(`${answers.length} of ${queries.length} answered ...`);
  }
  clear();
  last = answers;
  showAnswers(answers);
  $("download").disabled = false;
  const left = dropped ? ` ${counted(dropped, "demonstration", "demonstrations")} did not fit.` : "";
  return counted(answers.length, "answer", "answers") + "." + left;
}

// Reads the columns of a file into a text area, one row a line.
async function readFile(event, area, columns, what) {
  const [file] = event.target.files;
  if (!file) return;
  try {
    const rows = csvColumns(await file.text(), columns), whole = rows.filter(row => row.every(Boolean));
    const left = rows.length - whole.length, also = left ? ` ${counted(left, "row", "rows")} had an empty cell.` : "";
    $(area).value = whole.map(row => row.join(" => ")).join("\n");
    $("problem").hidden = true;
    say(`${whole.length} ${what} read from ${file.name}.${also}`);
  } catch (error) { fail(error); }
  event.target.value = "";
}

function saveFile() {
  const labels = [...new Set(last.flatMap(one => Object.keys(one.probabilities ?? {})))];
  const shares = one => labels.map(label => (one.probabilities?.[label] ?? 0).toFixed(5));
  const rows = last.map(one => [one.query, written(one.answer), ...shares(one)]);
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([csvText([["input", "answer", ...labels], ...rows])], { type: "text/csv" }));
  link.download = "answers.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function about() {
  try {
    const known = await ask("methods");
    $("model").textContent = known.model;
    $("method-field").hidden = !known.methods.length;  // a trained run has its own method
    $("method").replaceChildren($("method").options[0], ...known.methods.map(name => new Option(name, name)));
  } catch (error) {
    if ($("token-field").hidden) fail(error);
    else say("This service needs a token.");
  }
}

function begin() {
  for (const [name, sample] of Object.entries(SAMPLES)) {
    const button = element("button", name);
    button.type = "button";
    button.onclick = () => {
      $("demos").value = sample.demos.join("\n");
      $("queries").value = sample.queries.join("\n");
      answer();
    };
    $("samples").append(button);
  }
  $("form").onsubmit = answer;
  $("form").onkeydown = event => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) answer(event); };
  $("upload").onclick = () => $("file").click();
  $("file").onchange = event => readFile(event, "queries", [INPUTS], "queries");
  $("upload-demos").onclick = () => $("demo-file").click();
  $("demo-file").onchange = event => readFile(event, "demos", [INPUTS, OUTPUTS], "demonstrations");
  $("move").onclick = move;
  $("download").onclick = saveFile;
  $("token").onchange = about;
  about();
}

begin();

// How the first answer moves with the number and the order of the demonstrations.
function shuffled(list, seed) {
  const out = [...list];
  for (let i = out.length - 1; i > 0; i--) {
    seed = (seed * 48271) % 2147483647;
    const j = seed % (i + 1);
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}

// Returns (name, demonstrations) for fewer demonstrations, the last of which are all, and for other orders.
function variants(demos) {
  const counts = [1, 2, 4, 8, 16, 32, 64].filter(count => count < demos.length).slice(-4).concat(demos.length);
  const orders = [
    ["as given", demos],
    ["reversed", [...demos].reverse()],
    ["shuffled", shuffled(demos, 1)],
    ["shuffled again", shuffled(demos, 7)],
  ];
  const texts = orders.map(([, list]) => JSON.stringify(list));
  return {
    fewer: counts.map(count => [String(count), demos.slice(0, count)]),
    orders: orders.filter((_, i) => texts.indexOf(texts[i]) === i),
  };
}

async function move() {
  const { task, query, first } = asked, { fewer, orders } = variants(task.demonstrations);
  const labels = first.probabilities ? { labels: Object.keys(first.probabilities) } : {}, found = [];
  busy(true);
  try {
    for (const [, demonstrations] of [...fewer, ...orders]) {
      say(`${found.length} of ${fewer.length + orders.length} tried ...`);
      found.push(await attempt({ ...task, ...labels, demonstrations, inputs: [query] }));
    }
    showMoved(fewer, orders, found, first);
    say(`Tried ${fewer.length} numbers and ${orders.length} orders of demonstrations.`);
  } catch (error) { fail(error); }
  busy(false);
}

// Returns the answer to one input; where the method cannot learn from these demonstrations, why not.
function attempt(body) {
  return ask("try", body).then(found => found.answers[0]).catch(error => {
    if (error.status === 400) return { answer: `none: ${error.message}` };
    throw error;
  });
}

// Shows the answers `found` for fewer demonstrations and then for other orders; nothing where there are none.
function showMoved(fewer = [], orders = [], found = [], first = {}) {
  $("moved").replaceChildren();
  $("moved").hidden = !found.length;
  if (!found.length) return;
  const best = byShare(first.probabilities), shares = best.length ? ["Probability"] : [];
  const share = one => one.probabilities ? percent(byShare(one.probabilities)[0][1]) : "";
  const row = ([name], one) => [name, written(one.answer), ...shares.map(() => share(one))];
  const learned = fewer.map(([name], i) => ({ name, ...found[i] })).filter(one => one.probabilities);
  if (learned.length > 1) {
    const width = Math.max(280, Math.min(540, $("moved").clientWidth)), labels = best.map(([label]) => label);
    $("moved").append(chart(learned.map(one => one.name), learned, labels.slice(0, 3), width));
  }
  const few = fewer.map((one, i) => row(one, found[i])), other = found.slice(fewer.length);
  $("moved").append(
    table("With the first demonstrations only", ["First", "Answer", ...shares], few),
    table("In another order", ["Order", "Answer", ...shares], orders.map((one, i) => row(one, other[i]))));
}

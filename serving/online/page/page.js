"use strict";
// The page at "/": asks the API, shows the list, and what moved since the list before.
const at = (id) => document.getElementById(id);
let before = null; // track id -> place in the list before, of the same listener

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

async function call(path, body) {
  const headers = { "content-type": "application/json" };
  if (at("token").value) headers.authorization = `Bearer ${at("token").value}`;
  const answer = await fetch(path, body === undefined ? { headers } : { method: "POST", headers, body: JSON.stringify(body) });
  if (answer.status === 401) at("token-field").hidden = false;
  const found = await answer.json();
  if (!answer.ok) throw new Error(`${found.error.field ?? "request"}: ${found.error.message}`);
  return found;
}

function question() {
  const context = {};
  if (at("hour").value !== "") context.hour = Number(at("hour").value);
  for (const name of ["device", "activity"]) if (at(name).value) context[name] = at(name).value;
  if (at("country").value) context.country = at("country").value.toUpperCase();
  return { user_id: at("listener").value, k: Number(at("k").value), context, repeats: at("repeats").checked };
}

function moved(track, place) {
  if (before === null || before.user !== at("listener").value) return ["", ""];
  const was = before.places.get(track);
  if (was === undefined) return ["new", "new in the list"];
  if (was === place) return ["=", "same place"];
  return was > place ? [`▲ ${was - place}`, `moved up by ${was - place}`] : [`▼ ${place - was}`, `moved down by ${place - was}`];
}

function why(item) {
  const cell = element("td");
  cell.append(element("div", item.sentence));
  const list = element("ul", undefined, "reasons");
  for (const reason of item.reasons) {
    list.append(element("li", reason.share === null ? reason.text : `${reason.text} (${Math.round(100 * reason.share)} %)`));
  }
  if (item.reasons.length) cell.append(list);
  return cell;
}

function row(item, place) {
  const made = element("tr");
  made.dataset.track = item.track_id;
  const [sign, words] = moved(item.track_id, place);
  const move = element("td", sign, "moved");
  if (words) { move.title = words; move.setAttribute("aria-label", words); }
  const track = element("td");
  track.append(element("div", item.title ?? item.track_id), element("div", item.artist ?? "", "artist"));
  made.append(element("td", String(place + 1), "number"), move, track, element("td", item.score.toPrecision(4), "number"), why(item));
  return made;
}

function show(reply, seconds) {
  at("tracks").tBodies[0].replaceChildren(...reply.items.map(row));
  const now = new Map(reply.items.map((item, place) => [item.track_id, place]));
  const names = new Map(reply.items.map((item) => [item.track_id, item.title ?? item.track_id]));
  const same = before !== null && before.user === reply.user_id;
  const gone = same ? [...before.names].filter(([track]) => !now.has(track)).map(([, name]) => name) : [];
  at("gone").textContent = gone.length ? `No longer in the list: ${gone.join(", ")}.` : "";
  before = { user: reply.user_id, places: now, names };
  const stages = Object.entries(reply.timings_ms).map(([stage, ms]) => [stage, ms]);
  at("timings").tBodies[0].replaceChildren(...[...stages, ["seen by this page", seconds]].map(([stage, ms]) => {
    const made = element("tr");
    made.append(element("td", stage), element("td", ms.toFixed(2), "number"));
    return made;
  }));
  at("degraded").hidden = reply.degraded === null;
  at("degraded").textContent = reply.degraded === null ? "" : `Degraded answer (${reply.degraded.cause}): ${reply.degraded.detail}`;
  const version = reply.version === null ? "" : ` version ${reply.version} (${reply.label})`;
  at("state").textContent = `${reply.items.length} tracks by ${reply.model}${version}, request ${reply.request_id}.`;
}

async function ask(more = {}) {
  at("ask").disabled = true;
  const start = performance.now();
  try {
    show(await call("v1/recommendations", { ...question(), ...more }), performance.now() - start);
  } catch (error) {
    at("state").textContent = `No answer: ${error.message}`;
  } finally {
    at("ask").disabled = false;
  }
}

async function fill() {
  at("listener").value ||= new URLSearchParams(location.search).get("listener") ?? "";
  for (let hour = at("hour").options.length - 1; hour < 24; hour += 1) at("hour").append(new Option(`${String(hour).padStart(2, "0")}:00`, String(hour)));
  try {
    const found = await call("v1/page/options");
    for (const [id, values] of [["device", found.devices], ["activity", found.activities]]) {
      at(id).replaceChildren(at(id).options[0], ...values.map((value) => new Option(value, value)));
    }
    at("listeners").replaceChildren(...found.listeners.map((user) => new Option(user, user)));
    if (!at("listener").value && found.listeners.length) [at("listener").value] = found.listeners;
  } catch (error) {
    at("state").textContent = `Choices could not be read: ${error.message}`;
  }
}

at("question").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
for (const id of ["hour", "device", "activity"]) at(id).addEventListener("change", () => { if (before !== null) ask(); });
at("newcomer").addEventListener("click", () => { at("listener").value = `new-${Date.now().toString(36)}`; ask(); });
at("empty").addEventListener("click", () => ask({ history: [] }));
at("token").addEventListener("change", fill);
fill();

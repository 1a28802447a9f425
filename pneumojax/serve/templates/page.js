"use strict";

const field = document.getElementById("film");
const input = field.querySelector("input");
const result = document.getElementById("result");
const most = Number(field.dataset.most);
let pending = new AbortController();

function say(text, kind) {
  const section = document.createElement("section");
  const line = document.createElement("p");
  section.className = kind === "working" ? "empty" : "";
  line.className = kind;
  line.textContent = text;
  if (kind === "refusal") line.setAttribute("role", "alert");
  section.append(line);
  result.replaceChildren(section);
}

/* The page's policy forbids style attributes, so positions on the scale are set here. */
function show(html) {
  result.innerHTML = html;
  for (const element of result.querySelectorAll("[data-at]")) {
    element.style.setProperty("--at", element.dataset.at + "%");
  }
}

async function read(film) {
  pending.abort();
  const mine = (pending = new AbortController());
  if (film.size > most) return say("too large: at most " + most / 1048576 + " MB are accepted", "refusal");
  say("Reading the film …", "working");
  const headers = { "Accept": "text/html", "Content-Type": "application/octet-stream" };
  if (film.name) {
    try {
      headers["X-Film-Name"] = encodeURIComponent(film.name);
    } catch { /* the name is not valid text */ }
  }
  try {
    const answer = await fetch("read", { method: "POST", body: film, headers, signal: mine.signal });
    const text = await answer.text();
    if (mine.signal.aborted) return;
    if (answer.ok) show(text);
    else say(text.trim(), "refusal");
  } catch {
    if (!mine.signal.aborted) say("The film could not be sent. Is the program still running?", "refusal");
  }
}

input.addEventListener("change", () => {
  if (input.files.length) read(input.files[0]);
  input.value = "";
});

/* On the whole page, since the browser would open a film that is dropped beside the field. */
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    field.classList.toggle("over", name === "dragenter" || name === "dragover");
  });
}
document.addEventListener("drop", (event) => {
  const films = event.dataTransfer.files;
  if (films.length === 1) read(films[0]);
  else say(films.length ? "Not read: drop one film at a time" : "Not read: a file has to be dropped", "refusal");
});

document.getElementById("drawings").addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  try {
    read(await (await fetch("drawings/" + button.value)).blob());
  } catch {
    say("The drawing could not be fetched. Is the program still running?", "refusal");
  }
});

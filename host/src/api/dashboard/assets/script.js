// Everything works without this: it shows times as the reader's clock does, loads the main part anew, and listens to keys.
"use strict";

const PERIOD = 5000;
const base = document.body.dataset.base;
const main = () => document.getElementById("main");

function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.valueOf())) {
      time.title = time.dateTime;
      time.textContent = at.toLocaleString();
    }
  }
}

const isPaused = () => localStorage.getItem("refresh") === "paused";

// Whoever types, or has marked something, is not disturbed.
function isBusy() {
  const focused = document.activeElement;
  const isInForm = focused && main().contains(focused) && focused.matches("input, select, button");
  return Boolean(isInForm) || !document.getSelection().isCollapsed || Boolean(document.querySelector("dialog[open]"));
}

async function refresh() {
  if (document.hidden || isPaused() || isBusy()) return;
  try {
    const answer = await fetch(location.href, { redirect: "error", headers: { accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("main");
    if (!fresh || isPaused() || isBusy()) return;
    localise(fresh);
    main().replaceWith(document.adoptNode(fresh));
    document.title = page.title;
  } catch {
    // The server is away, or the session is over; the next load of the page tells.
  }
}

function addSwitch() {
  const place = document.getElementById("refresh");
  if (!place) return;
  const button = document.createElement("button");
  button.className = "plain";
  const show = () => { button.textContent = isPaused() ? "Refresh: paused" : "Refresh: every 5 s"; };
  button.addEventListener("click", () => {
    localStorage.setItem("refresh", isPaused() ? "on" : "paused");
    show();
  });
  show();
  place.append(button);
  setInterval(refresh, PERIOD);
}

const PLACES = { o: "/", j: "/jobs", s: "/schedules", t: "/tasks", q: "/queues", p: "/plugins", w: "/schedulers" };
const KEYS = [["/", "filter"], ["g o", "overview"], ["g j", "jobs"], ["g s", "schedules"], ["g t", "tasks"],
  ["g q", "queues"], ["g p", "plugins"], ["g w", "schedulers"], ["r", "load again"], ["?", "this help"]];

function help() {
  const dialog = document.createElement("dialog");
  const list = document.createElement("ul");
  for (const [keys, what] of KEYS) {
    const item = document.createElement("li");
    const key = document.createElement("kbd");
    key.textContent = keys;
    item.append(key, ` ${what}`);
    list.append(item);
  }
  dialog.append(list);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

let isGoing = false;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
  const wasGoing = isGoing;
  isGoing = event.key === "g";
  if (wasGoing && event.key in PLACES) location.href = base + PLACES[event.key];
  else if (event.key === "?") help();
  else if (event.key === "r") location.reload();
  else if (event.key === "/") {
    const field = document.querySelector("[data-search]");
    if (field) field.focus();
    else location.href = `${base}/jobs`;
    event.preventDefault();
  }
});

localise(document);
addSwitch();
